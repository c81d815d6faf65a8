"""Events and sums for Graphite, by its plaintext protocol over TCP: `<name> <number> <unix time>`,
a line each.

    stats.image_server.image_request 3 1767225600              events since the last line of this
        name
    stats.image_server.image_request.jpg 3 1767225600
    stats.image_server.totals.image_request 40 1767225600      since the start
    stats.image_server.totals.image_request.jpg 28 1767225600
    stats.image_server.replication.pending 0 1767225600        how it stands

What has happened is told within a second after a rest, and every ten seconds while it goes on; what
has not is not told. How replication stands is told every ten seconds, changed or not, for an alarm
must tell a number that stays from one that is missing.

Nothing is queued: a report is the difference between two totals. While there is no connection, or
the last report is not in the kernel's hands yet, none is made, and the next one is larger. What was
in the kernel's hands when Graphite died is lost from the events, but not from the totals.
"""

import socket
from collections.abc import Callable, Mapping
from typing import Any, cast

from twisted.application.internet import ClientService, backoffPolicy
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from imagepipe.monitoring.counters import Totals
from imagepipe.replication.status import ReplicationStatus

LOOK_SECONDS = 1.0
"""How often to look whether something has happened, after a rest."""

REPORT_SECONDS = 10.0
"""How long after a report the next one is made; Graphite keeps one value in so many seconds at
best.
"""

RETRY_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 2.0

SILENT_SECONDS = 60
"""A connection on which Graphite's machine acknowledges nothing for so long is given up; the kernel
alone would take a quarter of an hour.
"""

_log = Logger()


def event_counts(totals: Totals) -> dict[str, int]:
    """The events that there are, by name; the first five rows are those of Image Server."""
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
    """How replication stands, by name; nothing where it does not run. Peers have mostly the same
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
    """How often each event has happened since `told`, as far as it has."""
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
    """The lines about all `news`, with their totals out of `counts`, and about all `states`; `now`
    in seconds since 1970.
    """
    values = [*news.items(), *((f"totals.{name}", counts[name]) for name in news), *states.items()]
    return "".join(f"{prefix}.{name} {value} {int(now)}\n" for name, value in values)


class Graphite:
    """Tells Graphite, at `endpoint`, between `start` and `stop`; for the reactor's thread.

    totals, replication: asked for what there is to tell. wall: the seconds since 1970.
    """

    def __init__(
        self,
        reactor: Any,  # an IReactorTime; zope.interface has no types
        endpoint: Any,  # an IStreamClientEndpoint
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
        self._timer: Any = None  # an IDelayedCall

    def start(self, told: Mapping[str, int] | None = None) -> None:
        """Connect, again and again until it works, and begin to tell: of what happened since
        `told`, or else from now on.
        """
        self._told = self._told_before = event_counts(self._totals()) if told is None else told
        self._service.startService()
        self._service.whenConnected(failAfterFailures=1).addErrback(_not_reached)
        self._timer = self._reactor.callLater(LOOK_SECONDS, self._look)

    def stop(self) -> "Deferred[None]":
        """Tell what has not been told, if there is a connection, and close it; fires after a few
        seconds at the latest.
        """
        if self._timer:
            self._timer.cancel()
        return Deferred.fromCoroutine(self._stop())

    def leave(self) -> Mapping[str, int]:
        """Close the connection, and leave all that has not been told to whoever is started with
        what this returns.
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
        """There is a connection."""
        _log.info("Graphite: connected")
        self._link = link

    def lost(self, link: "_Connection", why: Failure) -> None:
        """There is none any more. What was not on its way is told again."""
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
        """Send a report if there is something to say and it can be sent; whether there were events
        in it.
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

    It is a pull producer: the transport calls `resumeProducing` whenever it has given all it was
    given to the kernel.
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
        """Nothing: the connection is lost, and `connectionLost` comes too."""

    def write(self, lines: bytes) -> None:
        """Send what is larger than nothing; once `is_drained`, not before."""
        transport: Any = self.transport
        self.is_drained = False
        transport.write(lines)

    def drained(self) -> "Deferred[None]":
        """Fires when the kernel has all that was written, or the connection is lost."""
        deferred: Deferred[None] = Deferred()
        self._waiting.append(deferred)
        if self.is_drained:
            self._fire()
        return deferred

    def close(self) -> None:
        """Close the connection now; what the kernel has is still delivered, unless there is more
        than it has.
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
