"""Versions: hybrid logical clock values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipe.core.stamp import STAMP_MAX, Version, milliseconds, next_stamp
from imagepipe.errors import NotStored

NOW = 1_800_000_000_000


class StampTests:
    """A node always writes a greater stamp than any that it has seen."""

    @given(st.integers(0, 1 << 80), st.integers(0, STAMP_MAX - 1))
    def test_a_stamp_is_greater_than_the_last_whatever_the_clock_says(self, wall: int, last: int) -> None:
        assert last < next_stamp(wall, last) <= STAMP_MAX

    @given(st.integers(0, 1 << 45), st.integers(0, STAMP_MAX - 1))
    def test_a_stamp_is_never_behind_the_clock(self, wall: int, last: int) -> None:
        assert milliseconds(next_stamp(wall, last)) >= wall

    def test_writes_within_a_millisecond_are_counted(self) -> None:
        first = next_stamp(NOW, 0)
        assert (next_stamp(NOW, first), next_stamp(NOW, first + 1)) == (first + 1, first + 2)
        assert milliseconds(first + 2) == NOW

    def test_a_clock_that_was_set_back_does_not_set_the_stamps_back(self) -> None:
        first = next_stamp(NOW, 0)
        assert next_stamp(NOW - 3_600_000, first) == first + 1

    def test_a_clock_however_wrong_leaves_room(self) -> None:
        assert next_stamp(1 << 60, 0) == STAMP_MAX // 2

    def test_where_nothing_can_be_greater_the_write_is_refused(self) -> None:
        with pytest.raises(NotStored, match="the greatest version"):
            next_stamp(NOW, STAMP_MAX)

    def test_a_stamp_of_today_leaves_room(self) -> None:
        assert next_stamp(NOW * 30, 0) < STAMP_MAX


class VersionTests:
    """Which of two writes is the newer."""

    def test_the_greater_stamp_wins_and_ties_go_by_origin(self) -> None:
        assert Version(1, "b") < Version(2, "a") < Version(2, "b")

    @given(st.builds(Version, st.integers(0, 3), st.sampled_from("ab")), st.builds(Version, st.integers(0, 3), st.sampled_from("ab")))
    def test_of_two_different_writes_one_is_newer(self, one: Version, other: Version) -> None:
        assert (one == other) + (one < other) + (one > other) == 1
