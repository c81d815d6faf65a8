"""The last hour in samples: readings in, series out; and who takes them, on a clock that the tests
move.
"""

import math
from bisect import bisect_left
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from imagepipe.monitoring.counters import BOUNDS_SECONDS, Counters, Distribution
from imagepipe.monitoring.sampler import KEPT, STEP_SECONDS, Sampler, measurement_of
from imagepipe.monitoring.samples import Measurement, Samples, quantile
from tests.support.sample_status import BARE, FULL, NORTH, REPLICATION

NOTHING = Distribution((0,) * (len(BOUNDS_SECONDS) + 1), 0.0)
AT_REST = Measurement(NOTHING, 0, None, None)


def requested(*seconds: float) -> Distribution:
    """The distribution of these durations."""
    counters = Counters(lambda: 0.0)
    for each in seconds:
        counters.request("GET", 200, each)
    return counters.durations().work


def samples(kept: int = 10) -> Samples:
    """Of a node that began at 1000, in steps of 5 seconds."""
    return Samples(1000.0, 5.0, kept)


class SamplesTests:
    """What becomes of readings."""

    def test_at_first_there_are_none(self) -> None:
        series = samples().since(0)
        assert (series.start, series.step_seconds, series.requests_per_second) == (1000.0, 5.0, ())

    def test_a_sample_is_the_difference_of_two_readings(self) -> None:
        some = samples()
        some.observe(5.0, Measurement(requested(0.01, 0.01), 0, 3.25, 12))
        some.observe(10.0, Measurement(requested(0.01, 0.01, 4.0), 0, 0.0, 0))
        some.observe(15.0, Measurement(requested(0.01, 0.01, 4.0), 0, 0.0, 0))
        series = some.since(0)
        assert series.requests_per_second == (0.4, 0.2, 0.0)
        assert series.median_seconds == (0.0075, 3.75, None)
        assert series.percentile_95_seconds == (0.00975, 4.875, None)
        assert series.seconds_behind == (3.25, 0.0, 0.0)
        assert series.rows_behind == (12, 0, 0)

    def test_the_queue_is_as_long_as_it_was_seen_at_most(self) -> None:
        some = samples()
        for at, waiting in [
            (1.0, 3),
            (2.0, 60),
            (3.0, 0),
            (5.0, 1),
            (6.0, 0),
            (10.0, 0),
            (15.0, 0),
        ]:
            some.observe(at, replace(AT_REST, waiting=waiting))
        assert some.since(0).waiting_max == (60, 1, 0)

    def test_the_oldest_go(self) -> None:
        some = samples(kept=3)
        for number in range(1, 11):
            some.observe(5.0 * number, replace(AT_REST, waiting=number))
        series = some.since(0)
        assert series.start == 1035.0
        assert series.waiting_max == (8, 9, 10)

    def test_intervals_in_which_nobody_looked_are_there_without_values(self) -> None:
        some = samples(kept=4)
        some.observe(5.0, AT_REST)
        some.observe(21.0, AT_REST)
        assert some.since(0).requests_per_second == (0.0, 0.0, None, None)
        some.observe(1e9, AT_REST)
        series = some.since(0)
        assert series.requests_per_second == (None,) * 4
        assert series.start == 1000.0 + 1e9 - 4 * 5

    def test_a_look_slightly_early_or_late_is_in_time(self) -> None:
        some = samples()
        for at in (4.999, 10.01, 14.9, 20.2):
            some.observe(at, AT_REST)
        assert len(some.since(0).waiting_max) == 4

    @pytest.mark.parametrize(
        ("time", "start", "count"),
        [
            (1000.0, 1000.0, 4),
            (1005.0, 1005.0, 3),
            (1007.0, 1010.0, 2),
            (1020.0, 1020.0, 0),
            (9e9, 1020.0, 0),
        ],
    )
    def test_a_client_that_has_some_gets_the_rest(
        self, time: float, start: float, count: int
    ) -> None:
        some = samples()
        for number in range(1, 5):
            some.observe(5.0 * number, AT_REST)
        series = some.since(time)
        assert (series.start, len(series.waiting_max)) == (start, count)
        assert {
            len(values)
            for values in (
                series.requests_per_second,
                series.median_seconds,
                series.seconds_behind,
                series.rows_behind,
            )
        } == {count}

    @given(
        begin=st.floats(1e9, 2e9),
        step=st.sampled_from([0.2, 1.0, 5.0]),
        polls=st.lists(st.integers(0, 9), max_size=30),
    )
    def test_who_asks_for_what_comes_next_gets_each_interval_once(
        self, begin: float, step: float, polls: list[int]
    ) -> None:
        some = Samples(begin, step, 20)
        number, then, got = 0, 0.0, 0
        for count in polls:
            for _ in range(count):
                number += 1
                some.observe(number * step, AT_REST)
            series = some.since(then)
            got += len(series.waiting_max)
            then = series.start + len(series.waiting_max) * step
        assert got == number


class QuantileTests:
    """Estimated from classes."""

    def test_of_nothing_there_is_none(self) -> None:
        assert quantile(NOTHING.counts, 0.5) is None

    def test_it_lies_within_its_class(self) -> None:
        counts = requested(*[0.004] * 100).counts
        assert quantile(counts, 0.5) == pytest.approx(0.00375)
        assert quantile(counts, 1.0) == 0.005

    def test_beyond_the_last_bound_it_is_that_bound(self) -> None:
        assert quantile(requested(100.0).counts, 0.5) == BOUNDS_SECONDS[-1]

    @given(st.lists(st.floats(0, 100), min_size=1), st.floats(0.01, 1))
    def test_it_is_no_further_from_the_truth_than_the_bounds_of_the_class(
        self, seconds: list[float], part: float
    ) -> None:
        found = quantile(requested(*seconds).counts, part)
        true = sorted(seconds)[math.ceil(part * len(seconds)) - 1]
        at = bisect_left(BOUNDS_SECONDS, true)
        assert found is not None
        assert (0.0, *BOUNDS_SECONDS)[at] <= found <= (*BOUNDS_SECONDS, BOUNDS_SECONDS[-1])[at]


class RecentTests:
    """Who looks."""

    def test_a_step_is_looked_at_several_times_and_after_an_hour_the_first_goes(self) -> None:
        clock, waiting = Clock(), [0]
        sampler = Sampler(clock, lambda: 1000.0, lambda: replace(AT_REST, waiting=waiting[0]))
        sampler.start()
        clock.advance(2.0)
        waiting[0] = 7
        clock.advance(1.0)
        waiting[0] = 0
        clock.pump([1.0] * 2)
        assert sampler.since(0).waiting_max == (7,)
        clock.pump([1.0] * int(STEP_SECONDS) * KEPT)
        series = sampler.since(0)
        assert (
            series.start,
            len(series.waiting_max),
            max(value or 0 for value in series.waiting_max),
        ) == (1005.0, KEPT, 0)
        sampler.stop()
        sampler.stop()
        assert clock.getDelayedCalls() == []

    def test_the_upstream_that_is_furthest_ahead_counts(self) -> None:
        durations = Counters(lambda: 0.0).durations()
        assert measurement_of(BARE, durations) == AT_REST
        assert measurement_of(FULL, durations) == Measurement(NOTHING, 3, NORTH.seconds_behind, 40)
        alone = replace(FULL, replication=replace(REPLICATION, upstreams=()))
        assert measurement_of(alone, durations).rows_behind is None

    def test_requests_for_the_status_pages_do_not_count(self) -> None:
        counters = Counters(lambda: 0.0)
        counters.request("GET", 200, 0.1, is_page=True)
        assert measurement_of(BARE, counters.durations()).requests == NOTHING
        assert sum(counters.durations().requests.counts) == 1
