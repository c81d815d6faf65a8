"""Performs, on threads, the replica's actions that touch the disk, and reports the result of each.

There are two pools, so that a node can serve its subscribers while it catches up itself.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from imagepipe.core.replication import actions
from imagepipe.core.replication.fetches import ReceiveResult
from imagepipe.core.replication.replica import Replica
from imagepipe.core.rows.join import JoinResult
from imagepipe.errors import ImagepipeError
from imagepipe.runtime.rate_limited_log import RateLimitedLog
from imagepipe.storage.store import Store

T = TypeVar("T")
OnThread = Callable[[Callable[[], Any]], "Deferred[Any]"]
Event = Callable[[Replica, float], None]
StoreAction = (
    actions.Examine
    | actions.StorePieces
    | actions.DiscardTransfer
    | actions.Join
    | actions.Release
    | actions.ForgetUpstreams
    | actions.ReadChanges
    | actions.ReadPieces
)

_log = Logger()


class Performer:
    """For the reactor's thread. `pulling` and `serving` run a blocking call on a thread; `report`
    receives the event with an action's result.

    seconds: a monotonic clock.
    """

    def __init__(
        self,
        store: Store,
        pulling: OnThread,
        serving: OnThread,
        report: Callable[[Event], None],
        seconds: Callable[[], float],
    ) -> None:
        self._store = store
        self._pulling = pulling
        self._serving = serving
        self._report = report
        self._rate_limited_log = RateLimitedLog(_log, seconds)
        self._storing: Counter[int] = Counter()  # transfers that a thread is writing to
        self._discarded: set[int] = set()

    def perform(self, action: StoreAction) -> None:
        """Start an action."""
        match action:
            case actions.Examine(pull, rows):
                self._do(
                    self._pulling,
                    lambda: self._store.peers.pin_rows(rows),
                    lambda lacking: lambda replica, now: replica.examined(pull, lacking, now),
                    lambda replica, now: replica.pull_failed(pull, now),
                )
            case actions.StorePieces():
                self._store_pieces(action)
            case actions.DiscardTransfer(transfer):
                self._discard(transfer)
            case actions.Join(pull):
                self._do(
                    self._pulling,
                    lambda: self._join(action),
                    lambda joined: lambda replica, now: replica.joined(pull, joined, now),
                    lambda replica, now: replica.pull_failed(pull, now),
                )
            case actions.Release(rows):
                self._do(self._pulling, lambda: self._store.peers.unpin_rows(rows))
            case actions.ForgetUpstreams(upstreams):
                self._do(self._pulling, lambda: self._store.peers.forget_upstreams(upstreams))
            case actions.ReadChanges(client, rid, after, rows_max):
                self._do(
                    self._serving,
                    lambda: self._store.peers.changes(after, rows_max),
                    lambda excerpt: (
                        lambda replica, _: replica.changes_read(
                            client, rid, after, excerpt.end, excerpt.rows
                        )
                    ),
                    lambda replica, _: replica.read_failed(client),
                )
            case actions.ReadPieces(client, rid, ranges):
                self._do(
                    self._serving,
                    lambda: [
                        self._store.peers.read_piece(one.digest, one.offset, one.length)
                        for one in ranges
                    ],
                    lambda pieces: lambda replica, _: replica.pieces_read(client, rid, pieces),
                    lambda replica, _: replica.read_failed(client),
                )

    def _do(
        self,
        on_thread: OnThread,
        call: Callable[[], T],
        done: Callable[[T], Event] = lambda _: _nothing,
        failed: Event = lambda *_: None,
    ) -> None:
        def not_done(failure: Failure) -> None:
            if failure.check(ImagepipeError):
                self._rate_limited_log.warn(
                    "replication: cannot store or read data for peers, will retry: {error}",
                    error=failure.getErrorMessage(),
                )
            else:
                _log.failure("replication: unexpected failure", failure)
            self._report(failed)

        deferred = on_thread(call)
        deferred.addCallbacks(lambda result: self._report(done(result)), not_done)
        deferred.addErrback(lambda failure: _log.failure("bug in replication", failure))

    def _store_pieces(self, action: actions.StorePieces) -> None:
        transfers = {part.transfer for part in action.parts}
        self._storing.update(transfers)

        def kept(results: Sequence[tuple[int, ReceiveResult]]) -> Event:
            self._written(transfers)
            return lambda replica, now: replica.pieces_stored(action.link, action.rid, results, now)

        def failed(replica: Replica, now: float) -> None:
            self._written(transfers)
            replica.store_failed(action.link, action.rid, now)

        self._do(self._pulling, lambda: self._receive(action), kept, failed)

    def _written(self, transfers: set[int]) -> None:
        self._storing.subtract(transfers)
        for transfer in transfers:
            if not self._storing[transfer]:
                del self._storing[transfer]
                if transfer in self._discarded:
                    self._discard(transfer)

    def _discard(self, transfer: int) -> None:
        if transfer in self._storing:  # the thread that is writing to it would create it again
            self._discarded.add(transfer)
            return
        self._discarded.discard(transfer)
        self._do(self._pulling, lambda: self._store.peers.discard(transfer))

    # On threads.

    def _receive(self, action: actions.StorePieces) -> Sequence[tuple[int, ReceiveResult]]:
        return [
            (
                part.transfer,
                self._store.peers.receive(part.transfer, part.content, part.offset, piece),
            )
            for part, piece in zip(action.parts, action.pieces, strict=True)
        ]

    def _join(self, action: actions.Join) -> JoinResult:
        try:
            return self._store.peers.join(
                action.rows, action.upstream, action.cursor, from_start=action.from_start
            )
        finally:
            self._store.peers.unpin_rows(action.rows)


def _nothing(_replica: Replica, _now: float) -> None:
    pass
