"""A plan in two steps."""

import pytest

from imagepipe.core.rendering.colourimetry import by_codes
from imagepipe.core.rendering.formats import AVIF, HEIC, JPEG, PSD, TIFF
from imagepipe.core.rendering.geometry import Size
from imagepipe.core.rendering.output_request import Method, OutputRequest
from imagepipe.core.rendering.plan import (
    Colours,
    RenderPlan,
    RenderSettings,
    SourceFacts,
    plan_render,
)
from imagepipe.core.rendering.two_step import decoding, encoding, rendering, unencoded


def plan_of(facts: SourceFacts) -> RenderPlan:
    """A plan with a shrink and two outputs."""
    requests = [
        OutputRequest("a.jpg", Size(50, 50), JPEG),
        OutputRequest("a.avif", Size(40, 40), AVIF, Method.CROP),
    ]
    return plan_render(tuple(requests), facts, RenderSettings())


class DecodingTests:
    """The first step."""

    def test_it_makes_the_whole_picture_upright(self) -> None:
        first = decoding(plan_of(SourceFacts(PSD, Size(800, 600), orientation=6)))
        (whole,) = first.outputs
        assert (first.source, first.orient, first.shrink) == (PSD, 6, 1)
        assert (whole.format, whole.size, whole.compressed) == (TIFF, Size(600, 800), False)
        assert (whole.cut, whole.crop, whole.canvas, whole.flatten) == (None, None, None, False)

    def test_colours_are_converted_here(self) -> None:
        facts = SourceFacts(HEIC, Size(800, 600), colourimetry=by_codes(12, 13))
        assert decoding(plan_of(facts)).colourimetry == by_codes(12, 13)
        assert decoding(plan_of(SourceFacts(PSD, Size(8, 6), profile=True))).profile


class RenderingTests:
    """The second step."""

    def test_it_renders_what_the_first_made(self) -> None:
        facts = SourceFacts(HEIC, Size(800, 600), orientation=6, colourimetry=by_codes(12, 13))
        plan = plan_of(facts)
        second = rendering(plan)
        assert (second.source, second.orient, second.profile) == (TIFF, 1, False)
        assert second.colourimetry is None
        assert (second.picture, second.shrink, second.outputs) == (
            plan.picture,
            plan.shrink,
            plan.outputs,
        )

    @pytest.mark.parametrize("colours", Colours)
    def test_all_but_grey_is_rgb_by_now(self, colours: Colours) -> None:
        second = rendering(plan_of(SourceFacts(PSD, Size(800, 600), colours=colours)))
        assert second.colours is (Colours.GREY if colours is Colours.GREY else Colours.RGB)


class EncodingTests:
    """AVIF that another engine encodes."""

    def test_each_avif_is_a_tiff_first(self) -> None:
        plan = plan_of(SourceFacts(PSD, Size(800, 600), alpha=True))
        jpeg, tiff = unencoded(plan).outputs
        assert jpeg == plan.outputs[0]
        assert (tiff.format, tiff.size, tiff.flatten) == (TIFF, Size(40, 40), False)

    def test_the_tiff_is_encoded_as_it_is(self) -> None:
        plan = plan_of(SourceFacts(PSD, Size(800, 600), orientation=6, profile=True))
        second = encoding(plan, plan.outputs[1])
        (avif,) = second.outputs
        assert (second.source, second.picture, second.orient) == (TIFF, Size(40, 40), 1)
        assert (avif.format, avif.size, avif.cut, avif.crop) == (AVIF, Size(40, 40), None, None)
        assert avif.quality == plan.outputs[1].quality
