"""The frames of an animated WebP as its chunks say, and the same for a reader that only blends
them.

    payload of "VP8X":  flags (0x20 profile, 0x10 alpha, 2 animation)  3 bytes  width-1(3)
        height-1(3)
    payload of "ANMF":  x/2(3) y/2(3) width-1(3) height-1(3) milliseconds(3) flags(1)  chunks
                        flags: 1 the place of the frame is cleared afterwards, 2 it is not blended

ImageMagick 6 blends every frame with what is below.
So each frame that replaces what is below comes twice for it, the first time to clear its place.

https://developers.google.com/speed/webp/docs/riff_container
"""

from collections.abc import Sequence
from dataclasses import dataclass

from imagepipe.engines.files.webp_container import chunks

_ALPHA = 0x10
_CLEARS, _REPLACES = 1, 2
_HEAD_BYTES = 16
_FLAGS_AT = 15


@dataclass(frozen=True, slots=True)
class WebpFrame:
    """A frame: its place on the canvas, its delay, and `start` and `end` of its chunk in
    the file.
    """

    left: int
    top: int
    width: int
    height: int
    delay_ms: int
    clears: bool
    replaces: bool
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class BlendedAnimation:
    """A WebP of which every frame may be blended. `inserted`: which of its frames are to be dropped
    then.
    """

    data: bytes
    inserted: tuple[int, ...] = ()


def frames(webp: bytes) -> list[WebpFrame]:
    """Its frames; none if it is a still picture."""
    found = []
    for kind, start, size in chunks(webp):
        if kind == b"ANMF" and size >= _HEAD_BYTES:
            left, top, width, height, delay = (
                int.from_bytes(webp[at : at + 3], "little") for at in range(start, start + 15, 3)
            )
            flags = webp[start + _FLAGS_AT]
            end = start + size + size % 2
            found.append(
                WebpFrame(
                    2 * left,
                    2 * top,
                    width + 1,
                    height + 1,
                    delay,
                    bool(flags & _CLEARS),
                    bool(flags & _REPLACES),
                    start - 8,
                    end,
                )
            )
    return found


def has_holes(webp: bytes, all_frames: Sequence[WebpFrame]) -> bool:
    """Whether the canvas may be seen through in some frame."""
    for kind, start, size in chunks(webp):
        if kind == b"VP8X" and size >= 10:
            width, height = (
                1 + int.from_bytes(webp[at : at + 3], "little") for at in (start + 4, start + 7)
            )
            first = all_frames[0]
            covers = first.left == first.top == 0 and (first.width, first.height) == (width, height)
            return (
                bool(webp[start] & _ALPHA)
                or not covers
                or any(frame.clears for frame in all_frames[:-1])
            )
    return False


def profile(webp: bytes) -> bytes:
    """The ICC profile; empty if there is none."""
    return next(
        (webp[start : start + size] for kind, start, size in chunks(webp) if kind == b"ICCP"), b""
    )


def blended(webp: bytes, all_frames: Sequence[WebpFrame]) -> BlendedAnimation:
    """`webp` for a reader that blends every frame."""
    parts: list[bytes] = []
    inserted: list[int] = []
    at = 0
    for n, frame in enumerate(all_frames):
        parts.append(webp[at : frame.start])
        if frame.replaces and n:
            inserted.append(n + len(inserted))
            flags_at = frame.start + 8 + _FLAGS_AT
            parts += [
                webp[frame.start : flags_at],
                bytes([webp[flags_at] | _CLEARS]),
                webp[flags_at + 1 : frame.end],
            ]
        at = frame.start
    if not inserted:
        return BlendedAnimation(webp)
    whole = b"".join([*parts, webp[at:]])
    return BlendedAnimation(
        whole[:4] + (len(whole) - 8).to_bytes(4, "little") + whole[8:], tuple(inserted)
    )
