"""Versions: hybrid logical clock values."""

from hypothesis import given
from hypothesis import strategies as st

from imagepipe.core.rows.stamp import STAMP_MAX, Version, milliseconds, next_stamp

NOW = 1_800_000_000_000
YEAR_MS = 365 * 24 * 3600 * 1000
STAMPS = st.lists(st.integers(0, STAMP_MAX - 1), max_size=4)


class StampTests:
    """A stamp is above the clock and above the stamps that are known."""

    @given(st.integers(-(1 << 80), 1 << 80), STAMPS)
    def test_a_stamp_is_greater_than_all_known_whatever_the_clock_says(
        self, wall: int, known: list[int]
    ) -> None:
        stamp = next_stamp(wall, known)
        assert all(one < stamp for one in known)
        assert 0 <= stamp <= STAMP_MAX

    @given(st.integers(0, 1 << 44), STAMPS)
    def test_a_stamp_is_never_behind_the_clock(self, wall: int, known: list[int]) -> None:
        assert milliseconds(next_stamp(wall, known)) >= wall

    def test_writes_within_a_millisecond_are_counted(self) -> None:
        first = next_stamp(NOW, ())
        assert (next_stamp(NOW, [first]), next_stamp(NOW, [first, first + 1])) == (
            first + 1,
            first + 2,
        )
        assert milliseconds(first + 2) == NOW

    def test_a_clock_that_was_set_back_does_not_set_a_path_back(self) -> None:
        first = next_stamp(NOW, ())
        assert next_stamp(NOW - 3_600_000, [first]) == first + 1

    def test_a_clock_that_ran_ahead_and_was_set_right_does_not_date_other_paths(self) -> None:
        assert milliseconds(next_stamp(NOW, ())) == NOW

    def test_no_clock_reaches_the_greatest_stamp(self) -> None:
        assert next_stamp(1 << 60, ()) == STAMP_MAX // 2
        assert next_stamp(NOW + 500 * YEAR_MS, ()) < STAMP_MAX // 2

    def test_the_greatest_stamp_was_forged_and_is_written_over(self) -> None:
        assert milliseconds(next_stamp(NOW, [STAMP_MAX])) == NOW
        assert next_stamp(NOW, [STAMP_MAX, STAMP_MAX - 2, 7]) == STAMP_MAX - 1


class VersionTests:
    """Which of two writes is the newer."""

    def test_the_greater_stamp_wins_and_ties_go_by_origin(self) -> None:
        assert Version(1, "b") < Version(2, "a") < Version(2, "b")

    @given(
        st.builds(Version, st.integers(0, 3), st.sampled_from("ab")),
        st.builds(Version, st.integers(0, 3), st.sampled_from("ab")),
    )
    def test_of_two_different_writes_one_is_newer(self, one: Version, other: Version) -> None:
        assert (one == other) + (one < other) + (one > other) == 1
