r"""What is wrong in the headers of many BMP files, put right before ImageMagick reads one: it is
stricter than every viewer.

    "BM"  length of the file(4)  reserved(4)  offset of the pixels(4)
    length of this header(4)  width(4) height(4) planes(2) bits(2) compression(4) ...  [masks]
        [palette]

Viewers look at neither the length nor the reserved bytes, and many programs write a wrong length.
Where the profile lies, in a header of the fifth version, ImageMagick only checks.
With 32 bits a pixel and no compression, the fourth byte means nothing; ImageMagick 6 takes it for
transparency. With masks, which say the same of the first three bytes, it does not.
"""

import struct

_FILE_HEADER = struct.Struct("<2sIII")
_PLAIN_HEADER_BYTES = 40
_LARGE_HEADER_BYTES = 124
_PROFILE_AT = _FILE_HEADER.size + 112
_PLAIN, _MASKS = 0, 3
_COMPRESSION_AT = _FILE_HEADER.size + 16
_BLUE_GREEN_RED = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)


def correct_headers(bmp: bytes) -> bytes:
    """The same picture with a header that is right; what is too short to have one is returned as it
    is.
    """
    if len(bmp) < _FILE_HEADER.size + _PLAIN_HEADER_BYTES:
        return bmp
    name, _, _, pixels_at = _FILE_HEADER.unpack_from(bmp)
    header_bytes, bits, compression = struct.unpack_from("<I10xHI", bmp, _FILE_HEADER.size)
    headers = bytearray(
        bmp[: _FILE_HEADER.size + max(_PLAIN_HEADER_BYTES, min(header_bytes, _LARGE_HEADER_BYTES))]
    )
    if len(headers) == _FILE_HEADER.size + _LARGE_HEADER_BYTES:
        struct.pack_into("<II", headers, _PROFILE_AT, 0, 0)
    masks = b""
    if (header_bytes, bits, compression) == (_PLAIN_HEADER_BYTES, 32, _PLAIN):
        masks = _BLUE_GREEN_RED
        struct.pack_into("<I", headers, _COMPRESSION_AT, _MASKS)
    pixels_at = min(pixels_at + len(masks), 0xFFFFFFFF)
    _FILE_HEADER.pack_into(headers, 0, name, len(bmp) + len(masks), 0, pixels_at)
    return bytes(headers) + masks + bmp[len(headers) :]
