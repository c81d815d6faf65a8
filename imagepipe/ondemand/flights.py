"""Equal work that is under way is done once, however many ask for it."""

from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Flights(Generic[K, V]):
    """Work by what it is about; on the reactor's thread.

    `land` is called with each result after all who waited for it have seen it: they share it, and what it holds is let go of then.
    """

    def __init__(self, land: Callable[[V], None] = lambda _: None) -> None:
        self._land = land
        self._waiting: dict[K, list[Deferred[V]]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    async def join(self, about: K, start: Callable[[], Awaitable[V]]) -> V:
        """What `start` comes to, or what another has started about the same thing. All who wait get its result, or its error."""
        deferred: Deferred[V] = Deferred()
        waiting = self._waiting.setdefault(about, [])
        waiting.append(deferred)
        if len(waiting) == 1:
            Deferred.fromCoroutine(self._fly(about, start)).addErrback(lambda _: None)  # it has told all who wait
        return await deferred

    async def _fly(self, about: K, start: Callable[[], Awaitable[V]]) -> None:
        try:
            result = await start()
        except BaseException:
            failure = Failure()
            for deferred in self._waiting.pop(about):
                deferred.errback(failure)
            raise
        for deferred in self._waiting.pop(about):
            deferred.callback(result)
        self._land(result)
