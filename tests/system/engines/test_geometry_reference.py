"""The box arithmetic against `convert` itself, many boxes in one command: no pixel more or less, at
the same place.
"""

import random
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagepipe.core.rendering.geometry import Size, centred_crop, centred_offset, cover, fit
from tests.support.reference_images import convert

SMALL = st.builds(Size, st.integers(1, 120), st.integers(1, 120))

# Those that rounding was seen to go wrong at, in one program or another; then any.
KNOWN = [
    (Size(2560, 1600), Size(500, 500)),
    (Size(2560, 1600), Size(100, 100)),
    (Size(1000, 3), Size(40, 40)),
    (Size(3, 1000), Size(10, 10)),
    (Size(1, 1), Size(7, 9)),
    (Size(101, 99), Size(100, 100)),
    (Size(5, 8), Size(3, 3)),
    (Size(640, 480), Size(33, 33)),
]

SOURCES = 40
BOXES_EACH = 25
SIDE_MAX = 400
RATIO_MAX = 30
"""So that nothing in between is wider than Debian's ImageMagick allows."""


def pairs() -> Iterator[tuple[Size, Size]]:
    """(source, box); the same in every run."""
    yield from KNOWN
    chance = random.Random(6)
    for _ in range(SOURCES):
        width = chance.randint(1, SIDE_MAX)
        height = chance.randint(max(1, width // RATIO_MAX), min(SIDE_MAX, width * RATIO_MAX))
        for _ in range(BOXES_EACH):
            # Often near the source's own shape, where the two sides compete.
            side = chance.randint(1, SIDE_MAX)
            other = (
                side
                if chance.random() < 0.4
                else (
                    max(1, round(side * height / width) + chance.randint(-1, 1))
                    if chance.random() < 0.5
                    else chance.randint(1, SIDE_MAX)
                )
            )
            yield Size(width, height), Size(side, min(other, SIDE_MAX))


def said_of_each(operations: str) -> Iterator[tuple[Size, Size, list[int]]]:
    """Each pair with the numbers that `convert` prints after `operations`, in which BOX stands for
    the box.
    """
    for source in dict.fromkeys(source for source, _ in pairs()):
        boxes = [box for each, box in pairs() if each == source]
        command = ["-filter", "point", "-size", str(source), "xc:white"]
        for box in boxes:
            command += [
                "(",
                "-clone",
                "0",
                *operations.replace("BOX", str(box)).split(),
                "-write",
                "info:-",
                "-delete",
                "0--1",
                ")",
            ]
        lines = convert(*command, "null:").split(b";")[:-1]
        assert len(lines) == len(boxes)
        for box, line in zip(boxes, lines, strict=True):
            yield source, box, [int(number) for number in line.split(b",")]


class GeometryReferenceTests:
    """What the core computes is what ImageMagick does."""

    def test_a_fit_has_the_size_that_convert_gives(self) -> None:
        for source, box, said in said_of_each("-resize BOX> -format %w,%h;"):
            assert (source, box, fit(source, box)) == (source, box, Size(*said))

    def test_a_cover_has_the_size_that_convert_gives(self) -> None:
        for source, box, said in said_of_each("-resize BOX^ -format %w,%h;"):
            assert (source, box, cover(source, box)) == (source, box, Size(*said))

    def test_a_crop_lies_where_convert_puts_it(self) -> None:
        for source, box, said in said_of_each(
            "-resize BOX^ -gravity center -crop BOX+0+0 -format %w,%h,%X,%Y;"
        ):
            region = centred_crop(cover(source, box), box)
            assert (source, box, [region.width, region.height, region.left, region.top]) == (
                source,
                box,
                said,
            )

    def test_a_picture_lies_on_its_canvas_where_convert_puts_it(self) -> None:
        operations = (
            "-resize BOX> ( -size BOX xc:black ) +swap -gravity center -composite -bordercolor"
            " black -border 1 -trim -format %X,%Y;"
        )
        for source, box, said in said_of_each(operations):
            assert (source, box, centred_offset(box, fit(source, box))) == (
                source,
                box,
                (said[0] - 1, said[1] - 1),
            )

    @pytest.mark.parametrize(
        "source", [Size(6000, 4000), Size(4032, 3024), Size(5472, 3648), Size(6028, 3391)], ids=str
    )
    def test_sizes_of_cameras(self, source: Size) -> None:
        boxes = [Size(side, side) for side in (50, 75, 99, 100, 133, 250, 333, 500, 640, 1000)]
        command = ["-filter", "point", "-size", str(source), "xc:white"]
        for box in boxes:
            command += [
                "(",
                "-clone",
                "0",
                "-resize",
                f"{box}>",
                "-format",
                "%w %h\n",
                "-write",
                "info:-",
                "-delete",
                "0--1",
                ")",
            ]
        said = [Size(*map(int, line.split())) for line in convert(*command, "null:").splitlines()]
        assert [fit(source, box) for box in boxes] == said


class AnyPairTests:
    """Any size and box that Hypothesis thinks of."""

    @settings(max_examples=25, deadline=None)
    @given(SMALL, SMALL)
    def test_fit(self, source: Size, box: Size) -> None:
        assert _convert(source, "-resize", f"{box}>", "-format", "%w %h", "info:") == str(
            fit(source, box)
        ).replace("x", " ")

    @settings(max_examples=25, deadline=None)
    @given(SMALL, SMALL)
    def test_cover_and_crop(self, source: Size, box: Size) -> None:
        covering = cover(source, box)
        kept = centred_crop(covering, box)
        said = _convert(
            source,
            "-resize",
            f"{box}^",
            "-format",
            "%w %h ",
            "-write",
            "info:",
            "-gravity",
            "center",
            "-crop",
            f"{box}+0+0",
            "-format",
            "%w %h %X %Y",
            "info:",
        )
        assert (
            said == f"{covering.width} {covering.height} {kept.width} {kept.height} +{kept.left}"
            f" +{kept.top}"
        )


def _convert(source: Size, *arguments: str) -> str:
    command = ["/usr/bin/convert", "-size", str(source), "xc:white", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
