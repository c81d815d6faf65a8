"""Animated WebPs made frame by frame, and what each of their frames looks like to a browser."""

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tests.support.reference_images import Pixels

Colour = tuple[int, int, int, int]


@dataclass(frozen=True)
class Layer:
    """A frame: its place on the canvas, the colour of its left and of its right half."""

    place: tuple[int, int, int, int]
    left: Colour
    right: Colour
    blends: bool = True
    clears: bool = False
    delay_ms: int = 100

    @property
    def pixels(self) -> np.ndarray:
        """[row, column, red green blue alpha]"""
        _, _, width, height = self.place
        pixels = np.empty((height, width, 4), np.uint8)
        pixels[:, : width // 2], pixels[:, width // 2 :] = self.left, self.right
        return pixels


def webp(
    layers: Sequence[Layer],
    canvas: tuple[int, int] = (48, 32),
    profile: bytes = b"",
    *,
    alpha: bool = True,
) -> bytes:
    """The file; `alpha`: its header says that it has alpha."""
    flags = 0x02 | 0x10 * alpha | 0x20 * bool(profile)
    head = struct.pack("<I", flags) + _three(canvas[0] - 1) + _three(canvas[1] - 1)
    chunks = [
        _chunk(b"VP8X", head),
        _chunk(b"ICCP", profile) if profile else b"",
        _chunk(b"ANIM", b"\xff\0\0\xff\0\0"),
    ]
    for layer in layers:
        left, top, width, height = layer.place
        file = io.BytesIO()
        Image.fromarray(layer.pixels).save(file, "WEBP", lossless=True, exact=True)
        numbers = (left // 2, top // 2, width - 1, height - 1, layer.delay_ms)
        place = b"".join(map(_three, numbers)) + bytes([layer.clears | 2 * (not layer.blends)])
        chunks.append(_chunk(b"ANMF", place + file.getvalue()[12:]))
    content = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(content)) + content


def shown(layers: Sequence[Layer], canvas: tuple[int, int] = (48, 32)) -> Pixels:
    """What a browser shows of each frame."""
    now = Image.new("RGBA", canvas)
    pages = []
    for layer in layers:
        left, top, width, height = layer.place
        picture = Image.fromarray(layer.pixels)
        if layer.blends:
            now.alpha_composite(picture, (left, top))
        else:
            now.paste(picture, (left, top))
        pages.append(np.asarray(now))
        if layer.clears:
            now.paste((0, 0, 0, 0), (left, top, left + width, top + height))
    return np.stack(pages)


def _three(number: int) -> bytes:
    return number.to_bytes(3, "little")


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
