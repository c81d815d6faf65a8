"""What encoders get wrong in the container of an animated WebP file, put right in the file itself.

ImageMagick 6 gives each frame the delay of the next, and the last one an average; libvips makes
100 ms of 10 and less. Both join frames that are equal. So they are given UNIT_MS as the delay of
each frame, which then shows how many frames were joined.
libwebp says that there is no alpha where the first frame, cut to its opaque part, has none, though
it lies on a transparent canvas: readers then show black.

    "RIFF" size "WEBP"  { fourcc  size(4, little endian)  payload, padded to an even length }...
    payload of "VP8X":  flags, of which 0x10 is alpha, ...
    payload of "ANMF":  x(3) y(3) width(3) height(3) duration(3, milliseconds, little endian)
                        flags(1) frame

https://developers.google.com/speed/webp/docs/riff_container
"""

from collections.abc import Iterator, Sequence

UNIT_MS = 20
"""The delay of every frame while it is encoded: the least that no encoder replaces by another."""

_ALPHA = 0x10
_DURATION = slice(12, 15)
_DURATION_MAX = (1 << 24) - 1

CHUNKS_MAX = 100_000
"""As many are looked at: more than any animation that is rendered has."""


def with_delays(webp: bytes, delays_ms: Sequence[int]) -> bytes:
    """`webp`, in which each frame had a delay of UNIT_MS, with these delays, in milliseconds and in
    order.
    """
    changed = bytearray(webp)
    done = 0
    for kind, start, size in chunks(webp):
        if kind == b"ANMF" and size >= _DURATION.stop:
            at = slice(start + _DURATION.start, start + _DURATION.stop)
            joined = max(round(int.from_bytes(webp[at], "little") / UNIT_MS), 1)
            delay = sum(delays_ms[done : done + joined])
            done += joined
            changed[at] = min(max(delay, 0), _DURATION_MAX).to_bytes(3, "little")
    return bytes(changed)


def with_alpha(webp: bytes) -> bytes:
    """`webp` with the flag that it has alpha; unchanged if it is not of the extended kind."""
    for kind, start, size in chunks(webp):
        if kind == b"VP8X" and size:
            return webp[:start] + bytes([webp[start] | _ALPHA]) + webp[start + 1 :]
    return webp


def chunks(webp: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(fourcc, start of the payload, its size) of each chunk that is whole."""
    at = 12
    for _ in range(CHUNKS_MAX):
        if webp[:4] != b"RIFF" or at + 8 > len(webp):
            return
        kind, size = webp[at : at + 4], int.from_bytes(webp[at + 4 : at + 8], "little")
        if at + 8 + size > len(webp):
            return
        yield kind, at + 8, size
        at += 8 + size + size % 2
