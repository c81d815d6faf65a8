r"""The ICC profile of a file, where the engine that reads it does not say of it in time, or at all.

    PSD   header(26)  colour modes: length(4) ...  resources: length(4)
          { "8BIM" number(2) name: length(1) bytes, padded  length(4) bytes, padded }... the one
          1039
    JP2   boxes  length(4) type(4) ...  in "jp2h": "colr"  method(1) ... 2 or 3: a profile at 3
    BMP   see bmp_colours
    else  wherever the letters "acsp" are found where a profile has them, a class such as "mntr"
          before them: in JPEG, TIFF and WebP it lies in clear

`convert -ping` does not say of a PSD or JP2 whether there is one; of a BMP, convert never reads it.
"""

import struct
from collections.abc import Iterator

from imagepipe.core.rendering import icc
from imagepipe.core.rendering.formats import BMP, GIF, JP2, PSD, Format
from imagepipe.engines.files import bmp_colours
from imagepipe.engines.files.slices import find

_ACSP_AT = 36
_CLASS = slice(12, 16)
_CLASSES = (b"mntr", b"scnr", b"prtr", b"spac")
_TRIALS_MAX = 1000
_PSD_HEADER_BYTES = 26
_PSD_PROFILE = 1039


def profile(image: bytes, format: Format) -> bytes:
    """The profile, or at least its beginning; empty if there is none."""
    try:
        if format == PSD:
            return next(
                (content for number, content in _resources(image) if number == _PSD_PROFILE), b""
            )
        if format == JP2:
            return next(
                (content[3:] for content in _colours(image) if content[:1] in (b"\2", b"\3")), b""
            )
    except struct.error:  # cut short
        return b""
    if format == GIF:
        return b""  # as in browsers and libvips
    if format == BMP:
        return bmp_colours.profile(image)
    return _in_clear(image)


def _in_clear(image: bytes) -> bytes:
    """The header of the first profile: a comment, too, may have its letters."""
    found = find(image, b"acsp", _ACSP_AT)
    for _ in range(_TRIALS_MAX):
        at = found - _ACSP_AT
        header = image[at : at + icc.HEADER_BYTES] if found >= 0 else b""
        if not header or header[_CLASS] in _CLASSES:
            return header
        found = find(image, b"acsp", found + 1)
    return b""


def _resources(psd: bytes) -> Iterator[tuple[int, bytes]]:
    at = _PSD_HEADER_BYTES
    at += 4 + struct.unpack_from(">I", psd, at)[0]
    end = at + 4 + struct.unpack_from(">I", psd, at)[0]
    at += 4
    while at < end:
        number, name_bytes = struct.unpack_from(">4xHB", psd, at)
        at += 6 + (name_bytes + 2) // 2 * 2
        (length,) = struct.unpack_from(">I", psd, at)
        yield number, psd[at + 4 : at + 4 + length]
        at += 4 + length + length % 2


def _colours(jp2: bytes) -> Iterator[bytes]:
    for kind, content in _boxes(jp2):
        if kind == b"jp2h":
            yield from (inner for name, inner in _boxes(content) if name == b"colr")


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        if length < 8:
            return  # the rest of the file, or longer than 4 GiB: the pixels
        yield kind, content[at + 8 : at + length]
        at += length
