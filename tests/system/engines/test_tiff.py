"""Kinds of TIFF: what libvips cannot read goes to ImageMagick, and nothing comes out blank."""

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imagepipe.core.rendering.formats import PNG
from imagepipe.core.rendering.plan import RenderSettings, check_source
from imagepipe.engines.auto import AutoEngine
from imagepipe.engines.engine import Engine
from imagepipe.engines.files import tiff_header
from imagepipe.engines.magick.magick_engine import ImageMagickEngine
from imagepipe.engines.vips.vips_engine import VipsEngine
from imagepipe.errors import BadRequest, NotStored
from tests.support.reference_images import convert, pixels
from tests.support.source_images import saved, small
from tests.system.engines.contract.engine_contract import facts_of, render, request

PICTURE = small(128, 96).convert("RGB")
TILE = 64


@pytest.fixture(scope="module", params=["imagemagick", "auto"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Either engine."""
    magick = ImageMagickEngine()
    engine: Engine = magick if request.param == "imagemagick" else AutoEngine(VipsEngine(), magick)
    yield engine
    engine.close()


def tags_of(
    order: str, *, big: bool, entries: list[tuple[int, int, list[int]]], data_at: int
) -> bytes:
    """A header and a directory of (tag, type, values), padded to `data_at`."""
    number, room = ("Q", 8) if big else ("I", 4)
    head = {"<": b"II", ">": b"MM"}[order] + (
        struct.pack(order + "HHHQ", 43, 8, 0, 16) if big else struct.pack(order + "HI", 42, 8)
    )
    letters = {3: "H", 4: "I", 9: "i", 17: "q"}
    directory, further = b"", b""
    behind = len(head) + struct.calcsize("Q" if big else "H") + len(entries) * (4 + 2 * room) + room
    for tag, kind, values in sorted(entries):
        packed = struct.pack(f"{order}{len(values)}{letters[kind]}", *values)
        if len(packed) > room:
            packed, further = struct.pack(order + number, behind + len(further)), further + packed
        directory += struct.pack(f"{order}HH{number}", tag, kind, len(values)) + packed.ljust(
            room, b"\0"
        )
    written = (
        head
        + struct.pack(order + ("Q" if big else "H"), len(entries))
        + directory
        + bytes(room)
        + further
    )
    assert len(written) <= data_at
    return written.ljust(data_at, b"\0")


def tiled(
    order: str = "<", *, big: bool = False, planes: int = 1, compression: int = 1, tile: int = TILE
) -> bytes:
    """PICTURE in tiles."""
    samples = np.asarray(PICTURE)
    layers = [samples] if planes == 1 else [samples[:, :, n : n + 1] for n in range(3)]
    tiles = [
        np.pad(
            piece := layer[y : y + tile, x : x + tile],
            ((0, tile - piece.shape[0]), (0, tile - piece.shape[1]), (0, 0)),
        ).tobytes()
        for layer in layers
        for y in range(0, 96, tile)
        for x in range(0, 128, tile)
    ]
    data_at = 1024
    offsets = [data_at + n * len(tiles[0]) for n in range(len(tiles))]
    entries: list[tuple[int, int, list[int]]] = [
        (256, 4, [128]),
        (257, 4, [96]),
        (258, 3, [8, 8, 8]),
        (259, 3, [compression]),
        (262, 3, [2]),
        (277, 3, [3]),
        (284, 3, [planes]),
        (322, 4, [tile]),
        (323, 4, [tile]),
        (324, 4, offsets),
        (325, 4, [len(one) for one in tiles]),
    ]
    return tags_of(order, big=big, entries=entries, data_at=data_at) + b"".join(tiles)


def shown(made: bytes) -> Any:
    return pixels(made)[0][:, :, :3]


class TiffTests:
    @pytest.mark.parametrize(
        "compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "lzma", "zstd", "raw"]
    )
    def test_every_compression_is_read(
        self, engine: Engine, compression: str, tmp_path: Path
    ) -> None:
        image = saved(PICTURE, "TIFF", compression=compression)
        (ours,) = render(engine, image, tmp_path, request(None, PNG))
        theirs = np.asarray(Image.open(io.BytesIO(image)).convert("RGB")).astype(int)
        assert np.abs(shown(ours) - theirs).max() <= 3

    @pytest.mark.parametrize("order", "<>")
    @pytest.mark.parametrize("big", [False, True], ids=["classic", "big"])
    @pytest.mark.parametrize("planes", [1, 2], ids=["together", "separate"])
    def test_tiles_are_read(
        self, engine: Engine, order: str, big: bool, planes: int, tmp_path: Path
    ) -> None:
        (ours,) = render(engine, tiled(order, big=big, planes=planes), tmp_path, request(None, PNG))
        assert np.array_equal(shown(ours), np.asarray(PICTURE))

    @pytest.mark.parametrize("keeps", [0.4, 0.9])
    @pytest.mark.parametrize("planes", [1, 2], ids=["together", "separate"])
    def test_tiles_that_are_cut_off_are_refused(
        self, engine: Engine, keeps: float, planes: int, tmp_path: Path
    ) -> None:
        image = tiled(planes=planes)
        with pytest.raises(NotStored):
            render(engine, image[: int(len(image) * keeps)], tmp_path, request(None, PNG))

    @pytest.mark.parametrize("compression", [34925, 50000, 34933, 65000])
    def test_tiles_that_are_not_what_they_say_are_refused(
        self, engine: Engine, compression: int, tmp_path: Path
    ) -> None:
        with pytest.raises(NotStored):
            render(engine, tiled(compression=compression), tmp_path, request(None, PNG))

    @pytest.mark.parametrize("sampling", ["1x1", "2x1", "2x2"])
    @pytest.mark.parametrize("compression", ["None", "LZW", "JPEG"])
    def test_ycbcr_is_shown_in_its_colours(
        self, engine: Engine, sampling: str, compression: str, tmp_path: Path
    ) -> None:
        plain = saved(Image.new("RGB", (64, 48), (200, 40, 60)), "PNG")
        image = convert(
            "png:-",
            "-colorspace",
            "YCbCr",
            "-sampling-factor",
            sampling,
            "-compress",
            compression,
            "tiff:-",
            image=plain,
        )
        (ours,) = render(engine, image, tmp_path, request(None, PNG))
        assert np.abs(shown(ours).astype(int) - (200, 40, 60)).max() <= 4

    def test_unknown_tags_are_no_fault(self, engine: Engine, tmp_path: Path) -> None:
        image = saved(PICTURE, "TIFF", tiffinfo={65000: "of a scanner", 50838: 17})
        (ours,) = render(engine, image, tmp_path, request(None, PNG))
        assert np.array_equal(shown(ours), np.asarray(PICTURE))


class TileBombTests:
    @pytest.mark.parametrize(
        ("planes", "kind"),
        [(1, 4), (2, 4), (1, 9), (1, 17)],
        ids=["together", "separate", "signed", "long signed"],
    )
    def test_a_tile_larger_than_any_picture_is_refused_by_the_header(
        self, engine: Engine, planes: int, kind: int
    ) -> None:
        image = tags_of(
            "<",
            big=kind == 17,
            entries=[
                (256, 4, [10]),
                (257, 4, [10]),
                (258, 3, [8, 8, 8]),
                (259, 3, [8]),
                (262, 3, [2]),
                (277, 3, [3]),
                (284, 3, [planes]),
                (322, kind, [65520]),
                (323, kind, [65520]),
                (324, 4, [512] * 3),
                (325, 4, [100] * 3),
            ],
            data_at=612,
        )
        with pytest.raises(BadRequest, match="tiles of"):
            check_source(facts_of(engine, image), RenderSettings())


class HeaderTests:
    @pytest.mark.parametrize("order", "<>")
    @pytest.mark.parametrize("big", [False, True], ids=["classic", "big"])
    def test_values_are_read_in_either_order_and_width(self, order: str, big: bool) -> None:
        header = tiff_header.read(tiled(order, big=big))
        assert header.tile_bytes == TILE * TILE * 3
        assert header.values[tiff_header.BITS] == 8
        assert tiff_header.read(tiled(order, big=big, planes=2)).tile_bytes == TILE * TILE

    def test_one_that_is_cut_off_anywhere_has_what_is_left(self) -> None:
        whole = tiled()
        for end in range(400):
            assert (
                tiff_header.read(whole[:end]).values.items()
                <= tiff_header.read(whole).values.items()
            )

    def test_other_files_have_nothing(self) -> None:
        assert tiff_header.read(b"").values == tiff_header.read(b"GIF89a" * 9).values == {}

    def test_offsets_beyond_the_end_are_no_error(self) -> None:
        assert tiff_header.read(b"II*\0\xff\xff\xff\xff").values == {}
        assert tiff_header.read(b"II+\0\x08\0\0\0" + b"\xff" * 8).values == {}
