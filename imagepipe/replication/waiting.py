"""Calls of clients that wait for peers: for confirmations of what was stored here, or for news of what was stored there."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred

from imagepipe.core.replica import Replica
from imagepipe.errors import TooFewPeers

NEWS_SECONDS_MAX = 2.0
"""How long a call waits for the peers to tell what is new."""

NEWS_SECONDS_APART = 1.0
"""How often they are asked at most."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    seq: int
    told: "Deferred[None]"


class Confirmations:
    """Waits until `wanted` peers have a change on their disks, `seconds` at most. `reactor` is an IReactorTime."""

    def __init__(self, reactor: Any, wanted: int, seconds: float) -> None:
        self._reactor = reactor
        self._wanted = wanted
        self._seconds = seconds
        self._waiting: list[_Waiting] = []

    async def confirmed(self, seq: int, replica: Replica | None) -> None:
        """Wait for the change `seq`; raises TooFewPeers."""
        if not self._wanted:
            return
        if replica is None:
            raise TooFewPeers("stored and durable here, but the server is stopping and no peer can confirm it")
        if replica.upstream.confirmations(seq) >= self._wanted:
            return
        waiting = _Waiting(seq, Deferred())
        self._waiting.append(waiting)
        timeout = self._reactor.callLater(self._seconds, self._give_up, waiting, replica)
        try:
            await waiting.told
        finally:
            if timeout.active():
                timeout.cancel()

    def tell(self, replica: Replica) -> None:
        """Let those go on whose change has been confirmed."""
        for one in [one for one in self._waiting if replica.upstream.confirmations(one.seq) >= self._wanted]:
            self._waiting.remove(one)
            one.told.callback(None)

    def abandon(self) -> None:
        """There is no more time."""
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.told.errback(TooFewPeers("stored and durable here, but the server is stopping and too few peers have confirmed it"))

    def _give_up(self, waiting: _Waiting, replica: Replica) -> None:
        self._waiting.remove(waiting)
        have = replica.upstream.confirmations(waiting.seq)
        waiting.told.errback(
            TooFewPeers(f"stored and durable here, but confirmed by {have} of the {self._wanted} peers of min_acks within {self._seconds:g} s")
        )


class News:
    """Waits until the peers that can be reached have told what they have: one round of asking serves all who waited when it began, one round a second.

    `reactor` is an IReactorTime, `seconds` its clock.
    """

    def __init__(self, reactor: Any, seconds: Callable[[], float]) -> None:
        self._reactor = reactor
        self._seconds = seconds
        self._next: list[Deferred[None]] = []
        self._asking: list[Deferred[None]] = []
        self._asked = float("-inf")

    def wait(self) -> "Deferred[None]":
        """Fires when they have told what they have now, or after NEWS_SECONDS_MAX."""
        waiting: Deferred[None] = Deferred()
        self._next.append(waiting)
        timeout = self._reactor.callLater(NEWS_SECONDS_MAX, self._give_up, waiting)
        waiting.addCallback(lambda _: timeout.cancel() if timeout.active() else None)
        return waiting

    def go_on(self, replica: Replica) -> None:
        """Ask, if it is time; let those go on who wait, if all has been told."""
        now = self._seconds()
        if self._next and not self._asking and now >= self.due_at:
            self._asking, self._next = self._next, []
            self._asked = now
            replica.refresh(now)
        if self._asking and replica.is_current(self._asked, now):
            self._release(self._asking)

    @property
    def due_at(self) -> float:
        """When there may be something to ask; infinite: never."""
        return self._asked + NEWS_SECONDS_APART if self._next else float("inf")

    def abandon(self) -> None:
        """There is no more time."""
        self._release(self._asking)
        self._release(self._next)

    def _give_up(self, waiting: "Deferred[None]") -> None:
        for some in (self._asking, self._next):
            if waiting in some:
                some.remove(waiting)
        waiting.callback(None)

    def _release(self, some: "list[Deferred[None]]") -> None:
        released = list(some)
        some.clear()
        for one in released:
            one.callback(None)
