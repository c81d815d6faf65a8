"""Box arithmetic, in ImageMagick's rounding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipe.core.rendering.geometry import (
    FILTER_MARGIN,
    Region,
    Size,
    centred_crop,
    centred_offset,
    cover,
    cut_before_enlarging,
    fit,
)

SIDES = st.integers(1, 65_535)
SIZES = st.builds(Size, SIDES, SIDES)
SMALL = st.builds(Size, st.integers(1, 120), st.integers(1, 120))


class SizeTests:
    """A width and a height."""

    def test_it_has_an_area_a_side_and_a_name(self) -> None:
        assert Size(3, 4).pixels == 12
        assert Size(3, 4).turned == Size(4, 3)
        assert str(Size(3, 4)) == "3x4"


class FitTests:
    """`-resize WxH>`."""

    @pytest.mark.parametrize(
        ("source", "box", "fitted"),
        [
            ((2560, 1600), (500, 500), (500, 313)),
            ((2560, 1600), (100, 100), (100, 63)),
            ((1600, 2560), (500, 500), (313, 500)),
            ((100, 50), (500, 500), (100, 50)),
            ((100, 50), (100, 10), (20, 10)),
            ((10_000, 1), (100, 100), (100, 1)),
            ((1, 10_000), (100, 100), (1, 100)),
            ((3, 3), (2, 2), (2, 2)),
        ],
    )
    def test_sizes(
        self, source: tuple[int, int], box: tuple[int, int], fitted: tuple[int, int]
    ) -> None:
        assert fit(Size(*source), Size(*box)) == Size(*fitted)

    @given(SIZES, SIZES)
    def test_it_lies_in_the_box_and_never_enlarges(self, source: Size, box: Size) -> None:
        fitted = fit(source, box)
        assert 1 <= fitted.width <= min(source.width, box.width)
        assert 1 <= fitted.height <= min(source.height, box.height)

    @given(SIZES, SIZES)
    def test_it_fills_a_side_of_the_box_or_is_the_source(self, source: Size, box: Size) -> None:
        fitted = fit(source, box)
        assert fitted == source or fitted.width == box.width or fitted.height == box.height

    @given(SIZES, SIZES)
    def test_the_aspect_ratio_is_kept_to_half_a_pixel(self, source: Size, box: Size) -> None:
        fitted = fit(source, box)
        factor = min(1, box.width / source.width, box.height / source.height)
        assert abs(fitted.width - max(1, source.width * factor)) <= 0.5 + 1e-6
        assert abs(fitted.height - max(1, source.height * factor)) <= 0.5 + 1e-6

    @given(SIZES, SIZES)
    def test_a_source_on_its_side_gives_the_same_on_its_side(self, source: Size, box: Size) -> None:
        assert fit(source.turned, box.turned) == fit(source, box).turned


class CoverTests:
    """`-resize WxH^ -gravity center -crop WxH+0+0!`."""

    @given(SIZES, SIZES)
    def test_it_covers_the_box_and_meets_a_side(self, source: Size, box: Size) -> None:
        covering = cover(source, box)
        assert covering.width >= box.width
        assert covering.height >= box.height
        assert covering.width == box.width or covering.height == box.height

    @given(SIZES, SIZES)
    def test_what_is_kept_is_the_box_out_of_the_middle(self, source: Size, box: Size) -> None:
        covering = cover(source, box)
        kept = centred_crop(covering, box)
        assert (kept.width, kept.height) == (box.width, box.height)
        assert kept.left >= 0
        assert kept.top >= 0
        right, bottom = (
            covering.width - kept.left - kept.width,
            covering.height - kept.top - kept.height,
        )
        assert abs(kept.left - right) <= 1
        assert abs(kept.top - bottom) <= 1

    def test_halves_are_rounded_one_by_one(self) -> None:
        assert centred_crop(Size(8, 8), Size(5, 4)) == Region(2, 2, 5, 4)
        assert centred_offset(Size(8, 9), Size(5, 4)) == (2, 2)

    @given(SIZES, SIZES)
    def test_a_fitted_picture_lies_in_the_middle_of_its_canvas(
        self, source: Size, box: Size
    ) -> None:
        picture = fit(source, box)
        left, top = centred_offset(box, picture)
        assert 0 <= left <= box.width - picture.width
        assert 0 <= top <= box.height - picture.height
        assert abs(box.width - picture.width - 2 * left) <= 1
        assert abs(box.height - picture.height - 2 * top) <= 1


class CutTests:
    """Cropping the source before it is enlarged."""

    def test_a_line_is_not_enlarged_as_a_whole(self) -> None:
        source, box = Size(10_000, 1), Size(500, 500)
        covering = cover(source, box)
        assert covering.pixels == 5_000_000 * 500
        cut = cut_before_enlarging(source, covering, centred_crop(covering, box))
        assert cut.scaled.pixels <= 25 * 500 * 500
        assert cut.region.height == 1

    @given(SIZES, SIZES)
    def test_the_part_lies_in_the_source_and_what_is_kept_lies_in_the_part(
        self, source: Size, box: Size
    ) -> None:
        covering = cover(source, box)
        crop = centred_crop(covering, box)
        cut = cut_before_enlarging(source, covering, crop)
        assert 0 <= cut.region.left < cut.region.left + cut.region.width <= source.width
        assert 0 <= cut.region.top < cut.region.top + cut.region.height <= source.height
        assert (cut.crop.width, cut.crop.height) == (box.width, box.height)
        assert 0 <= cut.crop.left <= cut.scaled.width - box.width
        assert 0 <= cut.crop.top <= cut.scaled.height - box.height
        assert cut.scaled.width <= covering.width
        assert cut.scaled.height <= covering.height

    @given(SMALL, st.builds(Size, st.integers(1, 2000), st.integers(1, 2000)))
    def test_the_filter_has_pixels_around_what_is_kept_unless_the_source_ends(
        self, source: Size, box: Size
    ) -> None:
        covering = cover(source, box)
        crop = centred_crop(covering, box)
        cut = cut_before_enlarging(source, covering, crop)
        factor = covering.width / source.width
        first, last = crop.left / factor, (crop.left + crop.width) / factor
        assert cut.region.left <= max(0, first - FILTER_MARGIN)
        assert cut.region.left + cut.region.width >= min(source.width, last + FILTER_MARGIN)

    @given(SMALL, st.builds(Size, st.integers(1, 2000), st.integers(1, 2000)))
    def test_the_part_is_enlarged_as_the_whole_would_be_to_a_pixel(
        self, source: Size, box: Size
    ) -> None:
        covering = cover(source, box)
        cut = cut_before_enlarging(source, covering, centred_crop(covering, box))
        assert abs(cut.scaled.width - cut.region.width * covering.width / source.width) <= 1
        assert abs(cut.scaled.height - cut.region.height * covering.height / source.height) <= 1
