"""What a BMP says of its colours, in headers of the fourth version and the fifth, as Windows has
them.

    file header(14)  header: length(4) ... at 56 the kind of colours(4)
      0       calibrated: at 60 x y z(4 each, 2.30 bits) of red, green, blue; at 96 the gamma of
              each(16.16)
      "DEBM"  embedded: at 112 offset and length of an ICC profile
      else    sRGB, or nothing

ImageMagick 6 and Pillow look at none of it.
"""

import struct

from imagepipe.core.rendering import colourimetry
from imagepipe.core.rendering.colourimetry import Colourimetry

_FILE_HEADER_BYTES = 14
_VERSION_4_BYTES, _VERSION_5_BYTES = 108, 124
_CALIBRATED, _EMBEDDED = bytes(4), b"DEBM"
_GAMMA_UNIT = 100_000 * 65_536


def profile(bmp: bytes) -> bytes:
    """The embedded profile; empty if there is none."""
    header = _header(bmp, _VERSION_5_BYTES)
    if header[56:60] != _EMBEDDED:
        return b""
    offset, length = struct.unpack_from("<II", header, 112)
    return bmp[_FILE_HEADER_BYTES + offset : _FILE_HEADER_BYTES + offset + length]


def calibration(bmp: bytes) -> Colourimetry | None:
    """The colours by numbers; None for sRGB, and for numbers that make no sense."""
    header = _header(bmp, _VERSION_4_BYTES)
    if header[56:60] != _CALIBRATED:
        return None
    corners = list(struct.iter_unpack("<3I", header[60:96]))
    white = tuple(sum(values) for values in zip(*corners, strict=True))
    gammas = struct.unpack_from("<3I", header, 96)
    if not all(sum(colour) for colour in corners) or not all(gammas):
        return None
    rx, ry, gx, gy, bx, by, wx, wy = (
        value / sum(colour) for colour in (*corners, white) for value in colour[:2]
    )
    return colourimetry.by_gamma(round(_GAMMA_UNIT / gammas[1]), (rx, ry, gx, gy, bx, by, wx, wy))


def _header(bmp: bytes, least: int) -> bytes:
    """The header, if it has at least that many bytes."""
    header = bmp[_FILE_HEADER_BYTES : _FILE_HEADER_BYTES + _VERSION_5_BYTES]
    length = int.from_bytes(header[:4], "little")
    return header if min(length, len(header)) >= least else b""
