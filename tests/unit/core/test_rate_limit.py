"""A bounded rate, on a clock that the test moves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipe.core.rate_limit import BURST_SECONDS, RATE_DEFAULT, RateLimit, parse_rate
from imagepipe.errors import BadRequest


class PaceTests:
    def test_a_burst_waits_for_nothing(self) -> None:
        pace = RateLimit(1000)
        assert pace.wait(int(BURST_SECONDS * 1000), 5.0) == 0.0
        assert pace.wait(500, 5.0) == 0.5

    def test_a_pause_is_not_caught_up_with(self) -> None:
        pace = RateLimit(1000)
        pace.wait(1000, 0.0)
        assert pace.wait(1000, 100.0) == 1.0 - BURST_SECONDS

    @given(st.lists(st.integers(0, 5000), max_size=50))
    def test_who_waits_keeps_to_the_rate(self, counts: list[int]) -> None:
        pace, now = RateLimit(1000), 0.0
        for count in counts:
            now += pace.wait(count, now)
        assert sum(counts) <= (now + BURST_SECONDS) * 1000 + 1e-3


class ParseRateTests:
    @pytest.mark.parametrize(
        ("text", "rate"),
        [
            ("", RATE_DEFAULT),
            ("50 MiB", 50 << 20),
            ("1.5gib/s", 3 << 29),
            ("1 KiB", 1024),
            ("4096", 4096),
            ("2 TiB", 2 << 40),
        ],
    )
    def test_a_rate_is_a_size_a_second(self, text: str, rate: float) -> None:
        assert parse_rate(text) == rate

    @pytest.mark.parametrize(
        "text",
        ["0", "1023", "-5 MiB", "fast", "5 MB", "1e9", "nan", "\u0665 MiB", "5 MiB ", "9" * 400],
    )
    def test_anything_else_is_refused_with_an_example(self, text: str) -> None:
        with pytest.raises(BadRequest, match="write 50 MiB"):
            parse_rate(text)
