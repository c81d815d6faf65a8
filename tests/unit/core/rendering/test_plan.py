"""A request and the facts of its source make a plan with every number final."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from imagepipe.core.rendering import geometry
from imagepipe.core.rendering.formats import (
    AVIF,
    BMP,
    FORMATS,
    GIF,
    HEIC,
    JPEG,
    PNG,
    TIFF,
    WEBP,
    Format,
)
from imagepipe.core.rendering.geometry import Region, Size
from imagepipe.core.rendering.output_request import Method, OutputRequest
from imagepipe.core.rendering.plan import (
    Canvas,
    Colours,
    Filter,
    OutputPlan,
    RenderPlan,
    RenderSettings,
    SourceFacts,
    check_source,
    plan_render,
)
from imagepipe.errors import BadRequest

PHOTO = SourceFacts(JPEG, Size(4000, 3000))
SETTINGS = RenderSettings()
BOXES = st.one_of(st.none(), st.builds(Size, st.integers(1, 8192), st.integers(1, 8192)))
RENDERED = [format for format in FORMATS if format.renders]
FACTS = st.builds(
    SourceFacts,
    format=st.sampled_from(FORMATS),
    size=st.builds(Size, st.integers(1, 65_535), st.integers(1, 65_535)),
    orientation=st.integers(1, 8),
    frames=st.integers(1, 5),
    alpha=st.booleans(),
    indexed=st.booleans(),
    colours=st.sampled_from(Colours),
    profile=st.booleans(),
)
REQUESTS = st.lists(
    st.builds(
        OutputRequest,
        st.just("a"),
        BOXES,
        st.one_of(st.none(), st.sampled_from(RENDERED)),
        st.sampled_from(Method),
    ),
    min_size=1,
    max_size=4,
)


def request(
    box: tuple[int, int] | None, method: Method = Method.RESIZE, format: Format | None = JPEG
) -> OutputRequest:
    """One output."""
    return OutputRequest("a.jpg", Size(*box) if box else None, format, method)


def plan(
    *requests: OutputRequest, facts: SourceFacts = PHOTO, settings: RenderSettings = SETTINGS
) -> RenderPlan:
    """The plan of these outputs."""
    return plan_render(requests, facts, settings)


def output(
    box: tuple[int, int] | None,
    method: Method = Method.RESIZE,
    format: Format | None = JPEG,
    facts: SourceFacts = PHOTO,
) -> OutputPlan:
    """The plan of one output."""
    return plan(request(box, method, format), facts=facts).outputs[0]


class MethodTests:
    """Resize, composite, crop."""

    def test_resize_fits(self) -> None:
        planned = output((500, 500))
        assert (planned.scale, planned.cut, planned.crop, planned.canvas) == (
            Size(500, 375),
            None,
            None,
            None,
        )
        assert planned.size == Size(500, 375)

    def test_resize_never_enlarges(self) -> None:
        assert output((5000, 5000)).size == Size(4000, 3000)

    def test_composite_is_the_box_with_the_image_in_its_middle(self) -> None:
        planned = output((500, 500), Method.COMPOSITE, PNG)
        assert (planned.scale, planned.canvas) == (Size(500, 375), Canvas(Size(500, 500), 0, 63))
        assert planned.size == Size(500, 500)

    def test_crop_is_the_box_out_of_the_middle(self) -> None:
        planned = output((500, 500), Method.CROP)
        assert (planned.scale, planned.crop) == (Size(667, 500), Region(83, 0, 500, 500))
        assert planned.size == Size(500, 500)

    def test_without_a_box_nothing_is_scaled(self) -> None:
        planned = output(None)
        assert (planned.scale, planned.crop, planned.canvas) == (Size(4000, 3000), None, None)

    def test_the_modules_own_example(self) -> None:
        planned = plan(
            request((500, 500)), request((50, 50), Method.CROP), facts=replace(PHOTO, orientation=6)
        )
        assert (planned.shrink, planned.picture) == (4, Size(3000, 4000))
        assert [each.scale for each in planned.outputs] == [Size(375, 500), Size(50, 67)]
        assert planned.outputs[1].crop == Region(0, 8, 50, 50)


class OrientationTests:
    """EXIF orientation comes before anything else."""

    @pytest.mark.parametrize("orientation", [5, 6, 7, 8])
    def test_what_lies_on_its_side_is_turned_before_it_is_fitted(self, orientation: int) -> None:
        planned = plan(request((500, 500)), facts=replace(PHOTO, orientation=orientation))
        assert (planned.orient, planned.picture, planned.outputs[0].size) == (
            orientation,
            Size(3000, 4000),
            Size(375, 500),
        )

    @pytest.mark.parametrize("orientation", [1, 2, 3, 4])
    def test_what_is_mirrored_or_upside_down_keeps_its_sides(self, orientation: int) -> None:
        planned = plan(request((500, 500)), facts=replace(PHOTO, orientation=orientation))
        assert (planned.orient, planned.picture) == (orientation, Size(4000, 3000))

    def test_without_auto_orient_it_stays_as_it_is(self) -> None:
        planned = plan(
            request((500, 500)),
            facts=replace(PHOTO, orientation=6),
            settings=replace(SETTINGS, auto_orient=False),
        )
        assert (planned.orient, planned.picture) == (1, Size(4000, 3000))


class FormatTests:
    """What an output is written as."""

    def test_without_one_the_source_keeps_its_own(self) -> None:
        assert output((5, 5), format=None).format is JPEG

    @pytest.mark.parametrize("format", [HEIC, BMP])
    def test_a_source_that_cannot_be_written_needs_one(self, format: Format) -> None:
        facts = SourceFacts(format, Size(10, 10))
        with pytest.raises(
            BadRequest,
            match=f"^fmt: a {format} source cannot be written as {format}: name the format",
        ):
            plan(request((5, 5), format=None), facts=facts)
        assert plan(request((5, 5), format=PNG), facts=facts).outputs[0].format is PNG

    @pytest.mark.parametrize(
        ("format", "side_max"), [(JPEG, 65_500), (GIF, 65_535), (WEBP, 16_383), (AVIF, 16_384)]
    )
    def test_a_format_must_be_able_to_hold_an_output(self, format: Format, side_max: int) -> None:
        for size in (Size(side_max, 2), Size(2, side_max)):
            facts = SourceFacts(PNG, size)
            assert plan(OutputRequest("a", None, format), facts=facts).outputs[0].size == size
        for size in (Size(side_max + 1, 2), Size(2, side_max + 1)):
            with pytest.raises(
                BadRequest,
                match=f"would have {size} pixels: {format} takes at most {side_max} a side",
            ):
                plan(OutputRequest("a", None, format), facts=SourceFacts(PNG, size))

    @pytest.mark.parametrize("format", [PNG, TIFF])
    def test_others_hold_any(self, format: Format) -> None:
        facts = SourceFacts(PNG, Size(2, 10_000_000))
        assert plan(OutputRequest("a", None, format), facts=facts).outputs[0].size == facts.size

    @pytest.mark.parametrize("method", Method)
    @pytest.mark.parametrize(("format", "flatten"), [(JPEG, True), (PNG, False), (WEBP, False)])
    def test_alpha_is_laid_on_white_where_the_format_has_none(
        self, method: Method, format: Format, flatten: bool
    ) -> None:
        assert output((50, 60), method, format, PHOTO).flatten is flatten

    @pytest.mark.parametrize(
        ("source", "frames", "format", "animated"),
        [
            (GIF, 3, GIF, True),
            (GIF, 3, WEBP, True),
            (WEBP, 3, GIF, True),
            (GIF, 1, GIF, False),
            (GIF, 3, PNG, False),
            (GIF, 3, AVIF, False),
            (TIFF, 3, GIF, False),
            (AVIF, 3, WEBP, False),
        ],
    )
    def test_an_animation_stays_one_from_and_to_gif_and_webp(
        self, source: Format, frames: int, format: Format, animated: bool
    ) -> None:
        facts = SourceFacts(source, Size(10, 10), frames=frames)
        planned = plan(request((5, 5), format=format), facts=facts)
        assert planned.outputs[0].animated is animated
        assert planned.frames == (frames if animated else 1)

    def test_one_animated_output_needs_all_frames(self) -> None:
        planned = plan(
            request((5, 5), format=PNG),
            request((5, 5), format=GIF),
            facts=SourceFacts(GIF, Size(10, 10), frames=7),
        )
        assert planned.frames == 7


class LimitTests:
    """Limits are checked on the numbers, before anything is decoded."""

    def test_a_source_may_have_exactly_max_pixels(self) -> None:
        check_source(SourceFacts(PNG, Size(10_000, 10_000)), SETTINGS)
        with pytest.raises(
            BadRequest, match=r"^image: 10000x10001 pixels are more than 100000000 \(max_pixels\)$"
        ):
            check_source(SourceFacts(PNG, Size(10_000, 10_001)), SETTINGS)

    def test_tiles_take_no_more_than_max_pixels_do(self) -> None:
        small = SourceFacts(TIFF, Size(10, 10), block_bytes=800_000_000)
        check_source(small, SETTINGS)
        with pytest.raises(BadRequest, match=r"^image: tiles of 800000001 bytes are more than"):
            check_source(replace(small, block_bytes=800_000_001), SETTINGS)

    def test_frames_are_summed(self) -> None:
        check_source(SourceFacts(GIF, Size(1000, 1000), frames=100), SETTINGS)
        with pytest.raises(
            BadRequest, match=r"^image: 1000x1000 pixels in 101 frames are more than"
        ):
            plan(request((5, 5)), facts=SourceFacts(GIF, Size(1000, 1000), frames=101))

    @pytest.mark.parametrize("method", [Method.COMPOSITE, Method.CROP])
    def test_no_output_has_more_than_max_pixels(self, method: Method) -> None:
        with pytest.raises(
            BadRequest,
            match=r"^size: rendering 'a.jpg' takes 10000 pixels, more than 9999 \(max_pixels\)$",
        ):
            plan(
                request((100, 100), method),
                facts=SourceFacts(JPEG, Size(90, 90)),
                settings=RenderSettings(pixels_max=9999),
            )

    def test_the_frames_of_an_output_are_summed_too(self) -> None:
        facts, settings = (
            SourceFacts(GIF, Size(30, 30), frames=4),
            RenderSettings(pixels_max=39_999),
        )
        with pytest.raises(BadRequest, match="takes 40000 pixels"):
            plan(request((100, 100), Method.CROP, GIF), facts=facts, settings=settings)
        assert plan(request((100, 100), Method.CROP, PNG), facts=facts, settings=settings)

    def test_a_line_is_cut_before_it_is_enlarged(self) -> None:
        planned = output((500, 500), Method.CROP, facts=SourceFacts(JPEG, Size(10_000, 1)))
        assert planned.cut is not None
        assert planned.scale.pixels <= 25 * 500 * 500
        assert planned.size == Size(500, 500)

    def test_a_large_crop_is_cut_where_the_whole_would_be_too_large(self) -> None:
        # 16:9 enlarged to cover 8192x8192 is 14563x8192, 119 million pixels; what is kept is 67
        # million.
        planned = output((8192, 8192), Method.CROP, facts=SourceFacts(JPEG, Size(1920, 1080)))
        assert planned.cut is not None
        assert planned.scale.pixels <= SETTINGS.pixels_max
        assert planned.size == Size(8192, 8192)

    def test_a_crop_that_is_not_enlarged_is_not_cut(self) -> None:
        assert output((500, 10), Method.CROP).cut is None
        assert output((500, 500), Method.CROP, facts=SourceFacts(JPEG, Size(400, 300))).cut is None


class FilterTests:
    """ImageMagick's choice of the resampling filter: Mitchell for alpha, palettes and enlarging,
    else Lanczos.
    """

    @pytest.mark.parametrize(
        ("facts", "box", "filter"),
        [
            (PHOTO, (500, 500), Filter.LANCZOS),
            (replace(PHOTO, alpha=True), (500, 500), Filter.MITCHELL),
            (replace(PHOTO, indexed=True), (500, 500), Filter.MITCHELL),
            (replace(PHOTO, format=GIF, frames=2), (500, 500), Filter.MITCHELL),
            (PHOTO, (4000, 5000), Filter.MITCHELL),
        ],
    )
    def test_filters(self, facts: SourceFacts, box: tuple[int, int], filter: Filter) -> None:
        assert output(box, Method.CROP, facts=facts).filter is filter


class ShrinkTests:
    """A source is read smaller where the resampler keeps a factor of 2; of a JPEG at 1/2, 1.5."""

    @pytest.mark.parametrize(
        ("box", "shrink"),
        [(248, 8), (250, 4), (500, 4), (501, 2), (1000, 2), (1333, 2), (1334, 1), (4000, 1)],
    )
    def test_by_the_box(self, box: int, shrink: int) -> None:
        assert plan(request((box, box))).shrink == shrink

    def test_by_the_largest_output(self) -> None:
        assert plan(request((50, 50)), request((1000, 1000))).shrink == 2

    @pytest.mark.parametrize(
        ("box", "shrink"), [(248, 8), (250, 4), (500, 4), (1000, 2), (1001, 1)]
    )
    @pytest.mark.parametrize("format", [WEBP, PNG])
    def test_other_formats_keep_a_factor_of_2_always(
        self, format: Format, box: int, shrink: int
    ) -> None:
        assert plan(request((box, box)), facts=replace(PHOTO, format=format)).shrink == shrink

    @pytest.mark.parametrize(
        ("size", "shrink"),
        [
            (Size(4000, 3000), 8),
            (Size(4000, 3004), 4),
            (Size(4002, 3000), 2),
            (Size(4001, 3000), 1),
        ],
    )
    def test_whole_blocks_are_averaged_where_a_decoder_cannot_shrink(
        self, size: Size, shrink: int
    ) -> None:
        assert plan(request((50, 50)), facts=replace(PHOTO, format=PNG, size=size)).shrink == shrink
        assert plan(request((50, 50)), facts=replace(PHOTO, format=WEBP, size=size)).shrink == 8

    @pytest.mark.parametrize(
        "facts",
        [
            SourceFacts(PNG, Size(4000, 3000), alpha=True),
            SourceFacts(WEBP, Size(400, 300), frames=3),
        ],
    )
    def test_transparency_and_animations_are_read_whole(self, facts: SourceFacts) -> None:
        assert plan(request((5, 5)), facts=facts).shrink == 1

    def test_without_outputs_there_is_nothing_to_shrink_for(self) -> None:
        assert plan().shrink == 1

    def test_at_the_sources_size_nothing_is_lost(self) -> None:
        assert plan(request(None)).shrink == 1


class AnyPlanTests:
    """What holds of every plan."""

    @given(FACTS, REQUESTS, st.sampled_from([1, 10_000, 10**8, 10**10]))
    def test_a_plan_keeps_to_its_limits_and_its_picture(
        self, facts: SourceFacts, requests: list[OutputRequest], pixels_max: int
    ) -> None:
        settings = RenderSettings(pixels_max=pixels_max)
        try:
            planned = plan_render(tuple(requests), facts, settings)
        except BadRequest as refusal:
            # either outcome is fine, and has its promise
            assert refusal.argument in ("image", "size", "fmt")
            return
        for asked, made in zip(requests, planned.outputs, strict=True):
            frames = planned.frames if made.animated else 1
            assert max(made.scale.pixels, made.size.pixels) * frames <= pixels_max
            whole = Region(0, 0, planned.picture.width, planned.picture.height)
            cut = made.cut or whole
            assert 0 <= cut.left < cut.left + cut.width <= whole.width
            assert 0 <= cut.top < cut.top + cut.height <= whole.height
            if made.crop:
                assert 0 <= made.crop.left <= made.scale.width - made.crop.width
                assert 0 <= made.crop.top <= made.scale.height - made.crop.height
            if made.canvas:
                assert 0 <= made.canvas.left <= made.canvas.size.width - made.scale.width
                assert 0 <= made.canvas.top <= made.canvas.size.height - made.scale.height
            if asked.box is None:
                assert made.size == planned.picture
            else:
                assert made.size == (
                    geometry.fit(planned.picture, asked.box)
                    if asked.method is Method.RESIZE
                    else asked.box
                )

    @given(FACTS, REQUESTS)
    def test_a_shrunk_source_still_has_more_than_what_every_output_needs(
        self, facts: SourceFacts, requests: list[OutputRequest]
    ) -> None:
        facts = replace(facts, frames=1)
        assume(facts.size.pixels <= SETTINGS.pixels_max)
        try:
            planned = plan_render(tuple(requests), facts, SETTINGS)
        except BadRequest:
            return
        if planned.shrink > 1:
            for made in planned.outputs:
                keeps = 1.5 if (facts.format, planned.shrink) == (JPEG, 2) else 2
                assert planned.picture.width / planned.shrink >= keeps * made.scale.width
                assert planned.picture.height / planned.shrink >= keeps * made.scale.height
                assert made.cut is None, "its coordinates are the whole picture's"

    @given(FACTS, st.builds(Size, st.integers(1, 8192), st.integers(1, 8192)))
    def test_a_crop_within_the_limits_is_never_refused_for_what_it_cuts_away(
        self, facts: SourceFacts, box: Size
    ) -> None:
        # Only a few source pixels around what is kept are enlarged with it: at a factor of 4 at
        # most, they are less than the box again.
        facts = replace(facts, frames=1, format=JPEG, orientation=1)
        assume(facts.size.pixels <= SETTINGS.pixels_max)
        factor = max(box.width / facts.size.width, box.height / facts.size.height)
        assume(factor <= 4)
        margin = 2 * (3 + 8) * max(factor, 1) + 2
        assume((box.width + margin) * (box.height + margin) <= SETTINGS.pixels_max)
        made = plan_render((OutputRequest("a", box, JPEG, Method.CROP),), facts, SETTINGS).outputs[
            0
        ]
        assert made.size == box
