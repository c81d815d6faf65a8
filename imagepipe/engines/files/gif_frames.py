"""The frames of a GIF as its blocks say, and whether libvips may compose them; GIF89a
specification.

    "GIF89a"  width(2) height(2) flags(1) background(1) aspect(1)  [palette]
    "!" 0xF9  4  flags(1: disposal in bits 2 to 4, transparency in bit 0) delay(2) index(1)  0
        before a frame
    ","       left(2) top(2) width(2) height(2) flags(1) [palette]  code size(1)  sub-blocks
    "!" kind  sub-blocks
        all else
    ";"       the end;   sub-blocks: { length(1) bytes }... 0

Browsers and ImageMagick (`-coalesce`) begin with a transparent canvas and give back transparency.
libvips does so only for a frame that has a transparent colour itself: what another frame gives back
it fills with the background colour. It does not restore what was there before a frame (disposal 3).
And it lays frames on the rectangle that they cover where it mistrusts the canvas (640x480, a side
over 2048) or one stands out of it: a picture of any size, whatever the header says.
Such GIFs are composed by `gif_compose`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

_EXTENSION, _IMAGE = 0x21, 0x2C
_CONTROL = 0xF9
_FRAMES_MAX = 100_000

KEEP, BACKGROUND, PREVIOUS = 1, 2, 3
"""What becomes of a frame before the next one is drawn."""


@dataclass(frozen=True, slots=True)
class GifFrame:
    """A frame: where it lies on the canvas, its disposal, its delay in hundredths of a second.

    `transparent`: it has a transparent colour. `control` and `start` are where its control block
    and its descriptor begin in the file, `end` is where its pixels end; 0 where there is no such
    place.
    """

    left: int
    top: int
    width: int
    height: int
    disposal: int = 0
    delay: int = 0
    transparent: bool = False
    control: int = 0
    start: int = 0
    end: int = 0


def canvas(gif: Any) -> tuple[int, int]:
    """Width and height of the canvas."""
    return int.from_bytes(gif[6:8], "little"), int.from_bytes(gif[8:10], "little")


def is_plain(gif: Any, decoded: tuple[int, int]) -> bool:
    """Whether libvips, for which the GIF is `decoded` (width, height) in size, composes it as
    browsers do.
    """
    if 0 in canvas(gif):
        return True
    all_frames = list(frames(gif))
    if canvas(gif) != decoded or any(frame.disposal == PREVIOUS for frame in all_frames[:-1]):
        return False
    if any(frame.disposal == BACKGROUND and not frame.transparent for frame in all_frames[:-1]):
        return False
    return any(frame.transparent for frame in all_frames) or not has_holes(gif, all_frames)


def has_holes(gif: Any, all_frames: Sequence[GifFrame]) -> bool:
    """Whether the canvas may be seen through in some frame."""
    if not all_frames or any(frame.transparent for frame in all_frames):
        return True
    first = all_frames[0]
    width, height = canvas(gif)
    covers = first.left == first.top == 0 and first.width >= width and first.height >= height
    return (
        not covers
        or (first.disposal == PREVIOUS and len(all_frames) > 1)
        or any(frame.disposal == BACKGROUND for frame in all_frames[:-1])
    )


def frames(gif: Any) -> Iterator[GifFrame]:
    """The frames of a GIF; one that is cut off is the last, and has no `end`."""
    at = 13 + palette_bytes(gif[10]) if len(gif) > 10 else len(gif)
    control = 0
    try:
        for _ in range(_FRAMES_MAX):
            while gif[at] == _EXTENSION:
                control = at if gif[at + 1] == _CONTROL else control
                at = _after_blocks(gif, at + 2)
            if gif[at] != _IMAGE:
                return
            pixels = at + 11 + palette_bytes(gif[at + 9])
            try:
                end = _after_blocks(gif, pixels)
            except IndexError:
                end = 0
            yield _frame(gif, control, at, end)
            if not end:
                return
            control, at = 0, end
    except IndexError:
        return


def with_delays(gif: bytes, delays: Sequence[int]) -> bytes:
    """`gif` with the delays of its frames, in hundredths of a second; unchanged if it has another
    number of frames.
    """
    controls = [frame.control for frame in frames(gif)]
    if len(controls) != len(delays) or 0 in controls:
        return gif
    changed = bytearray(gif)
    for at, delay in zip(controls, delays, strict=True):
        changed[at + 4 : at + 6] = delay.to_bytes(2, "little")
    return bytes(changed)


def with_plain_disposal(gif: bytes, all_frames: Sequence[GifFrame]) -> bytes:
    """`gif` for a reader that knows no disposal 4, and no disposal 3 where nothing was before."""
    changed = bytearray(gif)
    first = True
    for frame in all_frames:
        if frame.control and frame.disposal == PREVIOUS:
            disposal = BACKGROUND if first else PREVIOUS
            changed[frame.control + 3] = gif[frame.control + 3] & 0xE3 | disposal << 2
        first = first and frame.disposal in (BACKGROUND, PREVIOUS)
    return gif if changed == gif else bytes(changed)


def palette_bytes(flags: int) -> int:
    """The length of the palette that `flags` announce."""
    return 3 * (2 << (flags & 7)) if flags & 0x80 else 0


def _frame(gif: Any, control: int, start: int, end: int) -> GifFrame:
    left, top, width, height = (
        int.from_bytes(gif[at : at + 2], "little") for at in range(start + 1, start + 9, 2)
    )
    flags = gif[control + 3] if control else 0
    # Old encoders mean 3 by 4, and browsers read it so.
    disposal = {4: PREVIOUS}.get(flags >> 2 & 7, flags >> 2 & 7)
    delay = int.from_bytes(gif[control + 4 : control + 6], "little") if control else 0
    return GifFrame(left, top, width, height, disposal, delay, bool(flags & 1), control, start, end)


def _after_blocks(gif: Any, at: int) -> int:
    while gif[at]:
        at += gif[at] + 1
    return at + 1
