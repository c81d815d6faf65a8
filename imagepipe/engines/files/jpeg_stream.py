"""A JPEG that lacks only its end marker, with one: browsers show it, decoders call it truncated.

    FF D8                                 start of the image
    FF marker  length(2, big)  data       a segment: SOF lists the components, SOS starts a scan
    ... FF 00 ... FF D0 to FF D7 ...      after SOS: coded pixels, up to any other marker
    FF D9                                 end of the image

A phone may write a trailer in place of the end marker, and only decoding tells it from pixels.
So what was completed here must be decoded strictly: see `lacks_pixels`.
A trailer that decodes as the last few pixels in place of missing ones goes unnoticed.
Bytes that decoders skip between two segments are left out, because libjpeg reports its first
warning alone: one about the header would hide that the pixels ran out.
"""

import re
from dataclasses import dataclass
from typing import Any

_END = b"\xff\xd9"
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_EOI, _SOS = 0xD9, 0xDA
_STANDALONE = (0x01, *range(0xD0, 0xD8))
_HUFFMAN_FRAMES = (0xC0, 0xC1, 0xC2)
_TABLES_AND_NOTES = (0xC4, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE)
_COEFFICIENTS = 64
_ALL_BITS = 99
_PARTS_MAX = 10_000
_SEARCHED_BYTES = 1 << 18
"""At most three milliseconds, for which other threads wait."""

_RAN_OUT = re.compile(r"premature end of data segment|found marker 0xd9 instead")
_TRAILER = re.compile(r"extraneous bytes before marker 0xd9")


@dataclass(frozen=True, slots=True)
class Stream:
    """A JPEG to decode, a buffer. `completed`: its end marker was added."""

    data: Any
    completed: bool = False


def completed(jpeg: Any) -> Stream:
    """`jpeg`, a buffer, with an end marker if it has all of its scans but no end marker.

    The last scan may still be short of pixels. Anything else that is incomplete is left as it is.
    """
    scans = _Scans()
    parts, at = [jpeg[:2]], 2
    skipped = False
    try:
        while found := _search(_MARKER, jpeg, at):
            start, marker = found.start(), jpeg[found.start() + 1]
            skipped = skipped or start != at
            if marker == _EOI:
                return Stream(b"".join([*parts, jpeg[start:]]) if skipped else jpeg)
            if scans.are_all or len(parts) > _PARTS_MAX:
                break
            at = _end_of_part(jpeg, start, marker, scans)
            parts.append(jpeg[start:at])
    except _Unreadable:
        pass
    return Stream(b"".join([*parts, _END]), completed=True) if scans.are_all else Stream(jpeg)


def lacks_pixels(complaint: str, stream: Stream) -> bool:
    """Whether `complaint`, libjpeg's first warning about `stream` or nothing, means missing pixels.

    Where they ran out in a stream that was completed, the trailer was decoded in their place.
    So there only a trailer that was left over is harmless.
    """
    if stream.completed:
        return complaint != "" and not _TRAILER.search(complaint)
    return bool(_RAN_OUT.search(complaint))


class _Unreadable(Exception):
    """A segment that is cut off, out of place, or of a JPEG that is not coded by Huffman."""


def _end_of_part(jpeg: Any, start: int, marker: int, scans: "_Scans") -> int:
    """Where the segment that begins at `start` ends, a scan together with its pixels; `scans`
    learns of it.
    """
    if marker in _STANDALONE:
        return start + 2
    end = start + 2 + int.from_bytes(jpeg[start + 2 : start + 4], "big")
    segment = jpeg[start + 4 : end]
    if end < start + 4 or end > len(jpeg):
        raise _Unreadable
    try:
        if marker in _HUFFMAN_FRAMES:
            scans.frame(segment)
        elif marker == _SOS:
            scans.scan(segment)
            return _end_of_scan(jpeg, end)
        elif marker not in _TABLES_AND_NOTES:
            raise _Unreadable
    except (LookupError, ValueError):
        raise _Unreadable from None
    return end


def _end_of_scan(jpeg: Any, at: int) -> int:
    """Where the pixels end."""
    found = _search(_END_OF_SCAN, jpeg, at)
    return found.start() if found else len(jpeg)


def _search(pattern: re.Pattern[bytes], jpeg: Any, at: int) -> re.Match[bytes] | None:
    """The first two bytes of `pattern` from `at` on; in slices, so that other threads get their
    turn.
    """
    while at < len(jpeg):
        if found := pattern.search(jpeg, at, at + _SEARCHED_BYTES):
            return found
        at += _SEARCHED_BYTES - 1
    return None


class _Scans:
    """What the scans so far have sent: how many low bits of each component's coefficients
    are left.
    """

    def __init__(self) -> None:
        self._bits_left: dict[int, list[int]] = {}

    @property
    def are_all(self) -> bool:
        """Whether every coefficient was sent to its last bit: no further scan can follow."""
        return bool(self._bits_left) and not any(any(bits) for bits in self._bits_left.values())

    def frame(self, segment: bytes) -> None:
        """A frame header: precision(1) height(2) width(2) count(1) { id(1) sampling(1) table(1)
        }...
        """
        self._bits_left = {
            segment[6 + 3 * n]: [_ALL_BITS] * _COEFFICIENTS for n in range(segment[5])
        }

    def scan(self, segment: bytes) -> None:
        """A scan header: count(1) { id(1) tables(1) }... first(1) last(1) bits(1: those left in the
        lower half).
        """
        count = segment[0]
        first, last, bits = segment[1 + 2 * count : 4 + 2 * count]
        for component in segment[1 : 1 + 2 * count : 2]:
            self._bits_left[component][first : last + 1] = [bits & 15] * (last + 1 - first)
