"""Delays in hundredths of a second."""

from hypothesis import given
from hypothesis import strategies as st

from imagepipe.engines.files.frame_delays import to_centiseconds


class InHundredthsTests:
    def test_those_of_a_gif_stay(self) -> None:
        assert to_centiseconds([0, 10, 20, 100, 655350]) == [0, 1, 2, 10, 65535]

    def test_what_is_rounded_off_is_made_up_for(self) -> None:
        assert to_centiseconds([33] * 6) == [3, 4, 3, 3, 4, 3]
        assert to_centiseconds([5, 5, 5, 5]) == [1, 0, 1, 0]

    def test_no_frame_becomes_so_short_that_browsers_show_it_longer(self) -> None:
        assert to_centiseconds([16] * 4) == [2, 2, 2, 2]

    def test_the_longest_is_what_a_gif_can_hold(self) -> None:
        assert to_centiseconds([1_000_000, 30]) == [65535, 3]

    @given(st.lists(st.integers(20, 600_000), max_size=30))
    def test_the_sum_is_right_to_the_hundredth(self, delays: list[int]) -> None:
        assert abs(10 * sum(to_centiseconds(delays)) - sum(delays)) <= 10
