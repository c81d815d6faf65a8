"""Passwords that wait to be checked: each source gets its turn, and each name of a source.

    source 10.0.0.1   ann: 3    bob: 7 9
    source 10.0.0.2   bob: 8                  next: 3, 8, 9, 7

Within a name the newest is next: clients that send wrong passwords for bob and wait for the answers
cannot hold up the right one, even from the same source. When the queue is full, the oldest of the
longest name of the busiest source loses its place.

Unlike core/queues/fair_queue, where the order in which the items of a client came is kept.
"""

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class PasswordQueue(Generic[T]):
    """At most `length_max` items."""

    def __init__(self, length_max: int) -> None:
        self._length_max = length_max
        self._sources: dict[str, dict[bytes, deque[T]]] = {}
        self._lengths: dict[str, int] = {}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, source: str, name: bytes, item: T) -> T | None:
        """Queue an item; the one that lost its place to it, if any."""
        self._sources.setdefault(source, {}).setdefault(name, deque()).append(item)
        self._lengths[source] = self._lengths.get(source, 0) + 1
        self._length += 1
        if self._length <= self._length_max:
            return None
        busiest = max(self._lengths, key=self._lengths.__getitem__)
        names = self._sources[busiest]
        longest = max(names, key=lambda name: len(names[name]))
        loser = names[longest][0]
        self.remove(busiest, longest, loser)
        return loser

    def next(self) -> T | None:
        """Take the next item; None if there is none."""
        if not self._sources:
            return None
        source, names = next(iter(self._sources.items()))
        name, items = next(iter(names.items()))
        item = items[-1]
        self.remove(source, name, item)
        if name in names:
            names[name] = names.pop(name)
        if source in self._sources:
            self._sources[source] = self._sources.pop(source)
        return item

    def remove(self, source: str, name: bytes, item: T) -> None:
        """Take this item, which must be in the queue."""
        names = self._sources[source]
        names[name].remove(item)
        if not names[name]:
            del names[name]
        if not names:
            del self._sources[source]
        self._lengths[source] -= 1
        if not self._lengths[source]:
            del self._lengths[source]
        self._length -= 1
