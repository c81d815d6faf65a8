"""Calls that wait until enough peers have confirmed a change."""

from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from imagepipe.core.replication.replica import Replica
from imagepipe.errors import TooFewPeers


@dataclass(frozen=True, slots=True)
class _Waiting:
    seq: int
    done: "Deferred[None]"


class Confirmations:
    """Waits until `wanted` peers have a change on their disks, `seconds` at most."""

    def __init__(self, reactor: IReactorTime, wanted: int, seconds: float) -> None:
        self._reactor = reactor
        self._wanted = wanted
        self._seconds = seconds
        self._waiting: list[_Waiting] = []

    async def wait(self, seq: int, replica: Replica | None) -> None:
        """Wait until the change `seq` is confirmed; raises TooFewPeers."""
        if not self._wanted:
            return
        if replica is None:
            raise TooFewPeers(
                "stored and durable here, but the server is stopping and no peer can confirm it"
            )
        if replica.subscribers.confirmations(seq) >= self._wanted:
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
        """Resume the calls whose changes have been confirmed."""
        if not self._waiting:
            return
        confirmed = replica.subscribers.confirmed_by(self._wanted) if self._wanted else float("inf")
        done = [one for one in self._waiting if one.seq <= confirmed]
        if done:
            self._waiting = [one for one in self._waiting if one.seq > confirmed]
            for one in done:
                one.done.callback(None)

    def abandon(self) -> None:
        """Fail all waiting calls: the server is stopping."""
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
        have = replica.subscribers.confirmations(waiting.seq)
        waiting.done.errback(
            TooFewPeers(
                f"stored and durable here, but confirmed by only {have} of {self._wanted} peers"
                f" (min_acks) within {seconds:g} s"
            )
        )
