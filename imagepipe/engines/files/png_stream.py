r"""A PNG as ImageMagick 6 reads it: with its end, and without what would crash it or keep it busy.

    "\x89PNG\r\n\x1a\n"   { length(4, big) type(4) data crc(4) }...   the last one is "IEND"

A file may lack its last bytes though its pixels, the "IDAT" chunks, are all there: viewers show it.
A text chunk whose keyword is "Raw profile type ..." holds a profile as hexadecimal digits.
ImageMagick 6.9.11 reads beyond its end if it is malformed, and aborts.
It takes 13 s for 100,000 empty chunks that it does not know, and a minute for 7 MB of "zTXt" that
inflate to 7 GB. So it gets the chunks that it uses, and of texts as many as a picture may have.
"""

import struct
from collections.abc import Iterator

_HEAD = struct.Struct(">I4s")
_CRC_BYTES = 4
_SIGNATURE_BYTES = 8
_END = b"\0\0\0\0IEND\xae\x42\x60\x82"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_ONCE = {
    b"tRNS",
    b"gAMA",
    b"cHRM",
    b"sRGB",
    b"iCCP",
    b"sBIT",
    b"bKGD",
    b"pHYs",
    b"oFFs",
    b"tIME",
    b"eXIf",
}
_RAW_PROFILE = b"raw profile type"
_TEXTS_MAX = 1000
_DEFLATED_BYTES_MAX = 1 << 16
"""Of the texts that may be deflated together: at most 64 MiB when inflated."""


def completed(png: bytes) -> bytes:
    """`png` with an end if that alone is missing, and with the chunks that ImageMagick may read.

    One whose pixels are cut off stays so.
    """
    chosen = _Chosen()
    kept: list[bytes] = []
    begin, at = 0, _SIGNATURE_BYTES  # of what is to be kept next; of the next chunk
    for kind, start, end in _chunks(png):
        if not chosen.take(kind, png[start + _HEAD.size : start + 24], end - start):
            kept.append(png[begin:start])
            begin = end
        at = end
    if b"IDAT" in chosen.kinds and b"IEND" not in chosen.kinds and png[at + 4 : at + 8] != b"IDAT":
        return b"".join([*kept, png[begin:at], _END])
    return b"".join([*kept, png[begin:]]) if kept else png


class _Chosen:
    """Which chunks are kept. `kinds`: those so far that matter."""

    def __init__(self) -> None:
        self.kinds: set[bytes] = set()
        self._texts = self._deflated_bytes = 0

    def take(self, kind: bytes, begins: bytes, length: int) -> bool:
        """Whether a chunk is kept; `begins`: its first bytes."""
        if not kind[0] & 0x20:  # a capital: no picture without it
            self.kinds |= {kind} & {b"IDAT", b"IEND"}
            return True
        if kind not in _TEXTS:
            is_first = kind in _ONCE and kind not in self.kinds
            self.kinds |= {kind} & _ONCE
            return is_first
        self._texts += 1
        if kind != b"tEXt":
            self._deflated_bytes += length
            if self._deflated_bytes > _DEFLATED_BYTES_MAX:
                return False
        return self._texts <= _TEXTS_MAX and not begins.lower().startswith(_RAW_PROFILE)


def _chunks(png: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of each chunk that is whole, up to the last one."""
    at = _SIGNATURE_BYTES
    while at + _HEAD.size <= len(png):
        length, kind = _HEAD.unpack_from(png, at)
        end = at + _HEAD.size + length + _CRC_BYTES
        if end > len(png):
            return
        yield kind, at, end
        if kind == b"IEND":
            return
        at = end
