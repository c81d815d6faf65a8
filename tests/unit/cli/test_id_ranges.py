"""What is left of a range of ids, against a set."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipe.cli.id_ranges import IdRanges, are_ranges


class IdRangesTests:
    @given(st.integers(0, 30), st.integers(0, 30), st.lists(st.integers(-2, 64)))
    def test_what_is_left_is_what_was_not_removed(
        self, first: int, count: int, removed: list[int]
    ) -> None:
        left = IdRanges([(first, first + count)])
        for id in removed:
            left.remove(id)
        expected = sorted(set(range(first, first + count + 1)) - set(removed))
        assert list(left.ids()) == expected
        assert len(left) == len(expected)
        assert are_ranges([list(one) for one in left.ranges], (first, first + count))

    @given(st.lists(st.integers(0, 60)))
    def test_ranges_are_bounded_and_nothing_that_is_left_is_forgotten(
        self, removed: list[int]
    ) -> None:
        left = IdRanges([(0, 60)], ranges_max=4)
        for id in removed:
            left.remove(id)
        assert len(left.ranges) <= 4
        assert set(left.ids()) >= set(range(61)) - set(removed)
        assert len(left) == len(list(left.ids()))
        assert are_ranges([list(one) for one in left.ranges], (0, 60))

    def test_ids_are_those_of_the_moment(self) -> None:
        left = IdRanges([(1, 3), (7, 7)])
        ids = left.ids()
        assert next(ids) == 1
        for id in (1, 2, 3, 7):
            left.remove(id)
        assert list(ids) == [2, 3, 7]
        assert len(left) == 0

    @pytest.mark.parametrize(
        "value",
        [
            None,
            {},
            [1],
            [[1]],
            [[1, 2, 3]],
            [["1", 2]],
            [[True, 2]],
            [[2, 1]],
            [[1, 2], [2, 3]],
            [[1, 2], [3, 4]],
            [[5, 6], [1, 2]],
            [[0, 2]],
            [[1, 10]],
        ],
    )
    def test_an_invalid_list_of_ranges_is_reported(self, value: object) -> None:
        assert not are_ranges(value, (1, 9))

    def test_lists_of_ranges_are_known(self) -> None:
        assert are_ranges([], (1, 9))
        assert are_ranges([[1, 3], [5, 9]], (1, 9))
