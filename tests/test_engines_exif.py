"""EXIF blocks that lead in circles: libexif would take half a minute to read the header of one of 7.8 KB."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_contract import facts_of, render, request
from pictures import saved, small
from PIL import Image

from imagepipe.core import formats
from imagepipe.core.geometry import Size
from imagepipe.engines.exif import BLOCKS_MAX, TooManyBlocksError, without_circles
from imagepipe.engines.vips import VipsEngine
from imagepipe.errors import NotStored

Entry = tuple[int, int, int, int]
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF")
FIRST = 8


def directory(order: str, entries: list[Entry], following: int = 0) -> bytes:
    """A directory of (tag, type, count, value) entries, and where the next one is."""
    return (
        struct.pack(order + "H", len(entries))
        + b"".join(struct.pack(order + "HHII", *entry) for entry in entries)
        + struct.pack(order + "I", following)
    )


def block(order: str, *directories: bytes) -> bytes:
    """An EXIF block with its directories one behind the other."""
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", FIRST) + b"".join(directories)


def camera(order: str) -> bytes:
    """What a camera writes: orientation 6, an EXIF, a GPS and an interoperability directory, and one for the thumbnail."""
    at = FIRST + 2 + 3 * 12 + 4
    inside = at + 2 + 12 + 4
    return block(
        order,
        directory(order, [(0x112, 3, 1, 6 if order == "<" else 6 << 16), (0x8769, 4, 1, at), (0x8825, 4, 1, inside)], inside + 6),
        directory(order, [(0xA005, 4, 1, inside + 12)]),
        directory(order, []) * 3,
    )


CIRCLES: dict[str, Callable[[str], bytes]] = {
    "to itself": lambda order: block(order, directory(order, [(0x8769, 4, 1, FIRST)])),
    "a hundred ways": lambda order: block(order, directory(order, [(tag, 4, 1, FIRST) for tag in (0x8769, 0x8825, 0xA005)] * 100)),
    "the next is itself": lambda order: block(order, directory(order, [], FIRST)),
    "two of a kind": lambda order: block(order, directory(order, [(0x8769, 4, 1, 60), (0x8769, 4, 1, 80)]), bytes(100)),
    "back": lambda order: block(order, directory(order, [(0x8769, 4, 1, FIRST + 18)]), directory(order, [(0xA005, 4, 1, FIRST)])),
}


def with_exif(format: str, exif: bytes) -> bytes:
    """A small picture with this block."""
    if format == "JPEG":
        plain = saved(small(), "JPEG", quality=90)
        return plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 8) + b"Exif\0\0" + exif + plain[2:]
    if format == "PNG":
        plain = saved(small(), "PNG")
        chunk = b"eXIf" + exif
        return plain[:33] + struct.pack(">I", len(exif)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + plain[33:]
    if format == "WEBP":
        return saved(small(), "WEBP", lossless=True, exif=exif)
    # Pillow would read the block to write it: it is put into the room of another.
    return saved(small(), "AVIF", exif=b"II*\0" + bytes(len(exif) - 4)).replace(b"II*\0" + bytes(len(exif) - 4), exif)


def stored_pixels(image: bytes) -> "np.ndarray[Any, Any]":
    """The picture, not turned."""
    return np.asarray(Image.open(io.BytesIO(image)).convert("RGB"))


def recognised(name: str) -> formats.Format:
    return formats.named(name.lower())


class CircleTests:
    @pytest.mark.parametrize("format", FORMATS)
    @pytest.mark.parametrize("order", "<>")
    def test_what_a_camera_writes_is_left_alone(self, format: str, order: str) -> None:
        image = with_exif(format, camera(order))
        assert without_circles(image, recognised(format)) is image

    @pytest.mark.parametrize("format", FORMATS)
    @pytest.mark.parametrize("order", "<>")
    @pytest.mark.parametrize("circle", CIRCLES)
    def test_a_circle_is_made_unreadable_and_nothing_else_is_changed(self, format: str, order: str, circle: str) -> None:
        exif = CIRCLES[circle](order)
        image = with_exif(format, exif)
        assert exif in image
        safe = bytes(without_circles(image, recognised(format))[: len(image)])
        assert exif not in safe
        assert len(safe) == len(image)
        assert sum(a != b for a, b in zip(safe, image, strict=True)) <= 2 + 4 * (format == "PNG")
        if format != "AVIF":  # which libavif refuses to read then; libheif, in the engine, does not mind
            assert np.array_equal(stored_pixels(safe), stored_pixels(with_exif(format, camera(order))))

    def test_a_block_that_is_cut_off_is_no_circle(self) -> None:
        for end in range(4, len(camera("<"))):
            image = b"\xff\xd8\xff\xe1..Exif\0\0" + camera("<")[:end]
            assert without_circles(image, formats.JPEG) is image

    def test_a_picture_with_blocks_without_end_is_refused(self) -> None:
        with pytest.raises(TooManyBlocksError):
            without_circles((b"Exif\0\0" + camera("<")) * (BLOCKS_MAX + 1), formats.JPEG)


class EngineTests:
    @pytest.fixture
    def engine(self) -> VipsEngine:
        return VipsEngine(timeout_seconds=20)  # a third of what libexif takes for the worst of them

    @pytest.mark.parametrize("format", FORMATS)
    def test_the_picture_is_rendered_unturned(self, engine: VipsEngine, format: str, tmp_path: Path) -> None:
        exif = CIRCLES["a hundred ways"]("<")
        assert facts_of(engine, with_exif(format, exif)).orientation == 1
        render(engine, with_exif(format, exif), tmp_path, request(Size(20, 20)))
        engine.close()

    def test_blocks_without_end_are_named(self, engine: VipsEngine) -> None:
        with pytest.raises(NotStored, match="EXIF"):
            facts_of(engine, saved(small(), "JPEG") + (b"Exif\0\0" + camera("<")) * (BLOCKS_MAX + 1))
        engine.close()
