"""HEIC files put together box by box, of pictures that libheif encodes: what phones write and
Pillow cannot.

Item(picture)                           a picture, or a grid of others, with its properties
                                        (rotation, colours, ...)
heif([item, ...], primary=0, ...)       the file; ISO/IEC 23008-12 and 14496-12
"""

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pillow_heif
from PIL import Image
from pillow_heif import options

from tests.support.source_images import saved

ALPHA = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0"
GAIN_MAP = b"urn:com:apple:photo:2020:aux:hdrgainmap\0"


@dataclass(frozen=True)
class Item:
    """An image item: its type, its bytes, and its property boxes."""

    kind: bytes
    data: bytes
    properties: tuple[bytes, ...]


@dataclass(frozen=True)
class Reference:
    """`source`, the number of an item, refers to others: "auxl" of an auxiliary image to its
    masters, "dimg" of a grid to its tiles.
    """

    kind: bytes
    source: int
    targets: tuple[int, ...]


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box."""
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def full_box(kind: bytes, *parts: bytes, version: int = 0, flags: int = 0) -> bytes:
    """A box with a version and flags."""
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def boxes(content: bytes) -> dict[bytes, bytes]:
    """What is in each box, by its type."""
    found, at = {}, 0
    while at < len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        found[kind] = content[at + 8 : at + size]
        at += size
    return found


def nclx(primaries: int, transfer: int, matrix: int = 6) -> bytes:
    """The property that says colours by codes."""
    return box(b"colr", b"nclx", struct.pack(">HHHB", primaries, transfer, matrix, 0x80))


def profile(icc: bytes) -> bytes:
    """The property that holds a profile."""
    return box(b"colr", b"prof", icc)


def auxiliary(kind: bytes) -> bytes:
    """The property that says what an auxiliary image is."""
    return full_box(b"auxC", kind)


def rotation(quarters: int) -> bytes:
    """The property that turns the picture, anticlockwise."""
    return box(b"irot", bytes([quarters]))


def mirror(axis: int) -> bytes:
    """The property that mirrors it: 0 exchanges top and bottom, 1 left and right."""
    return box(b"imir", bytes([axis]))


def encoded(picture: Image.Image, *properties: bytes) -> Item:
    """A picture as HEVC, in good quality, without metadata."""
    return _item_of(pillow_heif.from_pillow(Image.fromarray(np.asarray(picture))), *properties)


def encoded_av1(picture: Image.Image, *properties: bytes) -> Item:
    """A picture as AV1, for an AVIF."""
    outer = boxes(saved(picture, "AVIF", quality=98, subsampling="4:4:4"))
    inner = boxes(boxes(boxes(outer[b"meta"][4:])[b"iprp"])[b"ipco"])
    coding = box(b"av1C", inner[b"av1C"]), _size(*picture.size), box(b"pixi", inner[b"pixi"])
    return Item(b"av01", outer[b"mdat"], (*coding, *properties))


def encoded_deep(colours: npt.NDArray[np.uint16], bits: int, *properties: bytes) -> Item:
    """The same of RGB values of 16 bits, of which 10 or 12 are kept."""
    options.SAVE_HDR_TO_12_BIT = bits == 12
    height, width, _ = colours.shape
    return _item_of(
        pillow_heif.from_bytes("RGB;16", (width, height), colours.tobytes()), *properties
    )


def _item_of(file: pillow_heif.HeifFile, *properties: bytes) -> Item:
    whole = io.BytesIO()
    file.save(whole, quality=95, chroma=444, save_nclx_profile=False)
    outer = boxes(whole.getvalue())
    inner = boxes(boxes(boxes(outer[b"meta"][4:])[b"iprp"])[b"ipco"])
    coding = box(b"hvcC", inner[b"hvcC"]), _size(*file.size), box(b"pixi", inner[b"pixi"])
    return Item(b"hvc1", outer[b"mdat"], (*coding, *properties))


def grid(columns: int, rows: int, size: tuple[int, int], *properties: bytes) -> Item:
    """A picture of `size` that tiles make up, row by row."""
    return Item(
        b"grid",
        struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, *size),
        (_size(*size), *properties),
    )


def heif(
    items: Sequence[Item],
    references: Sequence[Reference] = (),
    *,
    primary: int = 1,
    brand: bytes = b"heic",
    hidden: Sequence[int] = (),
) -> bytes:
    """The file. Items count from 1; those of `hidden` are parts of others."""
    ftyp = box(b"ftyp", brand, bytes(4), b"mif1", brand)
    kinds = list(dict.fromkeys(each for item in items for each in item.properties))
    infos = [
        full_box(
            b"infe", struct.pack(">HH4s", n, 0, item.kind), b"\0", version=2, flags=int(n in hidden)
        )
        for n, item in enumerate(items, start=1)
    ]
    links = [
        struct.pack(">HB", n, len(item.properties))
        + b"".join(bytes([1 + kinds.index(each)]) for each in item.properties)
        for n, item in enumerate(items, start=1)
    ]
    parts = [
        full_box(b"hdlr", bytes(4), b"pict", bytes(13)),
        full_box(b"pitm", struct.pack(">H", primary)),
        full_box(b"iinf", struct.pack(">H", len(items)), *infos),
        box(
            b"iprp", box(b"ipco", *kinds), full_box(b"ipma", struct.pack(">I", len(items)), *links)
        ),
        full_box(
            b"iref",
            *[
                box(
                    one.kind,
                    struct.pack(
                        f">HH{len(one.targets)}H", one.source, len(one.targets), *one.targets
                    ),
                )
                for one in references
            ],
        ),
    ]
    length = len(ftyp) + len(full_box(b"meta", *parts, _places(items, 0))) + 8
    return (
        ftyp
        + full_box(b"meta", *parts, _places(items, length))
        + box(b"mdat", *[item.data for item in items])
    )


def _places(items: Sequence[Item], start: int) -> bytes:
    entries = []
    for n, item in enumerate(items, start=1):
        entries.append(struct.pack(">HHHII", n, 0, 1, start, len(item.data)))
        start += len(item.data)
    return full_box(b"iloc", b"\x44\0", struct.pack(">H", len(items)), *entries)


def _size(width: int, height: int) -> bytes:
    return full_box(b"ispe", struct.pack(">II", width, height))
