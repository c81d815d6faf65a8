"""BMP files as programs write them, right or not, look as viewers show them."""

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from imagepipe.core.rendering.formats import BMP, PNG
from imagepipe.engines.auto import AutoEngine
from imagepipe.engines.engine import Engine
from imagepipe.engines.files.bmp import correct_headers
from imagepipe.engines.magick.magick_engine import ImageMagickEngine
from imagepipe.engines.vips.vips_engine import VipsEngine
from imagepipe.errors import NotStored
from tests.support.reference_images import pixels
from tests.support.source_images import saved, small
from tests.system.engines.contract.engine_contract import facts_of, recognised, render, request

PICTURE = small(48, 32).convert("RGB")
GOOD = saved(PICTURE, "BMP")


@pytest.fixture(scope="module", params=["imagemagick", "auto"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Either engine that reads BMP."""
    magick = ImageMagickEngine()
    engine: Engine = magick if request.param == "imagemagick" else AutoEngine(VipsEngine(), magick)
    yield engine
    engine.close()


def with_length(length: int) -> bytes:
    return GOOD[:2] + struct.pack("<I", length) + GOOD[6:]


def with_fourth_byte(compression: int, alpha_mask: int, header_bytes: int) -> bytes:
    """32 bits a pixel, 40 in each fourth byte."""
    rows = np.dstack([np.asarray(PICTURE)[:, :, ::-1], np.full((32, 48, 1), 40, "uint8")])[
        ::-1
    ].tobytes()
    header = struct.pack(
        "<IiiHHIIiiII", header_bytes, 48, 32, 1, 32, compression, len(rows), 0, 0, 0, 0
    )
    if header_bytes > 40:
        header += struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, alpha_mask) + b"BGRs"
    header = header.ljust(header_bytes, b"\0")
    return (
        b"BM"
        + struct.pack("<IHHI", 14 + len(header) + len(rows), 0, 0, 14 + len(header))
        + header
        + rows
    )


VARIANTS = {
    "a length of 0": with_length(0),
    "a length without the padding": with_length(len(GOOD) - 2),
    "the length of the pixels": with_length(len(GOOD) - 54),
    "a length beyond the end": with_length(0xFFFFFFFF),
    "padding behind the end": GOOD + b"\0\0",
    "something in the reserved bytes": GOOD[:6] + b"\1\0\2\0" + GOOD[10:],
    "an unused fourth byte": with_fourth_byte(0, 0, 40),
    "an unused fourth byte, version 4": with_fourth_byte(0, 0, 108),
    "masks without alpha": with_fourth_byte(3, 0, 108),
}


class BmpTests:
    @pytest.mark.parametrize("variant", VARIANTS)
    def test_what_viewers_forgive_is_shown_opaque(
        self, engine: Engine, variant: str, tmp_path: Path
    ) -> None:
        image = VARIANTS[variant]
        assert recognised(image) == BMP
        assert not facts_of(engine, image).alpha
        (ours,) = render(engine, image, tmp_path, request(None, PNG))
        shown = pixels(ours)[0]
        assert np.array_equal(shown[:, :, :3], np.asarray(PICTURE))
        assert shown[:, :, 3].min() == 255

    @pytest.mark.parametrize("header_bytes", [108, 124])
    def test_an_alpha_mask_means_transparency(
        self, engine: Engine, header_bytes: int, tmp_path: Path
    ) -> None:
        image = with_fourth_byte(3, 0xFF000000, header_bytes)
        assert facts_of(engine, image).alpha
        (ours,) = render(engine, image, tmp_path, request(None, PNG))
        assert set(np.unique(pixels(ours)[0][:, :, 3])) == {40}

    @pytest.mark.parametrize("keeps", [30, 54, 60, 0.5, 0.95])
    def test_one_that_is_cut_off_is_refused(
        self, engine: Engine, keeps: float, tmp_path: Path
    ) -> None:
        image = GOOD[: keeps if isinstance(keeps, int) else int(len(GOOD) * keeps)]
        with pytest.raises(NotStored):
            render(engine, image, tmp_path, request(None, PNG))


class CorrectedTests:
    def test_a_right_one_is_not_changed(self) -> None:
        assert correct_headers(GOOD) == GOOD

    @pytest.mark.parametrize("variant", VARIANTS)
    def test_it_is_right_once_corrected(self, variant: str) -> None:
        assert correct_headers(correct_headers(VARIANTS[variant])) == correct_headers(
            VARIANTS[variant]
        )

    def test_whatever_is_behind_the_header_stays(self) -> None:
        for end in range(0, 70, 3):
            assert correct_headers(GOOD[:end])[54:] == GOOD[:end][54:]

    def test_an_offset_of_4_gib_is_kept_within_its_bytes(self) -> None:
        plain = with_fourth_byte(0, 0, 40)
        far = plain[:10] + b"\xff\xff\xff\xff" + plain[14:]
        assert correct_headers(far)[10:14] == b"\xff\xff\xff\xff"
