"""What this node accepts from a peer: which facts it believes and which sizes it fetches.

A peer can be broken or hostile, so none of its claims are used before they were checked here.
"""

from dataclasses import dataclass

from imagepipe.core.rendering import formats
from imagepipe.core.rendering.header_size import header_size
from imagepipe.core.rows.entries import ImageFacts, Row
from imagepipe.core.units import format_bytes

SIDE_MAX = 10_000_000
"""The longest side of an image in pixels: the limit of libvips."""

PIXEL_BYTES_MAX = 8
"""The size of a pixel in an uncompressed file: four channels of 16 bits."""

HEADER_BYTES_MAX = 1 << 20
"""The most bytes that an output may have in addition to its pixels."""


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
    """The facts of an image; None if they are missing or no image can have them."""
    if not isinstance(format, str) or not isinstance(width, int) or not isinstance(height, int):
        return None
    if not formats.is_known(format) or not (0 < width <= SIDE_MAX and 0 < height <= SIDE_MAX):
        return None
    return ImageFacts(format, width, height)


def facts_of_bytes(head: bytes, claimed: ImageFacts | None) -> ImageFacts | None:
    """`claimed`, if it can be believed now that the bytes are here. They begin with `head`, of
    which HEAD_BYTES are enough.

    Facts that contradict the header, as far as it is easy to read, count as missing.
    """
    format = formats.sniff(head)
    if format is None or claimed is None or claimed.format != format.name:
        return None
    return claimed if header_size(head, format) in (None, (claimed.width, claimed.height)) else None
