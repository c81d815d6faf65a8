"""Sends events and totals to Graphite by its plaintext protocol over TCP, one line each:
`<name> <number> <unix time>`.

    stats.image_server.image_request 3 1767225600              since the last line with this name
    stats.image_server.image_request.jpg 3 1767225600
    stats.image_server.totals.image_request 40 1767225600      since the start
    stats.image_server.totals.image_request.jpg 28 1767225600
    stats.image_server.replication.pending 0 1767225600        current value

Events are reported within a second after a pause, and every ten seconds while they go on; without
events there is no report. The values of replication are sent every ten seconds, changed or not,
because an alarm must be able to distinguish a constant value from a missing one.

Nothing is queued: a report is the difference between two totals. While there is no connection, or
the kernel has not taken all of the last report, no report is made, and the next one is larger.
What the kernel had taken when Graphite went down is lost from the events, but not from the totals.
"""

import socket
from collections.abc import Callable, Mapping
from typing import Any, cast

from twisted.application.internet import ClientService, backoffPolicy
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from imagepipe.monitoring.counters import Totals
from imagepipe.replication.status import ReplicationStatus

LOOK_SECONDS = 1.0
"""How often to check for events after a pause."""

REPORT_SECONDS = 10.0
"""The time between two reports; Graphite keeps at best one value in this many seconds."""

RETRY_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 2.0

SILENT_SECONDS = 60
"""A connection is given up when Graphite's machine has acknowledged nothing for this long; the
kernel alone would wait a quarter of an hour.
"""

_log = Logger()


def event_counts(totals: Totals) -> dict[str, int]:
    """The events so far, by name; the first five are those of Image Server."""
    return {
        "image_request": sum(each.count for each in totals.image_requests),
        **{f"image_request.{each.format}": each.count for each in totals.image_requests},
        "image_request_fail": totals.image_requests_failed,
        "original_downloaded": totals.originals_downloaded,
        "original_unavailable": totals.originals_unavailable,
        "store": totals.images_stored,
        "delete": totals.images_deleted,
        "move": totals.images_moved,
    }


def replication_values(replication: ReplicationStatus | None) -> dict[str, int]:
    """The values of replication by name; empty if it is not enabled. Most peers have the same
    changes, so the one that is furthest ahead counts.
    """
    if replication is None:
        return {}
    return {
        "replication.rows_behind": max(
            (peer.rows_behind for peer in replication.upstreams), default=0
        ),
        "replication.unreplicated": replication.unreplicated,
        "replication.pending": replication.pending,
        "replication.conflicts": replication.conflicts,
    }


def increments(told: Mapping[str, int], counts: Mapping[str, int]) -> dict[str, int]:
    """How often each event has happened since `told`; those that have not are left out."""
    return {
        name: count - told.get(name, 0)
        for name, count in counts.items()
        if count != told.get(name, 0)
    }


def report(
    prefix: str,
    news: Mapping[str, int],
    counts: Mapping[str, int],
    states: Mapping[str, int],
    now: float,
) -> str:
    """The lines for `news`, with their totals from `counts`, and for `states`; `now` is in seconds
    since 1970.
    """
    values = [*news.items(), *((f"totals.{name}", counts[name]) for name in news), *states.items()]
    return "".join(f"{prefix}.{name} {value} {int(now)}\n" for name, value in values)


class Graphite:
    """Sends reports to `endpoint` between `start` and `stop`; for the reactor's thread.

    totals, replication: return what to report. wall: returns the seconds since 1970.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        endpoint: IStreamClientEndpoint,
        prefix: str,
        *,
        totals: Callable[[], Totals],
        replication: Callable[[], ReplicationStatus | None],
        wall: Callable[[], float],
    ) -> None:
        self._reactor = reactor
        self._prefix = prefix
        self._totals = totals
        self._replication = replication
        self._wall = wall
        retry = backoffPolicy(initialDelay=1.0, maxDelay=RETRY_SECONDS_MAX)
        self._service = ClientService(
            endpoint, cast(Any, _ConnectionFactory(self)), retryPolicy=retry, clock=reactor
        )
        self._link: _Connection | None = None
        self._told: Mapping[str, int] = {}
        self._told_before: Mapping[str, int] = {}
        self._replication_due = 0.0
        self._timer: IDelayedCall | None = None

    def start(self, told: Mapping[str, int] | None = None) -> None:
        """Connect, retrying until it works, and start to report what has happened since `told`, or
        else from now on.
        """
        self._told = self._told_before = event_counts(self._totals()) if told is None else told
        self._service.startService()
        self._service.whenConnected(failAfterFailures=1).addErrback(_not_reached)
        self._timer = self._reactor.callLater(LOOK_SECONDS, self._look)

    def stop(self) -> "Deferred[None]":
        """Send what has not been sent, if there is a connection, and close it; fires after a few
        seconds at the latest.
        """
        if self._timer:
            self._timer.cancel()
        return Deferred.fromCoroutine(self._stop())

    def leave(self) -> Mapping[str, int]:
        """Close the connection. Return what has been sent, for the `start` of a successor, which
        then sends the rest.
        """
        if self._timer:
            self._timer.cancel()
        link = self._link
        told = self._told if link is None or link.is_drained else self._told_before
        self._service.stopService()
        if link:
            link.close()
        return told

    def connected(self, link: "_Connection") -> None:
        """A connection was made."""
        _log.info("Graphite: connected")
        self._link = link

    def lost(self, link: "_Connection", why: Failure) -> None:
        """The connection is lost. A report that the kernel did not take is sent again."""
        if not link.is_drained:
            self._told = self._told_before
        self._link = None
        if self._service.running:
            _log.warn(
                "Graphite: connection lost: {why}; counting events until it is back",
                why=why.getErrorMessage(),
            )

    def _look(self) -> None:
        events_told = self._send()
        self._timer = self._reactor.callLater(
            REPORT_SECONDS if events_told else LOOK_SECONDS, self._look
        )

    def _send(self) -> bool:
        """Send a report if there is something to report and it can be sent; return whether it had
        events.
        """
        link, now = self._link, self._reactor.seconds()
        if link is None or not link.is_drained:
            return False
        counts = event_counts(self._totals())
        news = increments(self._told, counts)
        states = replication_values(self._replication()) if now >= self._replication_due else {}
        if states:
            self._replication_due = now + REPORT_SECONDS
        if news or states:
            link.write(report(self._prefix, news, counts, states, self._wall()).encode())
            self._told_before, self._told = self._told, counts
        return bool(news)

    async def _stop(self) -> None:
        try:
            await Deferred.fromCoroutine(self._send_rest()).addTimeout(
                STOP_SECONDS_MAX, self._reactor
            )
        except TimeoutError:
            _log.warn("Graphite: it is not reading; the last events were not sent")
        link, closed = self._link, self._service.stopService()
        if link:
            link.close()
        await closed

    async def _send_rest(self) -> None:
        if self._link:
            await self._link.drained()
            self._replication_due = 0.0
            self._send()
        if self._link:
            await self._link.drained()


class _Connection(Protocol):
    """A connection to Graphite, one report at a time.

    It is a pull producer: the transport calls `resumeProducing` whenever the kernel has taken
    everything.
    """

    def __init__(self, graphite: Graphite) -> None:
        self._graphite = graphite
        self._waiting: list[Deferred[None]] = []
        self.is_drained = False

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.getHandle().setsockopt(
            socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_SECONDS * 1000
        )
        transport.registerProducer(self, streaming=False)
        self._graphite.connected(self)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self._graphite.lost(self, reason)
        self._fire()

    def resumeProducing(self) -> None:
        self.is_drained = True
        self._fire()

    def stopProducing(self) -> None:
        """Do nothing: the connection is lost, and `connectionLost` is called too."""

    def write(self, lines: bytes) -> None:
        """Send lines, at least one; only when `is_drained`."""
        transport: Any = self.transport
        self.is_drained = False
        transport.write(lines)

    def drained(self) -> "Deferred[None]":
        """Fires when the kernel has taken everything, or the connection is lost."""
        deferred: Deferred[None] = Deferred()
        self._waiting.append(deferred)
        if self.is_drained:
            self._fire()
        return deferred

    def close(self) -> None:
        """Close the connection now. What the kernel has taken is delivered, unless there is more
        that it has not taken.
        """
        transport: Any = self.transport
        transport.unregisterProducer()
        if not self.is_drained:
            transport.abortConnection()

    def _fire(self) -> None:
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            if not deferred.called:
                deferred.callback(None)


class _ConnectionFactory(Factory):
    noisy = False

    def __init__(self, graphite: Graphite) -> None:
        self._graphite = graphite

    def buildProtocol(self, addr: object) -> _Connection:
        return _Connection(self._graphite)


def _not_reached(failure: Failure) -> None:
    if not failure.check(CancelledError):  # stopped before
        _log.warn(
            "Graphite: cannot connect: {why}; counting events until it can be reached",
            why=failure.getErrorMessage(),
        )
