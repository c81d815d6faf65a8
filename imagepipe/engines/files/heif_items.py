r"""Where an AVIF or HEIC file keeps its EXIF block, as far as that can be a trap; ISO/IEC 14496-12.

    "infe"  version(1: 2 or 3) flags(3)  item(2 or 4) protection(2) kind(4)
    "iloc"  version(1) flags(3)  sizes(2)  count(2 or 4)
            { item(2 or 4) [method(2)] source(2) base  extents(2) { [index] offset length }... }...

A block in several extents is put together only by the decoder, so that nothing could be found in it
before. No camera writes one.
"""

import re
import struct
from collections.abc import Iterator

from imagepipe.engines.files.exif_traps import Buffer

_EXIF_ITEM = re.compile(rb"infe(?:\x02.{3}(.{2})|\x03.{3}(.{4})).{2}Exif", re.DOTALL)
_LOCATIONS = re.compile(rb"iloc")


def exif_is_scattered(image: Buffer) -> bool:
    """Whether an EXIF block of `image` is in more than one place."""
    ids = {int.from_bytes(found[1] or found[2], "big") for found in _EXIF_ITEM.finditer(image)}
    if not ids:
        return False
    return any(
        item in ids and extents > 1
        for found in _LOCATIONS.finditer(image)
        for item, extents in _items(image, found.end())
    )


def _items(image: Buffer, at: int) -> Iterator[tuple[int, int]]:
    """The items of an "iloc" box whose version is at `at`, and how many extents each has."""
    try:
        version, sizes = struct.unpack_from(">B3xH", image, at)
        number = "I" if version >= 2 else "H"
        (count,) = struct.unpack_from(">" + number, image, at + 6)
        at += 6 + struct.calcsize(number)
        item = struct.Struct(">" + number + ("4x" if version else "2x"))
        extent_bytes = (sizes >> 12) + (sizes >> 8 & 15) + (sizes & 15 if version else 0)
        for _ in range(count):
            (name,) = item.unpack_from(image, at)
            at += item.size + (sizes >> 4 & 15)
            (extents,) = struct.unpack_from(">H", image, at)
            yield name, extents
            at += 2 + extents * extent_bytes
    except struct.error:
        return  # cut off
