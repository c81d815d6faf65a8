r"""A PNG as ImageMagick 6 reads it: with its end, and without what would crash it.

    "\x89PNG\r\n\x1a\n"   { length(4, big) type(4) data crc(4) }...   the last one is "IEND"

A file may lack its last bytes though its pixels, the "IDAT" chunks, are all there: viewers show it.
A text chunk whose keyword is "Raw profile type ..." holds a profile as hexadecimal digits.
ImageMagick 6.9.11 reads beyond its end if it is malformed, and aborts.
"""

import struct
from collections.abc import Iterator

_HEAD = struct.Struct(">I4s")
_CRC_BYTES = 4
_SIGNATURE_BYTES = 8
_END = b"\0\0\0\0IEND\xae\x42\x60\x82"
_TEXTS = (b"tEXt", b"zTXt")
_RAW_PROFILE = b"raw profile type"
_CHUNKS_MAX = 100_000


def whole(png: bytes) -> bytes:
    """`png` with an end if that alone is missing, and without raw profiles.

    One whose pixels are cut off stays so.
    """
    kept, at = [png[:_SIGNATURE_BYTES]], _SIGNATURE_BYTES
    kinds = []
    for kind, start, end in _chunks(png):
        kinds.append(kind)
        if kind not in _TEXTS or png[start + 8 : start + 24].lower() != _RAW_PROFILE:
            kept.append(png[start:end])
        at = end
    ends_early = b"IDAT" in kinds and b"IEND" not in kinds and png[at + 4 : at + 8] != b"IDAT"
    if not ends_early and len(kept) == 1 + len(kinds):
        return png
    return b"".join([*kept, _END if ends_early else png[at:]])


def _chunks(png: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of each chunk that is whole, up to the last one."""
    at = _SIGNATURE_BYTES
    for _ in range(_CHUNKS_MAX):
        if at + _HEAD.size > len(png):
            return
        length, kind = _HEAD.unpack_from(png, at)
        end = at + _HEAD.size + length + _CRC_BYTES
        if end > len(png):
            return
        yield kind, at, end
        if kind == b"IEND":
            return
        at = end
