"""What a PNG says of its colours; PNG specification, third edition, section 13.14.

    cICP    primaries(1) transfer(1) matrix(1) full range(1)     counts before all others
    iCCP    name, a zero, method(1), a profile, deflated         if it is for such pixels
    sRGB    it is sRGB
    gAMA    100 000 times the gamma(4), with or without
    cHRM    100 000 times x and y of white, red, green, blue (4 each)

All come before the pixels. A cHRM without a gAMA says nothing.
"""

import struct
import zlib
from dataclasses import dataclass
from typing import Any

from imagepipe.core.rendering import colourimetry
from imagepipe.core.rendering.colourimetry import Colourimetry, Primaries
from imagepipe.core.rendering.icc import HEADER_BYTES
from imagepipe.core.rendering.plan import Colours
from imagepipe.engines.files import embedded_metadata

_SIGNATURE_BYTES = 8
_OURS = (b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM")
_NAME_BYTES_MAX = 80
_CHUNK_UNIT = 100_000


@dataclass(frozen=True, slots=True)
class PngColours:
    """profile: whether the embedded profile counts. colourimetry: what counts in its place; None
    for sRGB.
    """

    profile: bool = False
    colourimetry: Colourimetry | None = None


def read(png: Any, colours: Colours) -> PngColours:
    """What `png`, a buffer, says; it may be cut short or broken anywhere. `colours`: the kind of
    its pixels.
    """
    chunks = _chunks(memoryview(png))
    if len(coded := chunks.get(b"cICP", b"")) == 4:
        return PngColours(colourimetry=colourimetry.by_codes(coded[0], coded[1]))
    if embedded_metadata.profile_fits(_profile_header(chunks.get(b"iCCP", b"")), colours):
        return PngColours(profile=True)
    gamma = chunks.get(b"gAMA", b"")
    if b"sRGB" in chunks or len(gamma) != 4:
        return PngColours()
    return PngColours(
        colourimetry=colourimetry.by_gamma(
            int.from_bytes(gamma, "big"), _chromaticities(chunks.get(b"cHRM", b""))
        )
    )


def _chunks(png: memoryview) -> dict[bytes, bytes]:
    """The chunks of ours before the pixels, the first of each name; of a profile the beginning."""
    found: dict[bytes, bytes] = {}
    at = _SIGNATURE_BYTES
    while at + 8 <= len(png):
        length, name = struct.unpack_from(">I4s", png, at)
        if name in (b"IDAT", b"IEND"):
            break
        if name in _OURS:
            found.setdefault(name, bytes(png[at + 8 : at + 8 + min(length, 1 << 16)]))
        at += 12 + length
    return found


def _profile_header(content: bytes) -> bytes:
    name_end = content.find(b"\0", 0, _NAME_BYTES_MAX)
    if name_end < 0:
        return b""
    try:
        return zlib.decompressobj().decompress(content[name_end + 2 :], HEADER_BYTES)
    except zlib.error:
        return b""


def _chromaticities(content: bytes) -> Primaries | None:
    if len(content) != 32:
        return None
    wx, wy, rx, ry, gx, gy, bx, by = (
        value / _CHUNK_UNIT for value in struct.unpack(">8I", content)
    )
    return rx, ry, gx, gy, bx, by, wx, wy
