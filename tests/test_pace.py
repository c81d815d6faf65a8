"""A bounded rate, on a clock that the test moves."""

from hypothesis import given
from hypothesis import strategies as st

from imagepipe.core.pace import BURST_SECONDS, Pace


class PaceTests:
    def test_a_burst_waits_for_nothing(self) -> None:
        pace = Pace(1000)
        assert pace.wait(int(BURST_SECONDS * 1000), 5.0) == 0.0
        assert pace.wait(500, 5.0) == 0.5

    def test_a_pause_is_not_caught_up_with(self) -> None:
        pace = Pace(1000)
        pace.wait(1000, 0.0)
        assert pace.wait(1000, 100.0) == 1.0 - BURST_SECONDS

    @given(st.lists(st.integers(0, 5000), max_size=50))
    def test_who_waits_keeps_to_the_rate(self, counts: list[int]) -> None:
        pace, now = Pace(1000), 0.0
        for count in counts:
            now += pace.wait(count, now)
        assert sum(counts) <= (now + BURST_SECONDS) * 1000 + 1e-3
