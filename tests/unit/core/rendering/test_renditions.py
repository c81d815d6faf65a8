"""What the names of renditions mean, which of them there are, and which format `.auto` becomes."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipe.core.rendering.formats import AVIF, GIF, JPEG, PNG, WEBP, Format
from imagepipe.core.rendering.geometry import Size
from imagepipe.core.rendering.output_request import Method, OutputRequest
from imagepipe.core.rendering.plan import RenderSettings, SourceFacts, plan_render
from imagepipe.core.rendering.renditions import (
    Rendition,
    RenditionLimits,
    accepted_formats,
    cache_key,
    check,
    choose,
    output_request,
    parse,
)
from imagepipe.errors import NotAcceptable, NotFound

LIMITS = RenditionLimits(
    extensions=("jpg", "jpeg", "png", "gif", "webp", "avif"), width_max=1000, quality_default=75
)
PHOTO = SourceFacts(JPEG, Size(4000, 3000))


def named(name: str) -> Rendition:
    """The rendition of a name that is one."""
    rendition = parse(name)
    assert rendition
    return rendition


class ParseTests:
    """The names of Image Server."""

    @pytest.mark.parametrize(
        ("name", "width", "height", "quality", "extension"),
        [
            ("w500.jpg", 500, None, None, "jpg"),
            ("x600.jpeg", 600, 600, None, "jpeg"),
            ("300x400.png", 300, 400, None, "png"),
            ("full_size.webp", None, None, None, "webp"),
            ("x600-q50.jpg", 600, 600, 50, "jpg"),
            ("w1-q1.gif", 1, None, 1, "gif"),
            ("full_size-q100.avif", None, None, 100, "avif"),
            ("w500.auto", 500, None, None, "auto"),
            ("w999999999.jpg", 999999999, None, None, "jpg"),
        ],
    )
    def test_a_name_says_size_quality_and_format(
        self, name: str, width: int | None, height: int | None, quality: int | None, extension: str
    ) -> None:
        assert parse(name) == Rendition(name, width, height, quality, extension)

    @pytest.mark.parametrize(
        "name",
        "w500 w500. .jpg w.jpg w0.jpg w05.jpg x.jpg 0x5.jpg 5x0.jpg w-5.jpg W500.jpg w500-q0.jpg"
        " w500-q101.jpg w500-q.jpg w500-q05.jpg 500.jpg x300x400.jpg 300x.jpg full_size full.jpg"
        " w500.j-g w500.jpg.png w5\u06600.jpg q50.jpg w500-Q50.jpg".split(),
    )
    def test_any_other_name_is_none(self, name: str) -> None:
        assert parse(name) is None

    def test_a_line_break_after_a_name_does_not_count(self) -> None:
        assert parse("w500.jpg\n") is None

    @given(st.text(max_size=40))
    def test_no_text_is_too_strange(self, text: str) -> None:
        rendition = parse(text)
        assert rendition is None or rendition.name == text


class CheckTests:
    """Which renditions there are."""

    @pytest.mark.parametrize(
        "name",
        ["w1000.jpg", "x1000.png", "1000x1.gif", "1x1000.webp", "full_size.avif", "w500.auto"],
    )
    def test_what_is_within_the_limits_passes(self, name: str) -> None:
        check(named(name), LIMITS)

    @pytest.mark.parametrize(
        "name",
        [
            "w1001.jpg",
            "x1001.png",
            "1001x1.gif",
            "1x1001.webp",
            "w1001.auto",
            "w500.tiff",
            "w500.html",
            "w500.bmp",
            "w500.JPG",
            "w" + "9" * 50 + ".jpg",
        ],
    )
    def test_what_is_larger_or_of_another_format_is_not_acceptable(self, name: str) -> None:
        with pytest.raises(NotAcceptable):
            check(named(name), LIMITS)

    def test_max_size_bounds_renditions_too(self) -> None:
        with pytest.raises(NotAcceptable):
            check(named("w1000.jpg"), replace(LIMITS, side_max=999))

    def test_with_a_list_of_outputs_there_are_no_others(self) -> None:
        limits = replace(LIMITS, outputs=("w500.jpg", "x300.auto"))
        check(named("w500.jpg"), limits)
        check(named("x300.auto"), limits)
        for name in ("w501.jpg", "w500-q75.jpg", "x300.jpg"):
            with pytest.raises(NotFound):
                check(named(name), limits)


class OutputRequestTests:
    """A rendition's name and a client's wishes -> what is rendered."""

    def test_a_width_leaves_the_height_to_the_picture(self) -> None:
        request = output_request(named("w500.jpg"), (), PHOTO, LIMITS, RenderSettings())
        assert request == OutputRequest("w500.jpg", Size(500, 3000), JPEG, quality=75)
        [output] = plan_render((request,), PHOTO, RenderSettings()).outputs
        assert (output.size, output.quality) == (Size(500, 375), 75)

    def test_a_width_never_enlarges(self) -> None:
        facts = replace(PHOTO, size=Size(100, 3000))
        [output] = plan_render(
            (output_request(named("w500.jpg"), (), facts, LIMITS, RenderSettings()),),
            facts,
            RenderSettings(),
        ).outputs
        assert output.size == Size(100, 3000)

    @pytest.mark.parametrize(
        ("size", "orientation", "expected"),
        [
            (Size(800, 20_000), 1, Size(500, 12_500)),
            (Size(20_000, 800), 6, Size(500, 12_500)),
            (Size(20_000, 800), 1, Size(500, 20)),
            (Size(501, 99_999), 1, Size(500, 99_799)),
        ],
    )
    def test_a_width_is_the_one_that_is_named_however_tall_the_picture(
        self, size: Size, orientation: int, expected: Size
    ) -> None:
        facts = SourceFacts(JPEG, size, orientation=orientation)
        request = output_request(named("w500.png"), (), facts, LIMITS, RenderSettings())
        [output] = plan_render((request,), facts, RenderSettings()).outputs
        assert output.size == expected

    def test_a_box_is_covered(self) -> None:
        assert output_request(
            named("300x400-q50.png"), (), PHOTO, LIMITS, RenderSettings()
        ) == OutputRequest("300x400-q50.png", Size(300, 400), PNG, Method.CROP, quality=50)

    def test_full_size_is_not_resized(self) -> None:
        request = output_request(named("full_size.webp"), (), PHOTO, LIMITS, RenderSettings())
        assert request == OutputRequest("full_size.webp", None, WEBP, quality=75)
        [output] = plan_render((request,), PHOTO, RenderSettings()).outputs
        assert output.size == Size(4000, 3000)

    def test_auto_becomes_what_the_client_names(self) -> None:
        assert (
            output_request(named("w500.auto"), (WEBP,), PHOTO, LIMITS, RenderSettings()).format
            == WEBP
        )


class ChooseTests:
    """`.auto`: AVIF or WebP only where the client names it, else PNG for alpha, else JPEG."""

    @pytest.mark.parametrize(
        ("accepted", "facts", "extensions", "expected"),
        [
            ((), PHOTO, LIMITS.extensions, JPEG),
            ((), replace(PHOTO, alpha=True), LIMITS.extensions, PNG),
            ((AVIF, WEBP), PHOTO, LIMITS.extensions, AVIF),
            ((WEBP, AVIF), PHOTO, LIMITS.extensions, WEBP),
            ((AVIF, WEBP), PHOTO, ("jpg", "webp"), WEBP),
            ((AVIF, WEBP), PHOTO, ("jpg",), JPEG),
            ((), replace(PHOTO, alpha=True), ("jpg",), JPEG),
            ((), PHOTO, ("png",), PNG),
            ((AVIF, WEBP), SourceFacts(GIF, Size(9, 9), frames=3), LIMITS.extensions, WEBP),
            ((AVIF,), SourceFacts(GIF, Size(9, 9), frames=3), LIMITS.extensions, AVIF),
            ((), SourceFacts(GIF, Size(9, 9), frames=3), LIMITS.extensions, JPEG),
        ],
    )
    def test_it_is_chosen_by_client_picture_and_extensions(
        self,
        accepted: tuple[Format, ...],
        facts: SourceFacts,
        extensions: tuple[str, ...],
        expected: Format,
    ) -> None:
        assert choose(accepted, facts, extensions, Size(500, 375)) == expected

    def test_no_format_may_be_left(self) -> None:
        with pytest.raises(NotAcceptable):
            choose((), PHOTO, ("webp", "avif"), Size(500, 375))

    @pytest.mark.parametrize(
        ("size", "alpha", "expected"),
        [
            (Size(800, 16_383), False, WEBP),
            (Size(800, 16_384), False, AVIF),
            (Size(800, 16_385), False, JPEG),
            (Size(65_500, 3), False, JPEG),
            (Size(65_501, 3), False, PNG),
            (Size(800, 16_385), True, PNG),
        ],
    )
    def test_a_format_holds_the_size(self, size: Size, alpha: bool, expected: Format) -> None:
        facts = SourceFacts(PNG, size, alpha=alpha)
        assert choose((WEBP, AVIF), facts, LIMITS.extensions, size) == expected
        request = output_request(
            named("full_size.auto"), (WEBP, AVIF), facts, LIMITS, RenderSettings()
        )
        assert request.format == expected

    def test_it_is_the_size_of_the_rendition_that_counts(self) -> None:
        tall = SourceFacts(JPEG, Size(800, 20_000))
        request = output_request(named("w500.auto"), (WEBP,), tall, LIMITS, RenderSettings())
        assert request.format == WEBP

    def test_where_none_holds_it_the_answer_says_so(self) -> None:
        with pytest.raises(NotAcceptable, match="is a format that can hold 800x20000 pixels"):
            choose((), PHOTO, ("webp", "avif"), Size(800, 20_000))


class AcceptTests:
    """Which formats an Accept header names."""

    @pytest.mark.parametrize(
        ("header", "expected"),
        [
            ("", ()),
            ("*/*", ()),
            ("image/*", ()),
            ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", (AVIF, WEBP)),
            ("image/webp, image/avif", (AVIF, WEBP)),
            ("image/avif;q=0.5, image/webp;q=0.9", (WEBP, AVIF)),
            ("IMAGE/WEBP ; Q=0.9", (WEBP,)),
            ("image/avif;q=0, image/webp;q=0.0", ()),
            ("image/webp;level=1;q=0.2", (WEBP,)),
            ("image/webp;q=high", (WEBP,)),
            ("image/webp;q=9", (WEBP,)),
            ("image/webp, image/webp;q=0.1", (WEBP,)),
            (",;,q=1", ()),
        ],
    )
    def test_only_what_is_named_counts(self, header: str, expected: tuple[Format, ...]) -> None:
        assert accepted_formats(header) == expected


class CacheKeyTests:
    """A rendition is kept for its source's bytes, its plan and the engine that made it."""

    def key(
        self,
        name: str = "w500.jpg",
        digest: str = "ab",
        facts: SourceFacts = PHOTO,
        engine: str = "vips",
    ) -> str:
        """A key for one rendition."""
        plan = plan_render(
            (output_request(named(name), (), facts, LIMITS, RenderSettings()),),
            facts,
            RenderSettings(),
        )
        return cache_key(digest, plan, engine)

    def test_whatever_makes_another_picture_makes_another_key(self) -> None:
        others = [
            self.key("w499.jpg"),
            self.key("w500-q74.jpg"),
            self.key("w500.png"),
            self.key(digest="ac"),
            self.key(engine="imagemagick"),
        ]
        others.append(self.key(facts=replace(PHOTO, orientation=6)))
        assert len({self.key(), *others}) == 7

    def test_names_that_ask_for_the_same_picture_share_a_key(self) -> None:
        assert self.key("w500.jpg") == self.key("w500-q75.jpeg")
