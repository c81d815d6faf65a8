"""What every engine must do with formats that ImageMagick reads for it: PSD, JP2, ICO, BMP."""

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from imagepipe.core.rendering.formats import JPEG
from imagepipe.core.rendering.geometry import Size
from imagepipe.engines.engine import Engine
from imagepipe.errors import NotStored
from tests.support.icc_profiles import (
    cmyk_profile,
    grey_profile,
    in_srgb,
    swapped_profile,
    wide_profile,
)
from tests.support.rare_files import CMYK, GREY, RGB, bmp, icon, icon_bmp, jp2, psd
from tests.support.reference_images import pixels
from tests.support.source_images import quarters, quarters_seen, saved
from tests.system.engines.contract.engine_contract import facts_of, render, request

SIZE = (64, 48)

P3_NUMBERS = struct.pack(
    "<9I3I",
    *(
        round(value * 2**29)
        for value in (0.4866, 0.2290, 0.0, 0.2657, 0.6917, 0.0451, 0.1982, 0.0793, 1.0439)
    ),
    *[round(2.2 * 65536)] * 3,
)
"""XYZ of red, green and blue of Display P3, halved, and gammas."""

LINEAR_NUMBERS = P3_NUMBERS[:36] + struct.pack("<3I", *[65536] * 3)


def middle(image: bytes) -> list[int]:
    """Red, green, blue and alpha in the middle."""
    seen = pixels(image)[0]
    colour: list[int] = seen[seen.shape[0] // 2, seen.shape[1] // 2].tolist()
    return colour


def plain(side: int, *colour: int) -> Image.Image:
    """A square of one colour."""
    return Image.new("RGBA", (side, side), colour)


def near(ours: bytes, theirs: npt.NDArray[np.int_], by: int = 3) -> bool:
    """Whether the four quarters have their colours."""
    return bool(np.abs(quarters_seen(ours) - theirs).max() <= by)


class PsdContract:
    """A PSD is its merged picture."""

    @pytest.mark.parametrize(
        ("channels", "layers", "colour"),
        [
            ([200, 0, 0], 0, [200, 0, 0, 255]),
            ([200, 0, 0, 128], 0, [200, 0, 0, 255]),
            ([200, 0, 0, 128], 1, [200, 0, 0, 255]),
            ([227, 127, 127, 128], -1, [200, 0, 0, 128]),
            ([227, 127, 127, 128, 7], -1, [200, 0, 0, 128]),
        ],
        ids=[
            "opaque",
            "a saved mask",
            "a saved mask and a layer",
            "transparent",
            "transparent and a mask",
        ],
    )
    def test_only_transparency_is_alpha(
        self, engine: Engine, channels: list[int], layers: int, colour: list[int], tmp_path: Path
    ) -> None:
        """Photoshop lays the merged picture on white, and saves selections as channels."""
        image = psd(RGB, channels, layers=layers)
        facts = facts_of(engine, image)
        assert (facts.size, facts.alpha) == (Size(16, 12), colour[3] < 255)
        (made,) = render(engine, image, tmp_path, request(None))
        assert np.abs(np.array(middle(made)) - colour).max() <= 2

    def test_transparency_lies_over_white_in_a_jpeg(self, engine: Engine, tmp_path: Path) -> None:
        image = psd(RGB, [255, 255, 255, 0], layers=-1)
        (made,) = render(engine, image, tmp_path, request(None, JPEG))
        assert min(middle(made)) >= 250

    @pytest.mark.parametrize(
        ("mode", "channels", "profile", "colour"),
        [
            (RGB, [200, 0, 0], swapped_profile(), [0, 201, 0]),
            (RGB, [200, 0, 0], grey_profile(), [200, 0, 0]),
            (GREY, [128], grey_profile(1.0), [188, 188, 188]),
            (GREY, [128], wide_profile(), [128, 128, 128]),
            (CMYK, [55, 255, 255, 255], wide_profile(), [55, 255, 255]),
            (CMYK, [55, 255, 255, 255], cmyk_profile(), [0, 166, 228]),
        ],
        ids=["rgb", "grey of rgb", "grey", "rgb of grey", "rgb of cmyk", "cmyk"],
    )
    def test_a_profile_that_fits_counts(
        self,
        engine: Engine,
        mode: int,
        channels: list[int],
        profile: bytes,
        colour: list[int],
        tmp_path: Path,
    ) -> None:
        (made,) = render(engine, psd(mode, channels, profile=profile), tmp_path, request(None))
        assert np.abs(np.array(middle(made)[:3]) - colour).max() <= 3


class Jp2Contract:
    """A JPEG 2000 file, by what its "colr" box says."""

    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "YCbCr"])
    def test_kinds_of_pixels(self, engine: Engine, mode: str, tmp_path: Path) -> None:
        picture = quarters(*SIZE).convert(mode)
        (made,) = render(engine, jp2(picture), tmp_path, request(None))
        assert near(made, quarters_seen(picture))

    def test_alpha_is_kept(self, engine: Engine, tmp_path: Path) -> None:
        picture = quarters(*SIZE)
        picture.putalpha(100)
        made, jpeg = render(engine, jp2(picture), tmp_path, request(None), request(None, JPEG))
        assert middle(made)[3] == 100
        assert near(jpeg, 255 - (255 - quarters_seen(picture)) * 100 // 255, 12)

    @pytest.mark.parametrize(
        ("profile", "counts"),
        [(swapped_profile(), True), (grey_profile(), False)],
        ids=["rgb", "grey"],
    )
    def test_a_profile_that_fits_counts(
        self, engine: Engine, profile: bytes, counts: bool, tmp_path: Path
    ) -> None:
        picture = quarters(*SIZE)
        image = jp2(picture, colours=b"\2\0\0" + profile)
        assert facts_of(engine, image).profile is counts
        (made,) = render(engine, image, tmp_path, request(None))
        assert near(made, quarters_seen(in_srgb(picture, profile) if counts else picture))

    @pytest.mark.parametrize("colours", [b"\2", b"\2\0\0", b"\1\0\0\0\0\0\x10", b"\3\0\0acsp"])
    def test_what_makes_no_sense_is_srgb(
        self, engine: Engine, colours: bytes, tmp_path: Path
    ) -> None:
        try:
            (made,) = render(engine, jp2(quarters(*SIZE), colours=colours), tmp_path, request(None))
        except NotStored:
            return  # ImageMagick's library may refuse the box
        assert near(made, quarters_seen(quarters(*SIZE)))


class IconContract:
    """An ICO is its largest picture."""

    @pytest.mark.parametrize("first", [True, False])
    @pytest.mark.parametrize(
        ("kind", "side"), [("PNG", 64), ("PNG", 256), ("PNG", 300), ("BMP", 64), ("BMP", 256)]
    )
    def test_the_largest_picture(
        self, engine: Engine, first: bool, kind: str, side: int, tmp_path: Path
    ) -> None:
        picture = plain(side, 0, 255, 0, 100)
        large = (side, 32, saved(picture, "PNG") if kind == "PNG" else icon_bmp(picture, 32))
        small = (16, 32, icon_bmp(plain(16, 255, 0, 0, 255), 32))
        image = icon(large, small) if first else icon(small, large)
        facts = facts_of(engine, image)
        assert (facts.size, facts.alpha) == (Size(side, side), True)
        (made,) = render(engine, image, tmp_path, request(None))
        assert middle(made) == [0, 255, 0, 100]

    def test_of_equal_size_the_one_with_most_colours(self, engine: Engine, tmp_path: Path) -> None:
        poor, rich = (
            icon_bmp(plain(32, 255, 0, 0, 255), 24),
            icon_bmp(plain(32, 0, 255, 0, 200), 32),
        )
        (made,) = render(engine, icon((32, 24, poor), (32, 32, rich)), tmp_path, request(None))
        assert middle(made) == [0, 255, 0, 200]

    @pytest.mark.parametrize(("bits", "alpha"), [(24, 255), (32, 0)])
    @pytest.mark.parametrize("side", [32, 30, 33])
    def test_the_mask_hides_where_there_is_no_alpha(
        self, engine: Engine, bits: int, alpha: int, side: int, tmp_path: Path
    ) -> None:
        hidden = np.zeros((side, side), bool)
        hidden[:8, :5] = True
        image = icon((side, bits, icon_bmp(plain(side, 0, 255, 9, alpha), bits, hidden)))
        (made,) = render(engine, image, tmp_path, request(None))
        seen = pixels(made)[0]
        assert (seen[..., 3] == 0).tolist() == hidden.tolist()
        assert middle(made) == [0, 255, 9, 255]

    @pytest.mark.parametrize("image", [icon((16, 32, b"")), icon((16, 32, bytes(100)))[:20]])
    def test_one_without_a_picture_is_refused(self, engine: Engine, image: bytes) -> None:
        with pytest.raises(NotStored, match="cannot be"):
            facts_of(engine, image)


class BmpColoursContract:
    """A BMP of the fifth version says its colours."""

    @pytest.mark.parametrize(
        "profile", [swapped_profile(), wide_profile()], ids=["swapped", "wide"]
    )
    def test_an_embedded_profile(self, engine: Engine, profile: bytes, tmp_path: Path) -> None:
        picture = quarters(*SIZE)
        (made,) = render(engine, bmp(picture, b"DEBM", profile=profile), tmp_path, request(None))
        assert near(made, quarters_seen(in_srgb(picture, profile)))

    @pytest.mark.parametrize(
        "profile",
        [grey_profile(), wide_profile()[:128] + bytes(300), b"nothing", b""],
        ids=["grey", "broken", "none", "empty"],
    )
    def test_a_profile_that_cannot_count(
        self, engine: Engine, profile: bytes, tmp_path: Path
    ) -> None:
        (made,) = render(
            engine, bmp(quarters(*SIZE), b"DEBM", profile=profile), tmp_path, request(None)
        )
        assert near(made, quarters_seen(quarters(*SIZE)))

    def test_calibrated_colours(self, engine: Engine, tmp_path: Path) -> None:
        picture = quarters(*SIZE)
        wide, linear = render_all(
            engine,
            tmp_path,
            bmp(picture, bytes(4), numbers=P3_NUMBERS),
            bmp(picture, bytes(4), numbers=LINEAR_NUMBERS),
        )
        assert near(wide, quarters_seen(in_srgb(picture, wide_profile())), 6)
        assert np.abs(quarters_seen(linear)[3] - [248, 248, 243]).max() <= 3

    @pytest.mark.parametrize(
        "kind", [b"BGRs", b" niW", bytes(4)], ids=["sRGB", "Windows", "calibrated by zeros"]
    )
    def test_srgb(self, engine: Engine, kind: bytes, tmp_path: Path) -> None:
        (made,) = render(engine, bmp(quarters(*SIZE), kind), tmp_path, request(None))
        assert near(made, quarters_seen(quarters(*SIZE)), 0)

    def test_a_profile_outside_the_file(self, engine: Engine, tmp_path: Path) -> None:
        image = bytearray(bmp(quarters(*SIZE), b"DEBM"))
        struct.pack_into("<II", image, 14 + 112, 2**32 - 1, 2**32 - 1)
        (made,) = render(engine, bytes(image), tmp_path, request(None))
        assert near(made, quarters_seen(quarters(*SIZE)), 0)


def render_all(engine: Engine, folder: Path, *images: bytes) -> list[bytes]:
    """Each image as a PNG."""
    return [render(engine, image, folder, request(None))[0] for image in images]
