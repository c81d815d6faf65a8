r"""EXIF blocks that lead a decoder in circles, found and made unreadable before one is let near them.

    "II*\0" or "MM\0*"   offset of the first directory(4)
    a directory:  count(2)  { tag(2) type(2) count(4) value or its offset(4) }...  offset of the next one(4)

libexif, which libvips calls for every header, follows each entry that leads to another directory,
also back to one that it is in: 7.8 KB of them take it half a minute. A camera's block leads to each
directory once.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Protocol

from imagepipe.core.formats import AVIF, HEIC, PNG, Format

_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_DIRECTORIES = (0x8769, 0x8825, 0xA005)
"""The tags of entries that lead to another directory: EXIF, GPS, interoperability."""

_IDENTIFIER = b"Exif\0\0"
_PNG_CHUNK = b"eXIf"
_RIFF_CHUNK = b"EXIF"

BLOCKS_MAX = 100
"""EXIF blocks that are looked at; a picture has one, its thumbnail perhaps another."""


class TooManyBlocksError(Exception):
    """The image has more EXIF blocks than any camera writes."""


class Buffer(Protocol):
    """The bytes of an image: bytes or a memory map."""

    def find(self, sub: bytes, start: int = ..., /) -> int:
        """Where `sub` begins, from `start` on; -1 if it does not."""
        ...

    def __getitem__(self, key: slice, /) -> bytes:
        """Some of them."""
        ...

    def __len__(self) -> int:
        """How many there are."""
        ...


def without_circles(image: Buffer, format: Format) -> Buffer:
    """`image`, or a copy of it in which no EXIF block that leads in circles counts as one.

    Raises TooManyBlocksError.
    """
    copy: bytearray | None = None
    for n, at in enumerate(_blocks(image, format)):
        if n >= BLOCKS_MAX:
            raise TooManyBlocksError(f"it has more than {BLOCKS_MAX} EXIF blocks")
        if _leads_in_circles(image, at):
            copy = copy or bytearray(image[0 : len(image)])
            copy[at : at + 2] = b"\0\0"
            if format == PNG:
                _correct_checksum(copy, at)
    return bytes(copy) if copy else image


def _blocks(image: Buffer, format: Format) -> Iterator[int]:
    """Where EXIF blocks begin; in AVIF and HEIC, which keep them anywhere, where anything
    begins as they do.
    """
    for magic in _ORDERS:
        at = image.find(magic)
        while at >= 0:
            before = image[max(at - 8, 0) : at]
            is_chunk = before.endswith(_PNG_CHUNK) if format == PNG else before.startswith(_RIFF_CHUNK)
            if format in (AVIF, HEIC) or is_chunk or before.endswith(_IDENTIFIER):
                yield at
            at = image.find(magic, at + 1)


def _leads_in_circles(image: Buffer, start: int) -> bool:
    """Whether the block at `start` leads to one directory twice, or has two directories of one kind."""
    order = _ORDERS[image[start : start + 4]]
    seen: set[int] = set()
    left = [(0, _offset(image, start + 4, order))]
    while left:
        tag, offset = left.pop()
        if offset == 0:
            continue
        if tag in seen or offset in seen:
            return True
        seen |= {tag, offset} - {0}
        end = start + offset + 2 + 12 * _number(image, start + offset, order)
        entries = image[start + offset + 2 : end]
        for entry_tag, _, _, value in struct.iter_unpack(order + "HHII", entries[: len(entries) // 12 * 12]):
            if entry_tag in _DIRECTORIES:
                left.append((entry_tag, value))
        left.append((0, _offset(image, end, order)))
    return False


def _number(image: Buffer, at: int, order: str) -> int:
    two = image[at : at + 2]
    return int(struct.unpack(order + "H", two)[0]) if len(two) == 2 else 0


def _offset(image: Buffer, at: int, order: str) -> int:
    four = image[at : at + 4]
    return int(struct.unpack(order + "I", four)[0]) if len(four) == 4 else 0


def _correct_checksum(png: bytearray, at: int) -> None:
    """Make the CRC of the eXIf chunk around `at` that of its data: a wrong one would be the picture's end."""
    name = png.rfind(_PNG_CHUNK, 0, at)
    length = int.from_bytes(png[name - 4 : name], "big")
    end = name + 4 + length
    if name >= 0 and end + 4 <= len(png):
        png[end : end + 4] = zlib.crc32(png[name:end]).to_bytes(4, "big")
