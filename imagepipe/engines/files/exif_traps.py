r"""EXIF blocks that are a trap, found and made unreadable before a decoder is let near them.

    "II*\0" or "MM\0*"   offset of the first directory(4)
    a directory:  count(2)  { tag(2) type(2) count(4) value or its offset(4) }...  offset of the
        next one(4)

libexif, which libvips calls for every header, follows each entry that leads to another directory,
also back to one that it is in: 7.8 KB of them take it half a minute. ImageMagick prints the value
of each entry: 65 KB with 1500 entries of the same 47 KB take it half a minute, too.
A camera's block leads to each of its few directories once, and no two of its values share a byte.
"""

import mmap
import re
import struct
import zlib
from collections.abc import Iterator
from typing import TypeVar

from imagepipe.core.rendering.formats import AVIF, HEIC, PNG, Format

_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_DIRECTORIES = (0x8769, 0x8825, 0xA005)
"""The tags of entries that lead to another directory: EXIF, GPS, interoperability."""

_PNG_CHUNK = b"eXIf"
_BLOCK = re.compile(rb"(?:Exif\0\0|eXIf|EXIF.{4})(II\*\0|MM\0\*)", re.DOTALL)
"""In JPEG and wherever it came from one, in a PNG's chunk, in a WebP's with its length."""
_BLOCK_ANYWHERE = re.compile(rb"(II\*\0|MM\0\*)")
_BEFORE_BYTES = 16
_SEARCHED_BYTES = 1 << 18
"""A millisecond, for which the other threads of a daemon wait."""

_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_ENTRY_BYTES = 12

BLOCKS_MAX = 100
"""EXIF blocks that are looked at; a picture has one, its thumbnail perhaps another."""

DIRECTORIES_MAX = 8
"""In a block; a camera's has five."""

VALUES_BYTES_MAX = 1 << 18
"""All entries and values of a block together; in a JPEG the block itself has at most 64 KiB."""

Buffer = bytes | mmap.mmap
"""The bytes of an image."""

_Image = TypeVar("_Image", bound=Buffer)


class TooManyBlocksError(Exception):
    """The image has more EXIF blocks than any camera writes."""


def without_traps(image: _Image, format: Format) -> _Image | bytes:
    """`image`, or a copy of it in which no EXIF block that is a trap counts as one.

    Raises TooManyBlocksError.
    """
    copy: bytearray | None = None
    for n, at in enumerate(_blocks(image, format)):
        if n >= BLOCKS_MAX:
            raise TooManyBlocksError(f"it has more than {BLOCKS_MAX} EXIF blocks")
        if _is_trap(image, at):
            copy = copy or bytearray(image[0 : len(image)])
            copy[at : at + 2] = b"\0\0"
            if format == PNG:
                _correct_checksum(copy, at)
    return bytes(copy) if copy else image


def _blocks(image: Buffer, format: Format) -> Iterator[int]:
    """Where EXIF blocks begin; in AVIF and HEIC, which keep them anywhere, where anything
    begins as they do.
    """
    pattern = _BLOCK_ANYWHERE if format in (AVIF, HEIC) else _BLOCK
    at = 0
    while at < len(image):
        found = pattern.search(image, at, at + _SEARCHED_BYTES + _BEFORE_BYTES)
        if found:
            yield found.start(1)
        at = found.end() if found else at + _SEARCHED_BYTES


def _is_trap(image: Buffer, start: int) -> bool:
    """Whether the block at `start` leads to one directory twice, has two directories of one kind,
    or more directories or longer values than any camera's.
    """
    order = _ORDERS[image[start : start + 4]]
    seen: set[int] = set()
    left = [(0, _offset(image, start + 4, order))]
    directories = values_bytes = 0
    while left:
        tag, offset = left.pop()
        if offset == 0:
            continue
        directories += 1
        if tag in seen or offset in seen or directories > DIRECTORIES_MAX:
            return True
        seen |= {tag, offset} - {0}
        end = start + offset + 2 + _ENTRY_BYTES * _number(image, start + offset, order)
        entries = image[start + offset + 2 : end]
        whole = entries[: len(entries) // _ENTRY_BYTES * _ENTRY_BYTES]
        for entry_tag, kind, count, value in struct.iter_unpack(order + "HHII", whole):
            values_bytes += _ENTRY_BYTES + count * _TYPE_BYTES.get(kind, 0)
            if entry_tag in _DIRECTORIES:
                left.append((entry_tag, value))
        if values_bytes > VALUES_BYTES_MAX:
            return True
        left.append((0, _offset(image, end, order)))
    return False


def _number(image: Buffer, at: int, order: str) -> int:
    two = image[at : at + 2]
    return int(struct.unpack(order + "H", two)[0]) if len(two) == 2 else 0


def _offset(image: Buffer, at: int, order: str) -> int:
    four = image[at : at + 4]
    return int(struct.unpack(order + "I", four)[0]) if len(four) == 4 else 0


def _correct_checksum(png: bytearray, at: int) -> None:
    """Make the CRC of the eXIf chunk around `at` that of its data: a wrong one would be the
    picture's end.
    """
    name = png.rfind(_PNG_CHUNK, 0, at)
    length = int.from_bytes(png[name - 4 : name], "big")
    end = name + 4 + length
    if name >= 0 and end + 4 <= len(png):
        png[end : end + 4] = zlib.crc32(png[name:end]).to_bytes(4, "big")
