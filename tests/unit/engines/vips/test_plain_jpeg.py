"""JPEGs that libjpeg-turbo decodes without libvips: the same pixels, or none at all."""

import numpy as np
import pytest
import pyvips
from PIL import Image

from imagepipe.core.rendering.formats import JPEG
from imagepipe.core.rendering.geometry import Size
from imagepipe.core.rendering.output_request import OutputRequest
from imagepipe.core.rendering.plan import RenderPlan, RenderSettings, plan_render
from imagepipe.engines.vips import plain_jpeg
from imagepipe.engines.vips.vips_header import read_facts
from tests.support.gradients import detailed, encoded
from tests.support.icc_profiles import wide_profile


def plan_of(image: bytes, side: int = 100, *, strip: bool = True) -> RenderPlan:
    """One output, that fits into a square."""
    request = OutputRequest("a.jpg", Size(side, side), JPEG)
    return plan_render((request,), read_facts(image, JPEG), RenderSettings(strip=strip))


def odd(side_lengths: tuple[int, int] = (1283, 721), **options: object) -> bytes:
    """A JPEG whose sides no shrink divides."""
    return encoded(detailed(*side_lengths), "JPEG", **{"quality": 90, **options})


class PlainJpegTests:
    """Bit for bit what libvips gives."""

    @pytest.mark.parametrize(("side", "shrink"), [(1000, 1), (300, 2), (150, 4), (70, 8)])
    @pytest.mark.parametrize("subsampling", [0, 1, 2])
    @pytest.mark.parametrize("progressive", [False, True])
    def test_the_pixels_are_those_of_libvips(
        self, side: int, shrink: int, subsampling: int, progressive: bool
    ) -> None:
        image = odd(subsampling=subsampling, progressive=progressive)
        plan = plan_of(image, side)
        assert plan.shrink == shrink
        decoded = plain_jpeg.decode(image, plan)
        assert decoded is not None
        assert decoded.interpretation == "srgb"
        assert np.array_equal(
            decoded.numpy(), pyvips.Image.jpegload_buffer(image, shrink=shrink).numpy()
        )

    def test_a_picture_that_lies_on_its_side_comes_as_it_is_stored(self) -> None:
        exif = Image.Exif()
        exif[0x112] = 6
        image = encoded(detailed(320, 180), "JPEG", exif=exif)
        plan = plan_of(image, 300)
        assert (plan.orient, plan.shrink) == (6, 1)
        decoded = plain_jpeg.decode(image, plan)
        assert decoded is not None
        stored = plan.picture.turned
        assert (decoded.width, decoded.height) == (
            stored.width // plan.shrink,
            stored.height // plan.shrink,
        )

    def test_so_small_that_nothing_is_left_of_it(self) -> None:
        image = encoded(Image.new("RGB", (1, 900), "red"), "JPEG")
        decoded = plain_jpeg.decode(image, plan_of(image, 20))
        assert decoded is not None
        assert decoded.width == 1


class LeftToLibvipsTests:
    """What is not as most are."""

    def test_a_picture_of_other_colours(self) -> None:
        for mode in ("L", "CMYK"):
            image = encoded(detailed(320, 180).convert(mode), "JPEG")
            assert plain_jpeg.decode(image, plan_of(image)) is None

    def test_one_with_a_profile_or_whose_metadata_is_kept(self) -> None:
        image = odd(icc_profile=wide_profile())
        assert plain_jpeg.decode(image, plan_of(image)) is None
        assert plain_jpeg.decode(odd(), plan_of(odd(), strip=False)) is None

    def test_one_that_is_cut_off_or_damaged(self) -> None:
        image = odd()
        plan = plan_of(image)
        assert plain_jpeg.decode(image[: len(image) // 2], plan) is None
        half = len(image) // 2
        assert (
            plain_jpeg.decode(image[:half] + b"\xff\xd8\xff\xd9" + image[half + 4 :], plan) is None
        )

    def test_one_that_is_not_as_large_as_its_header_was(self) -> None:
        assert plain_jpeg.decode(odd((640, 360)), plan_of(odd())) is None

    def test_another_format(self) -> None:
        image = encoded(detailed(320, 180), "PNG")
        assert plain_jpeg.decode(image, plan_of(odd())) is None
