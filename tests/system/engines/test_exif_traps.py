"""EXIF blocks that are a trap: small ones would take decoders half a minute, for the header
alone.
"""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imagepipe.core.rendering import formats
from imagepipe.core.rendering.geometry import Size
from imagepipe.engines.files.exif_traps import (
    BLOCKS_MAX,
    VALUES_BYTES_MAX,
    TooManyBlocksError,
    without_traps,
)
from imagepipe.engines.files.heif_items import exif_is_scattered
from imagepipe.engines.magick.magick_engine import ImageMagickEngine
from imagepipe.engines.vips.vips_engine import VipsEngine
from imagepipe.errors import NotStored
from tests.support.source_images import saved, small
from tests.system.engines.contract.engine_contract import facts_of, render, request

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
    return (
        (b"II*\0" if order == "<" else b"MM\0*")
        + struct.pack(order + "I", FIRST)
        + b"".join(directories)
    )


def camera(order: str) -> bytes:
    """What a camera writes: orientation 6, an EXIF, a GPS and an interoperability directory, and
    one for the thumbnail.
    """
    at = FIRST + 2 + 3 * 12 + 4
    inside = at + 2 + 12 + 4
    return block(
        order,
        directory(
            order,
            [
                (0x112, 3, 1, 6 if order == "<" else 6 << 16),
                (0x8769, 4, 1, at),
                (0x8825, 4, 1, inside),
            ],
            inside + 6,
        ),
        directory(order, [(0xA005, 4, 1, inside + 12)]),
        directory(order, []) * 3,
    )


TRAPS: dict[str, Callable[[str], bytes]] = {
    "to itself": lambda order: block(order, directory(order, [(0x8769, 4, 1, FIRST)])),
    "a hundred ways": lambda order: block(
        order, directory(order, [(tag, 4, 1, FIRST) for tag in (0x8769, 0x8825, 0xA005)] * 100)
    ),
    "the next is itself": lambda order: block(order, directory(order, [], FIRST)),
    "two of a kind": lambda order: block(
        order, directory(order, [(0x8769, 4, 1, 60), (0x8769, 4, 1, 80)]), bytes(100)
    ),
    "from one to the next": lambda order: chain(order, 200),
    "to one value": lambda order: shared(order, 1000, 40_000),
    "to a value longer than itself": lambda order: block(
        order, directory(order, [(0x9286, 7, VALUES_BYTES_MAX, 26)])
    ),
    "back": lambda order: block(
        order,
        directory(order, [(0x8769, 4, 1, FIRST + 18)]),
        directory(order, [(0xA005, 4, 1, FIRST)]),
    ),
}


def chain(order: str, length: int) -> bytes:
    """Empty directories, each of which leads to the next."""
    return block(order, *(directory(order, [], FIRST + 6 * (n + 1)) for n in range(length)))


def shared(order: str, count: int, length: int) -> bytes:
    """Entries whose values of `length` bytes are one and the same."""
    at = FIRST + 2 + 12 * count + 4
    return block(order, directory(order, [(0x9286, 7, length, at)] * count), bytes(length))


def with_exif(format: str, exif: bytes) -> bytes:
    """A small picture with this block."""
    if format == "JPEG":
        plain = saved(small(), "JPEG", quality=90)
        return (
            plain[:2]
            + b"\xff\xe1"
            + struct.pack(">H", len(exif) + 8)
            + b"Exif\0\0"
            + exif
            + plain[2:]
        )
    if format == "PNG":
        plain = saved(small(), "PNG")
        chunk = b"eXIf" + exif
        return (
            plain[:33]
            + struct.pack(">I", len(exif))
            + chunk
            + struct.pack(">I", zlib.crc32(chunk))
            + plain[33:]
        )
    if format == "WEBP":
        return saved(small(), "WEBP", lossless=True, exif=exif)
    # Pillow would read the block to write it: it is put into the room of another.
    return saved(small(), "AVIF", exif=b"II*\0" + bytes(len(exif) - 4)).replace(
        b"II*\0" + bytes(len(exif) - 4), exif
    )


def in_two_pieces(avif: bytes) -> bytes:
    """An AVIF by Pillow in which the last item, the EXIF block, has two extents with a gap
    between.
    """
    at = avif.index(b"iloc") + 4
    version, sizes, count = struct.unpack_from(">IHH", avif, at)
    # each: item(2) 0(2) extents(2) offset(4) length(4)
    assert (version, sizes, count) == (0, 0x4400, 2)
    places = [struct.unpack_from(">HHHII", avif, at + 8 + 14 * n) for n in range(2)]
    (first, _, _, pixels_at, pixels_length), (second, _, _, offset, length) = places
    assert pixels_at > offset
    cut = avif.index(b"*\0", offset) - offset
    table = struct.pack(">HHHII", first, 0, 1, pixels_at + 8 + 3, pixels_length)
    table += struct.pack(
        ">HHHIIII", second, 0, 2, offset + 8, cut, offset + 8 + cut + 3, length - cut
    )
    grown = (
        avif[:at]
        + avif[at : at + 8]
        + table
        + avif[at + 36 : offset + cut]
        + b"gap"
        + avif[offset + cut :]
    )
    for box, by in ((b"meta", 8), (b"iloc", 8), (b"mdat", 3)):
        place = grown.index(box) - 4
        (size,) = struct.unpack_from(">I", grown, place)
        grown = grown[:place] + struct.pack(">I", size + by) + grown[place + 4 :]
    return grown


def stored_pixels(image: bytes) -> "np.ndarray[Any, Any]":
    """The picture, not turned."""
    return np.asarray(Image.open(io.BytesIO(image)).convert("RGB"))


def recognised(name: str) -> formats.Format:
    return formats.named(name.lower())


class TrapTests:
    @pytest.mark.parametrize("format", FORMATS)
    @pytest.mark.parametrize("order", "<>")
    def test_what_a_camera_writes_is_left_alone(self, format: str, order: str) -> None:
        image = with_exif(format, camera(order))
        assert without_traps(image, recognised(format)) is image

    @pytest.mark.parametrize("format", FORMATS)
    @pytest.mark.parametrize("order", "<>")
    @pytest.mark.parametrize("trap", TRAPS)
    def test_a_trap_is_made_unreadable_and_nothing_else_is_changed(
        self, format: str, order: str, trap: str
    ) -> None:
        exif = TRAPS[trap](order)
        image = with_exif(format, exif)
        assert exif in image
        safe = bytes(without_traps(image, recognised(format))[: len(image)])
        assert exif not in safe
        assert len(safe) == len(image)
        assert sum(a != b for a, b in zip(safe, image, strict=True)) <= 2 + 4 * (format == "PNG")
        # which libavif refuses to read then; libheif, in the engine, does not mind
        if format != "AVIF":
            assert np.array_equal(
                stored_pixels(safe), stored_pixels(with_exif(format, camera(order)))
            )

    def test_a_truncated_block_is_not_a_trap(self) -> None:
        for end in range(4, len(camera("<"))):
            image = b"\xff\xd8\xff\xe1..Exif\0\0" + camera("<")[:end]
            assert without_traps(image, formats.JPEG) is image

    def test_a_picture_with_blocks_without_end_is_refused(self) -> None:
        with pytest.raises(TooManyBlocksError):
            without_traps((b"Exif\0\0" + camera("<")) * (BLOCKS_MAX + 1), formats.JPEG)


class ScatteredTests:
    def test_a_block_in_two_pieces_is_found(self) -> None:
        image = with_exif("AVIF", TRAPS["a hundred ways"]("<"))
        assert not exif_is_scattered(image)
        assert exif_is_scattered(in_two_pieces(image))
        assert not exif_is_scattered(saved(small(), "AVIF"))

    def test_tables_that_are_cut_off_or_of_another_version(self) -> None:
        image = in_two_pieces(with_exif("AVIF", camera("<")))
        at = image.index(b"iloc")
        for end in range(at, at + 30):
            exif_is_scattered(image[:end])
        for version in (1, 2):
            wide = ">I" if version == 2 else ">H"
            table = (
                bytes([version])
                + bytes(3)
                + b"\x44\x44"
                + struct.pack(wide, 1)
                + struct.pack(wide, 7)
                + bytes(4)
                + bytes(4)
            )
            entry = b"infe\x03" + bytes(3) + struct.pack(">I", 7) + bytes(2) + b"Exif"
            for extents in (1, 2):
                scattered = exif_is_scattered(
                    entry + b"iloc" + table + struct.pack(">H", extents) + bytes(24)
                )
                assert scattered == (extents == 2)


class MagickTests:
    @pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
    def test_the_picture_is_rendered_unturned(self, format: str, tmp_path: Path) -> None:
        engine = ImageMagickEngine(timeout_seconds=15)  # half of what it takes for the header alone
        exif = shared("<", 1500, 45_000)
        assert facts_of(engine, with_exif(format, exif)).orientation == 1
        render(engine, with_exif(format, exif), tmp_path, request(Size(20, 20)))

    def test_blocks_without_end_are_named(self) -> None:
        with pytest.raises(NotStored, match="EXIF"):
            facts_of(
                ImageMagickEngine(),
                saved(small(), "JPEG") + (b"Exif\0\0" + camera("<")) * (BLOCKS_MAX + 1),
            )


class EngineTests:
    @pytest.fixture
    def engine(self) -> VipsEngine:
        return VipsEngine(timeout_seconds=20)  # a third of what libexif takes for the worst of them

    def test_a_block_in_pieces_is_refused(self, engine: VipsEngine) -> None:
        with pytest.raises(NotStored, match="EXIF block is in several pieces"):
            facts_of(engine, in_two_pieces(with_exif("AVIF", TRAPS["a hundred ways"]("<"))))
        engine.close()

    @pytest.mark.parametrize("format", FORMATS)
    def test_the_picture_is_rendered_unturned(
        self, engine: VipsEngine, format: str, tmp_path: Path
    ) -> None:
        exif = TRAPS["a hundred ways"]("<")
        assert facts_of(engine, with_exif(format, exif)).orientation == 1
        render(engine, with_exif(format, exif), tmp_path, request(Size(20, 20)))
        engine.close()

    def test_blocks_without_end_are_named(self, engine: VipsEngine) -> None:
        with pytest.raises(NotStored, match="EXIF"):
            facts_of(
                engine, saved(small(), "JPEG") + (b"Exif\0\0" + camera("<")) * (BLOCKS_MAX + 1)
            )
        engine.close()
