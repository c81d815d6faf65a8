r"""What the first directory of a TIFF file says, read before a decoder believes it; TIFF 6.0 and
BigTIFF.

    "II" or "MM", 42(2), offset of the directory(4)           TIFF
    "II" or "MM", 43(2), 8(2), 0(2), offset of it(8)          BigTIFF
    the directory:  count(2 or 8)  { tag(2) type(2) count(4 or 8) values or their offset(4 or 8)
                                   }...

libvips draws tiles that it cannot decompress in black and reports success, so it gets none of
these. Both engines reserve the memory of a whole tile, also for a picture of 10x10 pixels.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

WIDTH, BITS, COMPRESSION, PHOTOMETRIC, ORIENTATION, SAMPLES, PLANES, TILE_WIDTH, TILE_LENGTH = (
    256,
    258,
    259,
    262,
    274,
    277,
    284,
    322,
    323,
)

_TYPES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 16: "Q", 17: "q"}
"""Also the signed ones, which no writer chooses and libtiff takes: it would reserve a tile that we
had not seen.
"""
_ENTRIES_MAX = 4096
_RGB, _INKS, _YCBCR, _LAB = 2, 5, 6, 8
_JPEG = 7
_SEPARATE = 2

_BY_LIBVIPS = frozenset({1, 2, 3, 4, 5, _JPEG, 8, 32773, 32946, 50001})
"""Compressions that the libvips of the wheel reads: none, CCITT, LZW, JPEG, Deflate, PackBits,
WebP.
"""


@dataclass(frozen=True, slots=True)
class TiffHeader:
    """The first directory. values: the first value of each tag that has whole numbers."""

    values: dict[int, int]

    @property
    def tile_bytes(self) -> int:
        """The memory that one tile takes, decompressed; 0 where there are no tiles."""
        pixels = self.values.get(TILE_WIDTH, 0) * self.values.get(TILE_LENGTH, 0)
        samples = 1 if self.values.get(PLANES) == _SEPARATE else self.values.get(SAMPLES, 1)
        return pixels * samples * -(-self.values.get(BITS, 1) // 8)

    @property
    def has_alpha(self) -> bool:
        """Whether it has more channels than its colours need."""
        needed = {_RGB: 3, _YCBCR: 3, _LAB: 3, _INKS: 4}.get(self.values.get(PHOTOMETRIC, 0), 1)
        return self.values.get(SAMPLES, 1) > needed

    @property
    def is_for_libvips(self) -> bool:
        """Whether libvips decodes the pixels, and takes their colours for what they are."""
        compression = self.values.get(COMPRESSION, 1)
        if compression not in _BY_LIBVIPS:
            return False
        if self.tile_bytes and self.values.get(PLANES) == _SEPARATE:
            return False
        return self.values.get(PHOTOMETRIC) != _YCBCR or compression == _JPEG


def read(tiff: Any) -> TiffHeader:
    """The header of a file, a buffer; one without a value where it is cut off or no TIFF."""
    values: dict[int, int] = {}
    try:
        for tag, value in _directory(tiff):
            values.setdefault(tag, value)
    except (struct.error, OverflowError):
        pass  # cut off, or an offset beyond any file: the decoder will say so
    return TiffHeader(values)


def _directory(tiff: Any) -> Iterator[tuple[int, int]]:
    """Tag and first value of each entry. Raises struct.error or OverflowError where the
    file ends.
    """
    order = {b"II": "<", b"MM": ">"}.get(bytes(tiff[:2]))
    if order is None:
        return
    (version,) = struct.unpack_from(order + "H", tiff, 2)
    counting, offset, value_bytes, at = ("Q", "Q", 8, 8) if version == 43 else ("H", "I", 4, 4)
    entry = struct.Struct(order + "HH" + offset)
    (start,) = struct.unpack_from(order + offset, tiff, at)
    (count,) = struct.unpack_from(order + counting, tiff, start)
    for n in range(min(count, _ENTRIES_MAX)):
        place = start + struct.calcsize(counting) + n * (entry.size + value_bytes)
        tag, kind, number = entry.unpack_from(tiff, place)
        letter = _TYPES.get(kind)
        if letter is None or number < 1:
            continue
        place += entry.size
        if number * struct.calcsize(letter) > value_bytes:
            (place,) = struct.unpack_from(order + offset, tiff, place)
        (value,) = struct.unpack_from(order + letter, tiff, place)
        yield tag, value
