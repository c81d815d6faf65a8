"""Whether libvips puts the frames of a GIF together as ImageMagick does (`-coalesce`), from the file's blocks; GIF89a specification.

    "GIF89a"  width(2) height(2) flags(1) background(1) aspect(1)  [palette]
    "!" 0xF9  4  flags(1: disposal in bits 2 to 4, transparency in bit 0) delay(2) index(1)  0      before a frame
    ","       left(2) top(2) width(2) height(2) flags(1) [palette]  code size(1)  sub-blocks
    "!" kind  sub-blocks                                                                           all else
    ";"       the end;   sub-blocks: { length(1) bytes }... 0

Where no frame is transparent, libvips fills with the background colour what a frame leaves open or gives back, and ImageMagick does not. It does not
restore what was there before a frame (disposal 3) as others do. And it
lays frames on the rectangle that they cover where it mistrusts the canvas (640x480, a side over 2048) or one stands out of it: a picture of any size, whatever
the header says.
"""

from collections.abc import Iterator
from dataclasses import dataclass

_EXTENSION, _IMAGE = 0x21, 0x2C
_CONTROL = 0xF9
_BACKGROUND, _PREVIOUS = 2, 3
_MOST_FRAMES = 100_000


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a frame lies on the canvas, what becomes of it before the next, and whether it has a transparent colour."""

    left: int
    top: int
    width: int
    height: int
    disposal: int
    transparent: bool


def is_plain(gif: bytes, decoded: tuple[int, int]) -> bool:
    """Whether libvips, for which the GIF is `decoded` (width, height) in size, puts its frames together as ImageMagick does."""
    canvas = int.from_bytes(gif[6:8], "little"), int.from_bytes(gif[8:10], "little")
    if 0 not in canvas and canvas != decoded:
        return False
    all_frames = list(frames(gif))
    disposals = {frame.disposal for frame in all_frames[:-1]}
    if _PREVIOUS in disposals:
        return False
    if not all_frames or any(frame.transparent for frame in all_frames):
        return True
    first = all_frames[0]
    covers = (first.left, first.top) == (0, 0) and (first.width, first.height) == decoded
    return covers and _BACKGROUND not in disposals


def frames(gif: bytes) -> Iterator[Frame]:
    """The frames of a GIF, up to where it is cut off."""
    at = 13 + _palette_bytes(gif[10]) if len(gif) > 10 else len(gif)
    disposal, transparent = 0, False
    count = 0
    try:
        while gif[at] in (_EXTENSION, _IMAGE) and count < _MOST_FRAMES:
            if gif[at] == _EXTENSION:
                if gif[at + 1] == _CONTROL:
                    disposal, transparent = gif[at + 3] >> 2 & 7, bool(gif[at + 3] & 1)
                at = _after_blocks(gif, at + 2)
            else:
                left, top, width, height = (int.from_bytes(gif[start : start + 2], "little") for start in range(at + 1, at + 9, 2))
                flags = gif[at + 9]
                yield Frame(left, top, width, height, disposal, transparent)
                count += 1
                disposal, transparent = 0, False
                at = _after_blocks(gif, at + 10 + _palette_bytes(flags) + 1)
    except IndexError:
        return


def _palette_bytes(flags: int) -> int:
    return 3 * (2 << (flags & 7)) if flags & 0x80 else 0


def _after_blocks(gif: bytes, at: int) -> int:
    while gif[at]:
        at += gif[at] + 1
    return at + 1
