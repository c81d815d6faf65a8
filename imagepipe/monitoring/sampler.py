"""Takes the samples for the charts: reads the node's status every second."""

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from imagepipe.monitoring.counters import Durations
from imagepipe.monitoring.node_status import NodeStatus
from imagepipe.monitoring.samples import Measurement, Samples, Series

STEP_SECONDS = 5.0
KEPT = 720

LOOKS_A_STEP = 5
"""Several per step, so that the charts show a queue that was full only for a moment."""


def measurement_of(status: NodeStatus, durations: Durations) -> Measurement:
    """The part of a status that the charts show."""
    upstreams = status.replication.upstreams if status.replication else ()
    return Measurement(
        requests=durations.work,
        waiting=status.queue.waiting,
        seconds_behind=max((peer.seconds_behind for peer in upstreams), default=None),
        rows_behind=max((peer.rows_behind for peer in upstreams), default=None),
    )


class Sampler:
    """Takes samples between `start` and `stop`; for the reactor's thread.

    `wall` returns the seconds since 1970, `read` the current measurement.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        wall: Callable[[], float],
        read: Callable[[], Measurement],
        step_seconds: float = STEP_SECONDS,
    ) -> None:
        self._reactor = reactor
        self._began = reactor.seconds()
        self._read = read
        self._step_seconds = step_seconds
        self._samples = Samples(wall(), step_seconds, KEPT)
        self._loop = LoopingCall(self._look)
        self._loop.clock = reactor

    def start(self) -> None:
        """Start to take samples."""
        self._loop.start(self._step_seconds / LOOKS_A_STEP, now=False)

    def stop(self) -> None:
        """Stop."""
        if self._loop.running:
            self._loop.stop()

    def since(self, time: float) -> Series:
        """The intervals that begin at `time` (seconds since 1970) or later."""
        return self._samples.since(time)

    def _look(self) -> None:
        self._samples.observe(self._reactor.seconds() - self._began, self._read())
