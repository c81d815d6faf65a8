"""Calls of clients that wait for peers: for confirmations of what was stored here, or for news of
what was stored there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred

from imagepipe.core.replication.replica import Replica
from imagepipe.errors import TooFewPeers

CATCH_UP_SECONDS_MAX = 2.0
"""How long a call waits for the peers to say what is new."""

CATCH_UP_INTERVAL_SECONDS = 1.0
"""How often they are asked at most."""

NOTIFICATION_SECONDS = 0.05
"""How long the word of a change may be on its way."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    seq: int
    done: "Deferred[None]"


class Confirmations:
    """Waits until `wanted` peers have a change on their disks, `seconds` at most. `reactor` is an
    IReactorTime.
    """

    def __init__(self, reactor: Any, wanted: int, seconds: float) -> None:
        self._reactor = reactor
        self._wanted = wanted
        self._seconds = seconds
        self._waiting: list[_Waiting] = []

    async def wait(self, seq: int, replica: Replica | None) -> None:
        """Wait for the change `seq`; raises TooFewPeers."""
        if not self._wanted:
            return
        if replica is None:
            raise TooFewPeers(
                "stored and durable here, but the server is stopping and no peer can confirm it"
            )
        if replica.upstream.confirmations(seq) >= self._wanted:
            return
        waiting = _Waiting(seq, Deferred())
        self._waiting.append(waiting)
        timeout = self._reactor.callLater(
            self._seconds, self._give_up, waiting, self._seconds, replica
        )
        try:
            await waiting.done
        finally:
            if timeout.active():
                timeout.cancel()

    def require(self, wanted: int, seconds: float) -> None:
        """Ask for another number of peers from now on; call `release` next. Calls that wait already
        keep their timeout.
        """
        self._wanted = wanted
        self._seconds = seconds

    def release(self, replica: Replica) -> None:
        """Let those go on whose change has been confirmed."""
        if not self._waiting:
            return
        confirmed = replica.upstream.confirmed_by(self._wanted) if self._wanted else float("inf")
        done = [one for one in self._waiting if one.seq <= confirmed]
        if done:
            self._waiting = [one for one in self._waiting if one.seq > confirmed]
            for one in done:
                one.done.callback(None)

    def abandon(self) -> None:
        """There is no more time."""
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.done.errback(
                TooFewPeers(
                    "stored and durable here, but the server is stopping and too few peers have"
                    " confirmed it"
                )
            )

    def _give_up(self, waiting: _Waiting, seconds: float, replica: Replica) -> None:
        self._waiting.remove(waiting)
        have = replica.upstream.confirmations(waiting.seq)
        waiting.done.errback(
            TooFewPeers(
                f"stored and durable here, but confirmed by {have} of the {self._wanted} peers of"
                f" min_acks within {seconds:g} s"
            )
        )


class CatchUp:
    """Waits until the peers that can be reached have told what they have: one round of asking
    serves all who waited when it began, one round a second.

    Who comes between two rounds waits until all is here that the peers have rung for, and a moment
    longer, for a doorbell may be on its way. `reactor` is an IReactorTime, `seconds` its clock.
    """

    def __init__(self, reactor: Any, seconds: Callable[[], float]) -> None:
        self._reactor = reactor
        self._seconds = seconds
        self._next: dict[Deferred[None], float] = {}  # since when
        self._asking: list[Deferred[None]] = []
        self._asked = float("-inf")

    def wait(self) -> "Deferred[None]":
        """Fires when they have told what they have now, or after CATCH_UP_SECONDS_MAX."""
        waiting: Deferred[None] = Deferred()
        self._next[waiting] = self._seconds()
        timeout = self._reactor.callLater(CATCH_UP_SECONDS_MAX, self._give_up, waiting)
        waiting.addCallback(lambda _: timeout.cancel() if timeout.active() else None)
        return waiting

    def advance(self, replica: Replica) -> None:
        """Ask, if it is time; let those go on who wait, if all has been told."""
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
        """When there may be something to do; infinite: never."""
        if not self._next:
            return float("inf")
        return min(
            self._asked + CATCH_UP_INTERVAL_SECONDS, min(self._next.values()) + NOTIFICATION_SECONDS
        )

    def abandon(self) -> None:
        """There is no more time."""
        self._release([*self._asking, *self._next])

    def _give_up(self, waiting: "Deferred[None]") -> None:
        self._release([waiting])

    def _release(self, some: "list[Deferred[None]]") -> None:
        released = set(some)
        self._asking = [one for one in self._asking if one not in released]
        self._next = {one: since for one, since in self._next.items() if one not in released}
        for one in some:
            one.callback(None)
