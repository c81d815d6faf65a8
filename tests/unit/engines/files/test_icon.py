"""Which picture of an ICO counts, whatever its directory claims; how it looks is in
`contract_others`.
"""

import struct
from typing import Any

from PIL import Image

from imagepipe.engines.files.icon import best_alone
from tests.support.gradients import detailed, encoded
from tests.support.rare_files import icon_bmp


class CountedBytes(bytes):
    """Bytes that count how many of them were copied out by slices."""

    copied = 0

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        self.copied += len(part) if isinstance(part, bytes) else 1
        return part


def overlapping(content: bytes, count: int) -> CountedBytes:
    """An ICO of `count` entries, all of which name the same content."""
    entry = struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, len(content), 6 + 16 * count)
    return CountedBytes(struct.pack("<HHH", 0, 1, count) + entry * count + content)


def test_entries_that_share_a_picture_are_read_without_copying_it_each_time() -> None:
    for content in (encoded(detailed(320, 180), "PNG"), icon_bmp(Image.new("RGBA", (32, 32)), 32)):
        ico = overlapping(content + bytes(100_000), 65_535)
        alone = best_alone(ico)
        assert alone[4:6] == b"\1\0"
        assert len(alone) < len(content) + 100_100
        assert ico.copied < 10 * len(ico)
