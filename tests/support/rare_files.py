"""Files of formats that only ImageMagick reads, put together byte by byte as other programs do."""

import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.support.source_images import saved

RGB, CMYK, GREY = 3, 4, 1
"""Colour modes of a PSD."""


def psd(mode: int, channels: Sequence[int], *, layers: int = 0, profile: bytes = b"") -> bytes:
    """A PSD of 16x12 pixels, `channels` being the value of each channel of the merged picture.

    `layers` is negative if the channel after the colours is the transparency of the whole.
    """
    area = 16 * 12
    header = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", len(channels), 12, 16, 8, mode)
    resources = (
        struct.pack(">4sHHI", b"8BIM", 1039, 0, len(profile)) + profile + bytes(len(profile) % 2)
    )
    pixels = b"\0\0" + b"".join(bytes([value]) * area for value in channels)
    parts = [b"", resources if profile else b"", _layers(layers, area) if layers else b""]
    return header + b"".join(struct.pack(">I", len(part)) + part for part in parts) + pixels


def _layers(count: int, area: int) -> bytes:
    info = struct.pack(">h", count)
    extra = bytes(8) + b"\x02L1\0"
    channels = b"".join(struct.pack(">hI", number, 2 + area) for number in (0, 1, 2, -1))
    record = struct.pack(">4IH", 0, 0, 12, 16, 4) + channels + b"8BIMnorm" + bytes([255, 0, 0, 0])
    info += (record + struct.pack(">I", len(extra)) + extra) * abs(count)
    info += b"".join(b"\0\0" + bytes([value]) * area for value in (200, 0, 0, 128)) * abs(count)
    info += bytes(len(info) % 2)
    return struct.pack(">I", len(info)) + info + bytes(4)


def jp2(picture: Image.Image, *, colours: bytes = b"") -> bytes:
    """A JPEG 2000 file; `colours` is the content of its "colr" box, if not what Pillow writes."""
    image = saved(picture, "JPEG2000")
    if not colours:
        return image
    head, at = image.index(b"jp2h") - 4, image.index(b"colr") - 4
    (head_bytes,), (old_bytes,) = (struct.unpack_from(">I", image, start) for start in (head, at))
    new = struct.pack(">I4s", 8 + len(colours), b"colr") + colours
    grown = struct.pack(">I", head_bytes + len(new) - old_bytes)
    return image[:head] + grown + image[head + 4 : at] + new + image[at + old_bytes :]


def bmp(
    picture: Image.Image, kind: bytes, *, numbers: bytes = bytes(48), profile: bytes = b""
) -> bytes:
    """A BMP with a header of the fifth version.

    `kind` of colours, the `numbers` of calibrated ones, and an embedded `profile`.
    """
    colours = np.asarray(picture.convert("RGB"))[::-1, :, ::-1].tobytes()  # rows of whole words
    header = struct.pack("<IiiHHIIiiII", 124, *picture.size, 1, 24, 0, len(colours), 0, 0, 0, 0)
    place = (124 + len(colours), len(profile)) if profile else (0, 0)
    header += bytes(16) + kind + numbers + struct.pack("<4I", 4, *place, 0)
    content = header + colours + profile
    return b"BM" + struct.pack("<III", 14 + len(content), 0, 14 + len(header)) + content


def icon(*pictures: tuple[int, int, bytes]) -> bytes:
    """An ICO of pictures: the side and the bits that its directory says, and their content."""
    head, at = struct.pack("<HHH", 0, 1, len(pictures)), 6 + 16 * len(pictures)
    for side, bits, content in pictures:
        head += struct.pack("<BBBBHHII", side & 255, side & 255, 0, 0, 1, bits, len(content), at)
        at += len(content)
    return head + b"".join(content for _, _, content in pictures)


def icon_bmp(picture: Image.Image, bits: int, hidden: npt.NDArray[np.bool_] | None = None) -> bytes:
    """A picture of an ICO with 24 or 32 bits a pixel; its mask hides where `hidden` says."""
    rgba = np.asarray(picture.convert("RGBA"))[::-1]
    width, height = picture.size
    channels = [2, 1, 0, 3][: bits // 8]
    rows = rgba[..., channels].reshape(height, -1)
    pixels = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4))).tobytes()
    mask = np.zeros((height, (width + 31) // 32 * 32), bool)
    if hidden is not None:
        mask[:, :width] = hidden[::-1]
    header = struct.pack("<IiiHHIIiiII", 40, width, 2 * height, 1, bits, 0, len(pixels), 0, 0, 0, 0)
    return header + pixels + np.packbits(mask, axis=1).tobytes()
