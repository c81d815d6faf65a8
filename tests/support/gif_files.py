"""GIFs made block by block, and what each of their frames looks like to a browser."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tests.support.reference_images import Pixels

PALETTE = ((0, 160, 255), (220, 40, 40), (40, 200, 60), (250, 240, 30))
"""The first is the background colour, which nobody may see."""

LOCAL_PALETTE = ((10, 10, 10), (130, 20, 160), (250, 250, 250), (240, 140, 20))


@dataclass(frozen=True)
class Part:
    """A frame: the place on the canvas, the colour of the left and of the right half."""

    place: tuple[int, int, int, int]
    left: int = 1
    right: int = 2
    disposal: int = 1
    transparent: int | None = None
    local: bool = False
    interlaced: bool = False
    delay: int = 10

    @property
    def indices(self) -> np.ndarray:
        """[row, column]"""
        _, _, width, height = self.place
        indices = np.full((height, width), self.right, np.uint8)
        indices[:, : width // 2] = self.left
        indices[0, :] = self.right  # so that an interlace that is not undone shows
        return indices


def gif(parts: Sequence[Part], canvas: tuple[int, int] = (48, 32), loop: int = 0) -> bytes:
    """The file."""
    blocks = [b"GIF89a", struct.pack("<HH", *canvas), b"\xf1\0\0", bytes(sum(PALETTE, ()))]
    blocks.append(b"!\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", loop) + b"\0")
    for part in parts:
        flags = part.disposal << 2 | (part.transparent is not None)
        blocks.append(
            b"!\xf9\x04" + struct.pack("<BHB", flags, part.delay, part.transparent or 0) + b"\0"
        )
        blocks.append(
            b","
            + struct.pack("<HHHH", *part.place)
            + bytes([0x81 * part.local | 0x40 * part.interlaced])
        )
        blocks.append(bytes(sum(LOCAL_PALETTE, ())) if part.local else b"")
        rows = part.indices
        if part.interlaced:
            rows = np.concatenate([rows[0::8], rows[4::8], rows[2::4], rows[1::2]])
        blocks.append(_coded(rows.tobytes()))
    return b"".join(blocks) + b";"


def shown(parts: Sequence[Part], canvas: tuple[int, int] = (48, 32)) -> Pixels:
    """What a browser shows of each frame."""
    now = np.zeros((canvas[1], canvas[0], 4), np.uint8)
    pages = []
    for part in parts:
        left, top, width, height = part.place
        place = now[top : top + height, left : left + width]
        before = place.copy()
        palette = np.array(
            [(*colour, 255) for colour in (LOCAL_PALETTE if part.local else PALETTE)], np.uint8
        )
        indices = part.indices[: place.shape[0], : place.shape[1]]
        visible = (
            np.ones_like(indices, bool) if part.transparent is None else indices != part.transparent
        )
        place[visible] = palette[indices][visible]
        pages.append(now.copy())
        if part.disposal == 2:
            place[:] = 0
        elif part.disposal in (3, 4):
            place[:] = before
    return np.stack(pages)


def _coded(indices: bytes) -> bytes:
    """LZW of two bits that never uses its table: it is cleared after two pixels."""
    codes = [code for at in range(0, len(indices), 2) for code in (4, *indices[at : at + 2])] + [5]
    bits = sum(code << 3 * n for n, code in enumerate(codes))
    packed = bits.to_bytes((3 * len(codes) + 7) // 8, "little")
    return (
        b"\2"
        + b"".join(
            bytes([len(packed[at : at + 255])]) + packed[at : at + 255]
            for at in range(0, len(packed), 255)
        )
        + b"\0"
    )
