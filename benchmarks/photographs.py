"""Real photographs as sources: cut out of large ones of Debian's, in the sizes and formats of a
camera's or a phone's uploads.

photographs(12, "jpeg", 8)     eight different JPEGs of 12 megapixels, made once, kept in
                               .cache/bench
distinct(image, 17)            nearly the same picture in other bytes, as are its outputs: nothing
                               that was kept of it helps
"""

import math
import struct
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

ROOT = Path(__file__).parent.parent
LARGE = [
    ROOT / ".cache/photos/usr/share/backgrounds" / name
    for name in ("Kleiber_by_Lukas_Baubkus.jpg", "Infinite-Sea_by_Aury88.jpg")
] + [
    ROOT / ".cache/large-photos/usr/share/backgrounds" / name
    for name in (
        "Dragonfly_by_Bolly.jpg",
        "picosdeeuropa_by_Aitzol_Berasategi.jpg",
        "mate/abstract/Elephants_5640x3172.jpg",
        "seeding_by_Clements_Engelhardt.jpg",
        "sunset_by_Aitzol_Berasategi.jpg",
        "Bridge_by_Sander_Klootwijk.jpg",
    )
]
ENLARGED_MAX = 1.45
"""There is none of 24 megapixels in 4:3 among them."""

KEPT = ROOT / ".cache/bench/photographs"

EXTENSIONS = {"jpeg": "jpg", "png": "png", "webp": "webp"}
_SAVED_AS: dict[str, dict[str, Any]] = {
    "jpeg": {"format": "JPEG", "quality": 92, "subsampling": "4:2:0"},
    "png": {"format": "PNG", "compress_level": 4},
    "webp": {"format": "WEBP", "quality": 90, "method": 2},
}


def side_lengths(megapixels: float) -> tuple[int, int]:
    """The width and height of a picture of 4:3: 12 gives (4000, 3000)."""
    width = round(math.sqrt(megapixels * 1e6 * 4 / 3) / 8) * 8
    return width, round(width * 3 / 4)


def photographs(megapixels: float, format: str, count: int) -> list[Path]:
    """`count` files with different pictures. Raises FileNotFoundError if the photographs were not
    fetched.
    """
    for photograph in LARGE:
        if not photograph.is_file():
            raise FileNotFoundError(f"{photograph} is missing: `make bench` fetches it")
    folder = KEPT / f"{megapixels:g}mp"
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{number}.{EXTENSIONS[format]}" for number in range(count)]
    for number, file in enumerate(files):
        if not file.exists():
            half = file.with_name(file.name + ".half")
            _picture(number, side_lengths(megapixels)).save(half, **_SAVED_AS[format])
            half.replace(file)
    return files


def distinct(image: bytes, number: int) -> bytes:
    """`image` with a comment in it, or behind its end where decoders do not look.

    A JPEG's chroma is also scaled by a little more or less, so that its outputs are other bytes,
    too: the digits of `number` to the base 4 are added to entries of the quantisation table that
    matter even at 1/4 of the size.
    """
    note = b"imagepipe bench %d" % number
    if not image.startswith(b"\xff\xd8"):
        return image + note
    table = image.index(b"\xff\xdb\x00\x43\x01") + 5
    entries = bytearray(image[table : table + 64])
    for digit, entry in enumerate((1, 2, 3, 4, 5, 6, 7, 8, 9)):
        entries[entry] = min(255, entries[entry] + (number >> (2 * digit)) % 4)
    return (
        image[:2]
        + b"\xff\xfe"
        + struct.pack(">H", len(note) + 2)
        + note
        + image[2:table]
        + entries
        + image[table + 64 :]
    )


def _picture(number: int, size: tuple[int, int]) -> Image.Image:
    """Another part of another photograph, sometimes its mirror image; none is enlarged by more than
    ENLARGED_MAX.
    """
    sources = [
        source
        for source in map(Image.open, LARGE)
        if _enlargement(source.size, size) <= ENLARGED_MAX
    ]
    source = sources[number % len(sources)]
    width, height = source.size
    turn = number // len(sources)
    share = min(1.0, max(_enlargement(source.size, size), 0.7 + 0.07 * (turn % 5)))
    part = min(width, height * 4 / 3) * share
    box = (int((width - part) * (turn % 3) / 2), int((height - part * 3 / 4) * (turn % 2)))
    cut = source.convert("RGB").crop((*box, int(box[0] + part), int(box[1] + part * 3 / 4)))
    picture = cut.resize(size, Image.Resampling.LANCZOS)
    return ImageOps.mirror(picture) if turn % 2 else picture


def _enlargement(source: tuple[int, int], size: tuple[int, int]) -> float:
    return max(
        size[0] / min(source[0], source[1] * 4 / 3), size[1] / min(source[1], source[0] * 3 / 4)
    )
