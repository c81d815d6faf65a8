"""What the benchmarks say, and where they write it: the parts that measure nothing."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import __main__ as bench
from benchmarks import report
from benchmarks.photographs import distinct, side_lengths
from benchmarks.results import Chart, Goal, Section, Series, Table, ratio
from tests.support.gradients import detailed, encoded

SECTION = Section(
    (Table("Speed", ("way", "images/s"), [("ours", "3 (2 to 4)")], "A note."),),
    (Goal("speed, times theirs", 2, 3.0), Goal("memory", 80, 81.5, at_most=True, unit=" MiB")),
    (
        Chart(
            "bars",
            "Bars",
            "images/s",
            {"imagepipe": [Series((1.0, 2.0, 4.0))], "theirs": [Series((1.0,))]},
        ),
        Chart(
            "lines",
            "Lines",
            "ms",
            {"imagepipe": [Series((1.0, 2.0)), Series((3.0,))]},
            (1000, 1_000_000),
            "paths",
            logarithmic=True,
        ),
    ),
)


class ResultsTests:
    """Series, ratios, goals."""

    def test_a_series_has_its_median_and_spread(self) -> None:
        assert Series((3.0, 1.0, 2.0)).text(1) == "2.0 (1.0 to 3.0)"

    def test_a_ratio_is_taken_round_by_round(self) -> None:
        assert ratio(Series((2.0, 40.0, 6.0)), Series((1.0, 10.0, 2.0))) == 3.0

    @pytest.mark.parametrize(
        ("found", "at_most", "met"),
        [(2.0, False, True), (1.9, False, False), (2.0, True, True), (2.1, True, False)],
    )
    def test_a_goal_is_met_or_missed(self, found: float, at_most: bool, met: bool) -> None:
        assert Goal("", 2.0, found, at_most=at_most).met is met


class ReportTests:
    """The document."""

    def test_a_section_says_which_goals_it_missed(self) -> None:
        text = report.markdown("store", SECTION, "2026-11-28, 12 s")
        assert text.startswith("`python -m benchmarks store`, 2026-11-28, 12 s.\n")
        assert "| speed, times theirs | at least 2 | 3 | met |" in text
        assert "| memory | at most 80 MiB | 81.5 MiB | **missed** |" in text
        assert "| ours | 3 (2 to 4) |" in text
        assert "![Bars](performance/bars.svg)" in text

    def test_the_document_has_a_place_for_each_section(self) -> None:
        document = report.DOCUMENT.read_text()
        for name in bench.SECTIONS:
            assert (
                document.count(f"<!-- {name} -->\n")
                == document.count(f"<!-- end of {name} -->\n")
                == 1
            )

    def test_only_the_place_of_the_section_changes(self, tmp_path: Path) -> None:
        document = tmp_path / "performance.md"
        document.write_text("before\n<!-- store -->\nold\n<!-- end of store -->\nafter\n")
        report.write("store", Section(SECTION.tables, SECTION.goals), "1 s", document)
        text = document.read_text()
        assert text.startswith("before\n<!-- store -->\n")
        assert text.endswith("\n<!-- end of store -->\nafter\n")
        assert "old" not in text
        with pytest.raises(ValueError, match="growth"):
            report.write("growth", Section(), "1 s", document)


class PhotographsTests:
    """Sources."""

    def test_the_sides_are_of_a_camera(self) -> None:
        assert side_lengths(12) == (4000, 3000)

    def test_distinct_ones_are_other_bytes_and_nearly_the_same_picture(self) -> None:
        image = encoded(detailed(400, 300), "JPEG", quality=92)
        pictures = [
            np.asarray(Image.open(io.BytesIO(one)), dtype=float)
            for one in (image, distinct(image, 5), distinct(image, 6))
        ]
        assert not np.array_equal(pictures[1], pictures[2])
        assert max(np.abs(pictures[0] - one).mean() for one in pictures[1:]) < 3
        assert distinct(image, 5) == distinct(image, 5) != distinct(image, 5 + 4**9)
