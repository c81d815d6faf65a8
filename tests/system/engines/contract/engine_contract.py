"""What every engine must do; test_engines_vips.py and test_engines_imagemagick.py hold theirs to
it.

The reference is always `convert` itself with the reference command. 35 dB is where an eye that
compares two photographs sees none of the difference; a crop that is enlarged, and a picture of a
few pixels, may be less alike.
"""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagepipe.core.rendering import formats
from imagepipe.core.rendering.formats import JPEG, PNG, Format
from imagepipe.core.rendering.geometry import Size
from imagepipe.core.rendering.output_request import Method, OutputRequest
from imagepipe.core.rendering.plan import RenderPlan, RenderSettings, SourceFacts, plan_render
from imagepipe.engines.engine import Engine
from tests.support.photographs import ALPS, FOSSA, PAINTING, SEA, WOOD, photograph
from tests.support.reference_images import Pixels, pixels, psnr, reference_command
from tests.support.source_images import saved, scene, scene_jpeg

BOXES = [
    (Size(500, 500), Method.RESIZE),
    (Size(250, 100), Method.RESIZE),
    (Size(50, 50), Method.RESIZE),
    (Size(1199, 674), Method.RESIZE),
    (Size(37, 1000), Method.RESIZE),
    (Size(3, 3), Method.RESIZE),
    (Size(1, 1), Method.RESIZE),
    (Size(2000, 2000), Method.RESIZE),
    (Size(300, 300), Method.COMPOSITE),
    (Size(301, 77), Method.COMPOSITE),
    (Size(1500, 900), Method.COMPOSITE),
    (Size(64, 65), Method.COMPOSITE),
    (Size(300, 300), Method.CROP),
    (Size(101, 200), Method.CROP),
    (Size(1200, 20), Method.CROP),
    (Size(1201, 676), Method.CROP),
    (Size(1500, 1500), Method.CROP),
    (Size(5, 50), Method.CROP),
]
"""On a picture of 1200x675."""

PHOTOGRAPHS = [
    (
        ALPS,
        [
            (Size(800, 800), Method.RESIZE),
            (Size(200, 200), Method.CROP),
            (Size(333, 333), Method.COMPOSITE),
        ],
    ),
    (
        FOSSA,
        [
            (Size(1000, 1000), Method.RESIZE),
            (Size(640, 480), Method.CROP),
            (Size(100, 90), Method.COMPOSITE),
        ],
    ),
    (SEA, [(Size(500, 500), Method.RESIZE), (Size(1024, 256), Method.CROP)]),
    (PAINTING, [(Size(250, 250), Method.RESIZE), (Size(77, 300), Method.CROP)]),
    (WOOD, [(Size(400, 300), Method.RESIZE), (Size(60, 60), Method.CROP)]),
]


def facts_of(engine: Engine, image: bytes) -> SourceFacts:
    """What `engine` reads in the header."""
    with engine.open(image, recognised(image)) as source:
        return source.facts


def render(
    engine: Engine,
    image: bytes,
    folder: Path,
    *requests: OutputRequest,
    settings: RenderSettings | None = None,
) -> list[bytes]:
    """The outputs that `engine` makes of `image`."""
    return render_with_plan(engine, image, folder, *requests, settings=settings)[1]


def render_with_plan(
    engine: Engine,
    image: bytes,
    folder: Path,
    *requests: OutputRequest,
    settings: RenderSettings | None = None,
) -> tuple[RenderPlan, list[bytes]]:
    """The same, with the plan that they were made by."""
    with engine.open(image, recognised(image)) as source:
        plan = plan_render(requests, source.facts, settings or RenderSettings())
        source.render(plan, folder)
    outputs = [(folder / str(n)).read_bytes() for n in range(len(requests))]
    for output, made in zip(plan.outputs, outputs, strict=True):
        assert formats.sniff(made[: formats.SNIFF_BYTES]) == output.format
    return plan, outputs


def request(
    box: Size | None, format: Format = PNG, method: Method = Method.RESIZE
) -> OutputRequest:
    """One output; its path is of no account here."""
    return OutputRequest(f"a.{format.extensions[0]}", box, format, method)


def recognised(image: bytes) -> Format:
    """The format of `image`."""
    format = formats.sniff(image[: formats.SNIFF_BYTES])
    assert format
    return format


def decibels_wanted(method: Method, picture: Pixels) -> float:
    """How alike an output and the reference must be."""
    if min(picture.shape[1:3]) < 8:
        return 25
    return 32 if method is Method.CROP else 35


def assert_alike(ours: bytes, theirs: Pixels, decibels: float) -> None:
    """`ours` has the reference's dimensions and frames, and looks like it."""
    measured = psnr(pixels(ours), theirs)
    assert measured >= decibels, f"{measured:.1f} dB"


class SizesContract:
    """Every box and method gives the dimensions and the picture of the reference command."""

    @pytest.mark.parametrize(("box", "method"), BOXES, ids=str)
    def test_a_box_gives_what_the_reference_command_gives(
        self, engine: Engine, box: Size, method: Method, tmp_path: Path
    ) -> None:
        source = scene_jpeg()
        theirs = pixels(source, *reference_command(method, box))
        (ours,) = render(engine, source, tmp_path, request(box, PNG, method))
        assert_alike(ours, theirs, decibels_wanted(method, theirs))

    @pytest.mark.parametrize("method", Method)
    def test_a_jpeg_of_equal_quality_is_alike(
        self, engine: Engine, method: Method, tmp_path: Path
    ) -> None:
        source, box = scene_jpeg(), Size(400, 300)
        theirs = pixels(source, *reference_command(method, box, white=True), "-quality", "85")
        (ours,) = render(engine, source, tmp_path, request(box, JPEG, method))
        assert_alike(ours, theirs, 32)

    def test_all_outputs_of_one_call_are_what_each_would_be_alone(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        source = scene_jpeg()
        requests = [request(box, PNG, method) for box, method in BOXES]
        for (box, method), ours in zip(
            BOXES, render(engine, source, tmp_path, *requests), strict=True
        ):
            theirs = pixels(source, *reference_command(method, box))
            assert_alike(ours, theirs, decibels_wanted(method, theirs))

    @pytest.mark.parametrize(("name", "boxes"), PHOTOGRAPHS, ids=[name for name, _ in PHOTOGRAPHS])
    def test_photographs_of_many_megapixels(
        self, engine: Engine, name: str, boxes: list[tuple[Size, Method]], tmp_path: Path
    ) -> None:
        image = photograph(name)
        requests = [request(box, PNG, method) for box, method in boxes]
        plan, outputs = render_with_plan(engine, image, tmp_path, *requests)
        assert plan.shrink > 1 or plan.source != JPEG
        for (box, method), ours in zip(boxes, outputs, strict=True):
            theirs = pixels(image, *reference_command(method, box))
            assert_alike(ours, theirs, decibels_wanted(method, theirs))

    @pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "AVIF"])
    @pytest.mark.parametrize("size", [(1600, 1200), (1601, 1203)], ids=str)
    def test_a_large_source_of_any_format_is_alike(
        self, engine: Engine, format: str, size: tuple[int, int], tmp_path: Path
    ) -> None:
        picture = scene().resize(size, Image.Resampling.LANCZOS)
        source, whole = saved(picture, format, quality=90), saved(picture, "PNG")
        boxes = [
            (Size(300, 200), Method.RESIZE),
            (Size(91, 90), Method.CROP),
            (Size(20, 20), Method.RESIZE),
        ]
        outputs = render(
            engine, source, tmp_path, *[request(box, PNG, method) for box, method in boxes]
        )
        for (box, method), ours in zip(boxes, outputs, strict=True):
            theirs = pixels(whole, *reference_command(method, box))
            assert_alike(ours, theirs, decibels_wanted(method, theirs))

    @pytest.mark.parametrize(("width", "height"), [(250, 1), (1, 200), (300, 2), (1, 1)])
    @pytest.mark.parametrize("method", Method)
    def test_sources_of_a_pixel_in_width(
        self, engine: Engine, width: int, height: int, method: Method, tmp_path: Path
    ) -> None:
        image = saved(scene().resize((width, height)), "PNG")
        box = Size(60, 50)
        theirs = pixels(image, *reference_command(method, box))
        (ours,) = render(engine, image, tmp_path, request(box, PNG, method))
        assert_alike(ours, theirs, 25)

    @pytest.mark.parametrize(
        "box", [Size(300, 300), Size(800, 450), Size(33, 600), Size(600, 33)], ids=str
    )
    def test_crops_that_enlarge(self, engine: Engine, box: Size, tmp_path: Path) -> None:
        image = saved(scene().resize((120, 68)), "PNG")
        theirs = pixels(image, *reference_command(Method.CROP, box))
        (ours,) = render(engine, image, tmp_path, request(box, PNG, Method.CROP))
        assert_alike(ours, theirs, 38)

    def test_a_crop_cut_before_it_is_enlarged_has_no_huge_picture_in_between(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        image = saved(scene().resize((10_000, 1)), "PNG")
        plan, (ours,) = render_with_plan(
            engine, image, tmp_path, request(Size(500, 400), PNG, Method.CROP)
        )
        assert plan.outputs[0].cut
        # The reference has 4 million by 400 pixels in between: the same cut, made first, stands in.
        theirs = pixels(
            image,
            "png:-",
            "-crop",
            "12x1+4994+0",
            "+repage",
            "-resize",
            "4800x400!",
            "-gravity",
            "center",
            "-crop",
            "500x400+0+0",
            "+repage",
        )
        assert_alike(ours, theirs, 25)

    def test_without_a_box_no_pixel_changes(self, engine: Engine, tmp_path: Path) -> None:
        image = saved(scene(), "PNG")
        (ours,) = render(engine, image, tmp_path, request(None))
        assert np.array_equal(pixels(ours), pixels(image))
