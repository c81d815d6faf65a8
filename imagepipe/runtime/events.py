"""Announcements that one part makes and others listen to.

class Store:
    removed: Event[[Sequence[str]]]

store.removed.connect(cache.forget)      when the parts are put together
self.removed.fire(digests)               in the part itself, when it happens
"""

from collections.abc import Callable
from typing import Generic, ParamSpec

from twisted.logger import Logger

P = ParamSpec("P")

_log = Logger()


class Event(Generic[P]):
    """Calls its listeners in the order in which they were connected, on the thread that fires it.

    Whoever owns an event documents which thread that is, and whether a listener may block. A
    listener that raises is logged; neither the other listeners nor the part that fires the event
    notice. Connect listeners before the owner is started: an event is not repeated for latecomers.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._listeners: list[Callable[P, object]] = []

    def connect(self, listener: Callable[P, object]) -> None:
        """Call `listener` whenever the event fires from now on."""
        self._listeners.append(listener)

    def fire(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call every listener; never raises."""
        for listener in tuple(self._listeners):
            try:
                listener(*args, **kwargs)
            except Exception:  # a bug: the listener's, not that of whoever fires
                _log.failure("a listener to {event} failed", event=self._name)
