"""Samples of the last hour for the charts of /status: one every few seconds, replacing the oldest.

    start                                   when the first interval begins
    |----- step -----|----- step -----|...  for each interval: requests per second, median and 95th
                                            percentile of their durations, the largest number of
                                            waiting jobs, how far this node was behind its peers

Durations are counted in buckets, so quantiles are estimates: durations are assumed to be spread
evenly within a bucket, and those above the last bound to equal it. An interval without requests has
no quantiles; one that was not sampled has no values at all.
"""

import math
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass
from itertools import accumulate

from imagepipe.monitoring.counters import BOUNDS_SECONDS, Distribution

PERCENTILE = 0.95

TOLERANCE = 0.1
"""The part of a step by which an observation may be early."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """The values at one moment. `requests`: all since the start. The last two are those of the
    upstream that is furthest ahead; None: there are no upstreams.
    """

    requests: Distribution
    waiting: int
    seconds_behind: float | None
    rows_behind: int | None


@dataclass(frozen=True, slots=True)
class Sample:
    """An interval; see Series."""

    requests_per_second: float | None = None
    median_seconds: float | None = None
    percentile_95_seconds: float | None = None
    waiting_max: int | None = None
    seconds_behind: float | None = None
    rows_behind: int | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """Consecutive intervals, each `step_seconds` long, the first from `start` on (seconds since
    1970). The nth value of each list belongs to the nth interval.

    None: there is no value, because there were no requests (durations), nothing is replicated (the
    last two), or no sample was taken.
    """

    start: float
    step_seconds: float
    requests_per_second: tuple[float | None, ...]
    median_seconds: tuple[float | None, ...]
    percentile_95_seconds: tuple[float | None, ...]
    waiting_max: tuple[int | None, ...]
    seconds_behind: tuple[float | None, ...]
    rows_behind: tuple[int | None, ...]


class Samples:
    """The last `kept` intervals. Time is given to `observe` in seconds since `begin`, which is in
    seconds since 1970.

    Invariant: `_kept` has the intervals before `_number`, which is under way; `_first` has the
    durations counted before it.
    """

    def __init__(self, begin: float, step_seconds: float, kept: int) -> None:
        self._begin = begin
        self._step = step_seconds
        self._kept: deque[Sample] = deque(maxlen=kept)
        self._number = 0
        self._first: tuple[int, ...] = (0,) * (len(BOUNDS_SECONDS) + 1)
        self._first_at = 0.0
        self._waiting_max = 0

    def observe(self, at: float, reading: Measurement) -> None:
        """Record what is measured `at` seconds after the beginning; several times per interval."""
        self._waiting_max = max(self._waiting_max, reading.waiting)
        number = math.floor(at / self._step + TOLERANCE)
        if number > self._number:
            self._kept.append(self._sample(at, reading))
            self._kept.extend([Sample()] * min(number - self._number - 1, self._kept.maxlen or 0))
            self._number, self._first, self._first_at, self._waiting_max = (
                number,
                reading.requests.counts,
                at,
                reading.waiting,
            )

    def since(self, time: float) -> Series:
        """The intervals that begin at `time` (seconds since 1970) or later, as far as they are
        kept.
        """
        first = self._number - len(self._kept)
        wanted = (time - self._begin) / self._step
        skipped = math.ceil(min(max(wanted - first - TOLERANCE, 0), len(self._kept)))
        chosen = list(self._kept)[skipped:]
        return Series(
            start=self._begin + (first + skipped) * self._step,
            step_seconds=self._step,
            requests_per_second=tuple(one.requests_per_second for one in chosen),
            median_seconds=tuple(one.median_seconds for one in chosen),
            percentile_95_seconds=tuple(one.percentile_95_seconds for one in chosen),
            waiting_max=tuple(one.waiting_max for one in chosen),
            seconds_behind=tuple(one.seconds_behind for one in chosen),
            rows_behind=tuple(one.rows_behind for one in chosen),
        )

    def _sample(self, at: float, last: Measurement) -> Sample:
        counts = tuple(
            after - before for after, before in zip(last.requests.counts, self._first, strict=True)
        )
        return Sample(
            requests_per_second=round(sum(counts) / (at - self._first_at), 3),
            median_seconds=_rounded(quantile(counts, 0.5)),
            percentile_95_seconds=_rounded(quantile(counts, PERCENTILE)),
            waiting_max=self._waiting_max,
            seconds_behind=_rounded(last.seconds_behind),
            rows_behind=last.rows_behind,
        )


def quantile(counts: tuple[int, ...], part: float) -> float | None:
    """The duration, in seconds, that `part` of the durations counted in the buckets of
    BOUNDS_SECONDS do not exceed: an estimate, see above. None if there are none.
    """
    total = sum(counts)
    if not total:
        return None
    up_to = list(accumulate(counts))
    at = bisect_left(up_to, part * total)
    lower, upper = (0.0, *BOUNDS_SECONDS)[at], (*BOUNDS_SECONDS, BOUNDS_SECONDS[-1])[at]
    return lower + (upper - lower) * (part * total - up_to[at] + counts[at]) / counts[at]


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 5)
