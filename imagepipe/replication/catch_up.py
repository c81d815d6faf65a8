"""Calls that wait until this node has pulled what its peers have."""

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from imagepipe.core.replication.replica import Replica

CATCH_UP_SECONDS_MAX = 2.0
"""How long a call waits for the peers at most."""

CATCH_UP_INTERVAL_SECONDS = 1.0
"""The least time between two rounds of requests."""

NOTIFICATION_SECONDS = 0.05
"""How long a change notification may be in transit."""


class CatchUp:
    """Waits until everything that the reachable peers have is here. One round of requests, at most
    one per second, serves all calls that were waiting when it began.

    A call that arrives between two rounds waits until everything that peers have notified this node
    of is here, and a moment longer, because a notification may be in transit. `seconds` is the
    clock of `reactor`.
    """

    def __init__(self, reactor: IReactorTime, seconds: Callable[[], float]) -> None:
        self._reactor = reactor
        self._seconds = seconds
        self._next: dict[Deferred[None], float] = {}  # since when
        self._asking: list[Deferred[None]] = []
        self._asked = float("-inf")

    def wait(self) -> "Deferred[None]":
        """Fires when everything that the peers have now is here, or after CATCH_UP_SECONDS_MAX."""
        waiting: Deferred[None] = Deferred()
        self._next[waiting] = self._seconds()
        timeout = self._reactor.callLater(CATCH_UP_SECONDS_MAX, self._give_up, waiting)
        waiting.addCallback(lambda _: timeout.cancel() if timeout.active() else None)
        return waiting

    def advance(self, replica: Replica) -> None:
        """Start a round of requests if one is due, and resume calls that need not wait longer."""
        now = self._seconds()
        if self._next and not self._asking and now >= self._asked + CATCH_UP_INTERVAL_SECONDS:
            self._asking, self._next = list(self._next), {}
            self._asked = now
            replica.refresh(now)
        if self._asking and replica.is_current(self._asked, now):
            self._release(self._asking)
        if self._next and replica.has_pulled_all(now):
            self._release(
                [one for one, since in self._next.items() if now >= since + NOTIFICATION_SECONDS]
            )

    @property
    def due_at(self) -> float:
        """When `advance` should be called next; infinity if no call is waiting for a round."""
        if not self._next:
            return float("inf")
        return min(
            self._asked + CATCH_UP_INTERVAL_SECONDS, min(self._next.values()) + NOTIFICATION_SECONDS
        )

    def abandon(self) -> None:
        """Resume all waiting calls: the server is stopping."""
        self._release([*self._asking, *self._next])

    def _give_up(self, waiting: "Deferred[None]") -> None:
        self._release([waiting])

    def _release(self, some: "list[Deferred[None]]") -> None:
        released = set(some)
        self._asking = [one for one in self._asking if one not in released]
        self._next = {one: since for one, since in self._next.items() if one not in released}
        for one in some:
            one.callback(None)
