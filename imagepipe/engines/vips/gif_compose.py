"""A GIF's frames, drawn on its canvas as browsers do; only a worker process imports this.

libvips decodes each frame as a GIF of its own, with nothing to compose.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyvips

from imagepipe.engines.files.gif_frames import (
    BACKGROUND,
    PREVIOUS,
    GifFrame,
    canvas,
    frames,
    palette_bytes,
)

_Pixels = npt.NDArray[np.uint8]
"""[row, column, red green blue alpha]"""

_FRAME_PIXELS = 16_000_000
"""What a frame may be larger than its canvas, most of which nobody would see."""


def compose(gif: Any, count: int) -> pyvips.Image:
    """The first `count` frames, one below the other, with alpha and delays. Raises pyvips.Error."""
    width, height = canvas(gif)
    shown = np.zeros((count, height, width, 4), np.uint8)
    now = np.zeros((height, width, 4), np.uint8)
    delays = []
    for page, frame in zip(shown, frames(gif), strict=False):
        place = now[frame.top : frame.top + frame.height, frame.left : frame.left + frame.width]
        before = place.copy() if frame.disposal == PREVIOUS else None
        if place.size:
            drawn = _decode(gif, frame, limit=max(_FRAME_PIXELS, width * height))
            drawn = drawn[: place.shape[0], : place.shape[1]]
            np.copyto(place, drawn, where=drawn[..., 3:] > 0)
        page[:] = now
        delays.append(10 * frame.delay)
        if before is not None:
            place[:] = before
        elif frame.disposal == BACKGROUND:
            place[:] = 0
    if len(delays) < count:
        raise pyvips.Error("frames are missing")
    picture = pyvips.Image.new_from_memory(shown.data, width, height * count, 4, "uchar")
    picture = picture.copy(interpretation="srgb")
    picture.set_type(pyvips.GValue.array_int_type, "delay", delays)
    return picture


def _decode(gif: Any, frame: GifFrame, limit: int) -> _Pixels:
    if frame.width * frame.height > limit:
        raise pyvips.Error(
            f"a frame of {frame.width}x{frame.height} pixels is larger than its canvas"
        )
    size = gif[frame.start + 5 : frame.start + 9]
    control = bytearray(gif[frame.control : frame.control + 8] if frame.control else b"")
    if control:
        control[3] &= 1  # no disposal
    palette = gif[13 : 13 + palette_bytes(gif[10])]
    alone = b"".join(
        [
            b"GIF89a",
            size,
            gif[10:11],
            b"\0\0",
            palette,
            control,
            b",\0\0\0\0",
            gif[frame.start + 5 : frame.end],
            b";",
        ]
    )
    decoded = pyvips.Image.gifload_buffer(alone, fail_on="error").colourspace("srgb")
    pixels: _Pixels = (decoded if decoded.hasalpha() else decoded.addalpha()).numpy()
    return pixels
