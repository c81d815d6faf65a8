"""Deleting, erasing and moving images.

These need no thread of their own, because the store's writer answers. Each waits until enough peers
have confirmed it, and asks the peers before a path counts as unknown.
"""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from imagepipe.errors import NotFound, quoted
from imagepipe.monitoring.counters import Counters
from imagepipe.storage.store import Store
from imagepipe.usecases.peers import OnThread, Peers, catch_up_unless_known

T = TypeVar("T")


class ChangeOperations:
    """Changes what is stored. Called on the reactor's thread; `on_thread` runs a short blocking
    call on a thread of its own pool.
    """

    def __init__(
        self,
        reactor: IReactorFromThreads,
        on_thread: OnThread,
        store: Store,
        peers: Peers,
        counters: Counters,
    ) -> None:
        self._reactor = reactor
        self._on_thread = on_thread
        self._store = store
        self._peers = peers
        self._counters = counters

    async def delete(self, paths: Sequence[str]) -> None:
        """Delete clean `paths` in one change; paths that do not exist count as deleted. Raises
        TooFewPeers.
        """
        await self._catch_up_unless_known(paths)
        commit = await self._answered(self._store.delete(paths))
        self._counters.deleted(len(paths))
        await self._peers.wait_for_confirmations(commit.seq)

    async def erase(self, path: str) -> None:
        """Delete a clean path and its history on every node. Raises TooFewPeers, and NotFound if
        the path was never used.
        """
        await self._catch_up_unless_known([path])
        if not await self._on_thread(lambda: self._store.look_up(path)):
            raise NotFound("path", f"there is no image {quoted(path)}, and there never was one")
        commit = await self._answered(self._store.erase(path))
        self._counters.deleted(1)
        await self._peers.wait_for_confirmations(commit.seq)

    async def move(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Move images between clean paths, in order, all or none. Raises TooFewPeers."""
        await self._catch_up_unless_known([source for source, _ in pairs])
        commit = await self._answered(self._store.move(pairs))
        self._counters.moved(len(pairs))
        await self._peers.wait_for_confirmations(commit.seq)

    async def _catch_up_unless_known(self, paths: Sequence[str]) -> None:
        await catch_up_unless_known(self._peers, self._on_thread, self._store, paths)

    def _answered(self, future: "Future[T]") -> "Deferred[T]":
        """A future of the store's writer thread, as a Deferred of the reactor's."""
        deferred: Deferred[T] = Deferred()

        def done(future: "Future[T]") -> None:
            error = future.exception()
            if error is None:
                self._reactor.callFromThread(deferred.callback, future.result())
            else:
                self._reactor.callFromThread(deferred.errback, Failure(error))

        future.add_done_callback(done)
        return deferred
