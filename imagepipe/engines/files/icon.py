r"""The one picture of an ICO file that counts: the largest, and of equal ones that with most
colours.

    0(2) 1(2) count(2)
    { width(1) height(1) colours(1) 0(1) planes(2) bits(2) length(4) offset(4) }...
    the pictures: a PNG file, or a BMP without its file header, of twice the height: below its
    pixels
    lies a mask of a bit a pixel, 1 where nothing is to be seen

Width and height of the directory say nothing of pictures over 255 pixels, and lie in many files:
those of the pictures themselves are compared. ImageMagick would read the first one.

Of a picture with 32 bits a pixel the fourth byte is its alpha, unless it is 0 everywhere: then, as
in viewers, the mask counts. ImageMagick applies that to 24 bits a pixel.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_DIRECTORY = struct.Struct("<HHH")
_ENTRY = struct.Struct("<BBBBHHII")
_BMP_HEADER = struct.Struct("<IiiHHI")
_BMP_HEADER_BYTES = 40
_BMP_SIDE_MAX = 256
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER_BYTES = 33
_ICON = 1


@dataclass(frozen=True, slots=True)
class _Picture:
    """A picture of the file: what its own header says, and where it is."""

    width: int
    height: int
    bits: int
    offset: int
    length: int


def best_alone(ico: bytes) -> bytes:
    """An ICO with only the best picture; the same file if it has none that makes sense."""
    best = max(_pictures(ico), key=lambda each: (each.width * each.height, each.bits), default=None)
    if best is None:
        return ico
    content, bits = ico[best.offset : best.offset + best.length], best.bits
    if bits == 32 and not content.startswith(_PNG):
        content, bits = _without_alpha(best, content)
    entry = _ENTRY.pack(
        best.width & 255,
        best.height & 255,
        0,
        0,
        1,
        bits,
        len(content),
        _DIRECTORY.size + _ENTRY.size,
    )
    return _DIRECTORY.pack(0, _ICON, 1) + entry + content


def _pictures(ico: bytes) -> Iterator[_Picture]:
    _, _, count = _DIRECTORY.unpack_from(ico.ljust(_DIRECTORY.size, b"\0"))
    table = ico[_DIRECTORY.size : _DIRECTORY.size + count * _ENTRY.size]
    for *_, length, offset in _ENTRY.iter_unpack(table[: len(table) // _ENTRY.size * _ENTRY.size]):
        # Only the beginning: 65,535 entries may all name the same megabytes.
        head = ico[offset : offset + min(length, _BMP_HEADER_BYTES)]
        if head.startswith(_PNG) and len(head) >= _PNG_HEADER_BYTES:
            width, height, depth, kind = struct.unpack_from(">IIBB", head, 16)
            yield _Picture(
                width, height, depth * (1, 1, 3, 1, 2, 1, 4)[min(kind, 6)], offset, length
            )
        elif len(head) >= _BMP_HEADER_BYTES:
            size, width, height, _, bits, _ = _BMP_HEADER.unpack_from(head)
            if (
                size >= _BMP_HEADER_BYTES
                and 0 < width <= _BMP_SIDE_MAX
                and 1 < height <= 2 * _BMP_SIDE_MAX
            ):
                yield _Picture(width, height // 2, bits, offset, length)


def _without_alpha(picture: _Picture, content: bytes) -> tuple[bytes, int]:
    """The content and bits of a BMP with 32 bits a pixel: with 24 if no pixel has alpha."""
    header_bytes, _, _, _, _, compression = _BMP_HEADER.unpack_from(content)
    row_bytes = 4 * picture.width
    start, end = header_bytes, header_bytes + row_bytes * picture.height
    pixels = content[start:end]
    if compression != 0 or len(pixels) < end - start or pixels[3::4].strip(b"\0"):
        return content, 32
    rows = []
    for at in range(0, len(pixels), row_bytes):
        row = bytearray(-(-3 * picture.width // 4) * 4)
        for channel in range(3):
            row[channel : 3 * picture.width : 3] = pixels[at + channel : at + row_bytes : 4]
        rows.append(bytes(row))
    header = bytearray(content[:start])
    struct.pack_into("<H", header, 14, 24)
    struct.pack_into("<I", header, 20, 0)  # how long the pixels are: to be worked out
    return bytes(header) + b"".join(rows) + content[end:], 24
