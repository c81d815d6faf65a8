"""What this node takes over from a peer: which facts it believes, which sizes it fetches, which
bytes it keeps.

A peer can be broken or hostile, so nothing that it claims is used before it has passed here.
"""

from dataclasses import dataclass

from imagepipe.core.rendering import formats
from imagepipe.core.rendering.header_size import header_size
from imagepipe.core.rows.entries import ImageFacts, Row
from imagepipe.core.units import format_bytes

SIDE_MAX = 10_000_000
"""The most pixels that a side of an image has: libvips' own limit."""

PIXEL_BYTES_MAX = 8
"""What a pixel takes in a file that is not compressed at all: four channels of 16 bits."""

HEADER_BYTES_MAX = 1 << 20
"""What an output may have besides its pixels."""


@dataclass(frozen=True, slots=True)
class Admission:
    """The limits of a node, from `[images] max_bytes` and `max_pixels`."""

    bytes_max: int
    pixels_max: int

    def refusal(self, row: Row) -> str | None:
        """Why the bytes of `row` are not fetched; None: they may be.

        A source has at most max_bytes, but what was rendered from one can be larger: a PNG of a
        photograph, say. Its size is then bounded by its pixels, of which there are at most
        max_pixels.
        """
        content = row.entry.content
        if content is None or content.size <= self.bytes_max:
            return None
        if (
            row.facts is not None
            and content.size <= HEADER_BYTES_MAX + PIXEL_BYTES_MAX * self._pixels(row.facts)
        ):
            return None
        return (
            f"its size of {format_bytes(content.size)} is more than this node takes (max_bytes,"
            " max_pixels)"
        )

    def _pixels(self, facts: ImageFacts) -> int:
        """How many pixels an image with these facts may have, all frames summed."""
        if formats.named(facts.format).animates:
            return self.pixels_max
        return min(facts.width * facts.height, self.pixels_max)


def plausible_facts(format: object, width: object, height: object) -> ImageFacts | None:
    """The facts of an image, if an image can have them; None where they are missing or made up."""
    if not isinstance(format, str) or not isinstance(width, int) or not isinstance(height, int):
        return None
    if not formats.is_known(format) or not (0 < width <= SIDE_MAX and 0 < height <= SIDE_MAX):
        return None
    return ImageFacts(format, width, height)


def facts_of_bytes(head: bytes, claimed: ImageFacts | None) -> ImageFacts | None:
    """What to believe of `claimed` now that the bytes are here, which begin with `head` (HEAD_BYTES
    of it suffice).

    Facts that differ from what the header says, as far as that is easily read, count as missing.
    """
    format = formats.sniff(head)
    if format is None or claimed is None or claimed.format != format.name:
        return None
    return claimed if header_size(head, format) in (None, (claimed.width, claimed.height)) else None
