"""Source images for the engines' tests, made by Pillow or by hand: neither engine wrote them,
unless nothing else can.
"""

import functools
import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageDraw, ImageOps

from tests.support.photographs import ALPS, photograph
from tests.support.reference_images import convert


@functools.cache
def scene() -> Image.Image:
    """A photograph of 1200x675 pixels."""
    return Image.open(
        io.BytesIO(convert("-[0]", "-resize", "1200x675!", "png:-", image=photograph(ALPS)))
    ).convert("RGB")


@functools.cache
def scene_jpeg() -> bytes:
    """The same as a JPEG."""
    return saved(scene(), "JPEG", quality=92)


def small(width: int = 320, height: int = 180) -> Image.Image:
    """The same, smaller."""
    return scene().resize((width, height), Image.Resampling.LANCZOS)


def saved(picture: Image.Image, format: str, **options: Any) -> bytes:
    """`picture` as a file of `format`, as Pillow writes it."""
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def oriented(orientation: int, format: str) -> bytes:
    """A photograph whose EXIF block asks to be turned."""
    exif = Image.Exif()
    exif[0x112] = orientation
    return saved(small(), format, exif=exif, **({"quality": 92} if format == "JPEG" else {}))


def see_through() -> Image.Image:
    """A photograph that fades from opaque to transparent, where it is red."""
    picture = small(480, 270).convert("RGBA")
    fade = np.tile(np.linspace(255, 0, picture.width).astype(np.uint8), (picture.height, 1))
    colours = np.asarray(picture).copy()
    colours[fade < 40, :3] = (255, 0, 0)  # must not show at the edge
    colours[..., 3] = fade
    return Image.fromarray(colours)


def animation(format: str, **options: Any) -> bytes:
    """Four frames of 160x90 pixels, of 50, 100, 150 and 200 ms; only a part of the picture
    changes.
    """
    frames = []
    for n in range(4):
        frame = small(160, 90)
        ImageDraw.Draw(frame).ellipse(
            (10 + 30 * n, 20, 50 + 30 * n, 60), fill=(255 - 50 * n, 60 * n, 90)
        )
        frames.append(frame)
    settings = {"duration": [50, 100, 150, 200], "loop": 3, **options}
    return saved(
        frames[0],
        format,
        save_all=True,
        append_images=frames[1:],
        **{name: value for name, value in settings.items() if value is not None},
    )


def sixteen_bits(*, grey: bool) -> bytes:
    """A PNG of 16 bits a channel."""
    command = [
        "png:-",
        *(["-colorspace", "Gray"] if grey else []),
        "-evaluate",
        "add",
        "0.1%",
        "-depth",
        "16",
        "png:-",
    ]
    image = convert(*command, image=saved(small(), "PNG"))
    assert image[24] == 16
    return image


def cmyk(*, profile: bytes | None = None) -> bytes:
    """A CMYK JPEG, as Photoshop writes it: inverted, with Adobe's marker."""
    rgb = small()
    picture = rgb.convert("CMYK")
    if profile:
        converted = ImageCms.profileToProfile(
            rgb, ImageCms.createProfile("sRGB"), io.BytesIO(profile), outputMode="CMYK"
        )
        assert converted
        picture = converted
    return saved(picture, "JPEG", quality=92, **({"icc_profile": profile} if profile else {}))


def png(width: int, height: int, depth: int, colour_type: int) -> bytes:
    """A black PNG of any size, which packs to almost nothing."""
    row = bytes(1 + (width * (3 if colour_type == 2 else 1) * depth + 7) // 8)
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        png_chunk(*chunk) for chunk in ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    )


def png_chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )


def gif(width: int, height: int, frames: int) -> bytes:
    """A GIF of many frames: the first fills the screen, the others are a pixel."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    parts = [head, b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"]
    for n in range(frames):
        size = (1, 1) if n else (width, height)
        parts += [
            b"\x21\xf9\x04\x04\x05\0\0\0",
            b"\x2c" + struct.pack("<HHHHB", 0, 0, *size, 0),
            b"\x02\x02\x44\x01\0",
        ]
    return b"".join(parts) + b";"


def avif_that_claims(width: int, height: int) -> bytes:
    """A small AVIF whose header says that it is large."""
    image = saved(small(64, 36), "AVIF")
    claimed = image.replace(
        b"ispe" + bytes(4) + struct.pack(">II", 64, 36),
        b"ispe" + bytes(4) + struct.pack(">II", width, height),
    )
    assert claimed != image
    return claimed


def palette_tiff() -> bytes:
    """A TIFF with a palette."""
    return saved(small().quantize(64), "TIFF")


def ycck() -> bytes:
    """A CMYK JPEG whose inks are stored as luma, chroma and key."""
    cyan, magenta, yellow, key = small().convert("CMYK").split()
    luma, blue, red = Image.merge("RGB", (cyan, magenta, yellow)).convert("YCbCr").split()
    # Pillow stores what it takes for ink inverted, as Adobe does; only the key is ink here.
    stored = Image.merge(
        "CMYK", (*(ImageOps.invert(channel) for channel in (luma, blue, red)), key)
    )
    image = saved(stored, "JPEG", quality=95, subsampling=0)
    at = image.index(b"Adobe\0") + 11
    assert image[at] == 0
    return image[:at] + b"\2" + image[at + 1 :]


def jpeg_that_claims(width: int, height: int) -> bytes:
    """A small grey JPEG whose header says that it is large."""
    image = saved(small(64, 36).convert("L"), "JPEG")
    at = image.index(b"\xff\xc0") + 5
    return image[:at] + struct.pack(">HH", height, width) + image[at + 4 :]


QUARTERS = ((220, 40, 40), (40, 200, 60), (50, 60, 210), (240, 240, 230))


def quarters(width: int, height: int) -> Image.Image:
    """Four areas of one colour each: QUARTERS, row by row."""
    picture = Image.new("RGB", (2, 2))
    picture.putdata(QUARTERS)
    return picture.resize((width, height), Image.Resampling.NEAREST)


def quarters_seen(picture: Image.Image | bytes) -> npt.NDArray[np.int_]:
    """The colours in the middle of the four areas, of a picture or a file."""
    opened = Image.open(io.BytesIO(picture)) if isinstance(picture, bytes) else picture
    colours = np.asarray(opened.convert("RGBA"))[..., :3].astype(int)
    height, width, _ = colours.shape
    return colours[
        [height // 4, height // 4, 3 * height // 4, 3 * height // 4],
        [width // 4, 3 * width // 4, width // 4, 3 * width // 4],
    ]


def bmp_v5(picture: Image.Image) -> bytes:
    """A BMP with a mask for alpha, and a header of the fifth version, which says sRGB."""
    pixels = np.asarray(picture.convert("RGBA"))[::-1, :, [2, 1, 0, 3]].tobytes()
    header = struct.pack(
        "<IiiHHIIiiII", 124, *picture.size, 1, 32, 3, len(pixels), 2835, 2835, 0, 0
    )
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    start = 14 + 124
    head = b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start)
    return head + header + masks + b"BGRs" + bytes(64) + pixels
