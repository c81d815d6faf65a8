"""Run equal work once at a time, however many callers ask for it."""

import contextlib
import threading
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """Work by what it is about; on the reactor's thread.

    `release` is called with each result once everyone who waited for it has seen it: they share
    the result, and may use it until then.
    """

    def __init__(self, release: Callable[[V], None] = lambda _: None) -> None:
        self._release = release
        self._waiting: dict[K, list[Deferred[V]]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    async def join(self, about: K, start: Callable[[], Awaitable[V]]) -> V:
        """The result of `start`, or of the call under way for the same thing. Everyone who waits
        gets the same result or error.
        """
        deferred: Deferred[V] = Deferred()
        waiting = self._waiting.setdefault(about, [])
        waiting.append(deferred)
        if len(waiting) == 1:
            # it has told all who wait
            Deferred.fromCoroutine(self._run(about, start)).addErrback(lambda _: None)
        return await deferred

    async def _run(self, about: K, start: Callable[[], Awaitable[V]]) -> None:
        try:
            result = await start()
        except BaseException:
            failure = Failure()
            for deferred in self._waiting.pop(about):
                deferred.errback(failure)
            raise
        for deferred in self._waiting.pop(about):
            deferred.callback(result)
        self._release(result)


class KeyLocks:
    """The same for threads, and for work on several things at once: a later caller waits, and then
    finds the work done.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: set[Hashable] = set()

    @contextlib.contextmanager
    def hold(self, things: Iterable[Hashable]) -> Iterator[None]:
        """Claim `things`, all at once, when nobody else locks any of them."""
        wanted = set(things)
        with self._changed:
            self._changed.wait_for(lambda: self._held.isdisjoint(wanted))
            self._held |= wanted
        try:
            yield
        finally:
            with self._changed:
                self._held -= wanted
                self._changed.notify_all()
