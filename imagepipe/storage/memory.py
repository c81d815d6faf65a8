"""Recent lookups in memory, for callers that must not block: rows by their paths, and small files.

LruMemory   name -> value, the least recently used goes first
RowMemory   path -> the newest row, as long as it is the newest
"""

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from imagepipe.core.rows.entries import Row

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LruMemory(Generic[K, V]):
    """Values by name, which together weigh `weight_max` at most. For any thread; nobody is kept
    waiting.

    `hits`: how often something was found.
    """

    def __init__(self, weight_max: int) -> None:
        self._weight_max = weight_max
        self._lock = threading.Lock()
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._weight = 0
        self.hits = 0

    @property
    def weight(self) -> int:
        """What the values weigh together."""
        return self._weight

    def get(self, name: K) -> V | None:
        """The value, which counts as used now."""
        with self._lock:
            found = self._values.get(name)
            if found is None:
                return None
            self._values.move_to_end(name)
            self.hits += 1
            return found[0]

    def put(self, name: K, value: V, weight: int = 1) -> None:
        """Remember it, in place of what the name had."""
        with self._lock:
            self._drop(name)
            self._values[name] = (value, weight)
            self._weight += weight
            while self._weight > self._weight_max:
                self._drop(next(iter(self._values)))

    def discard(self, names: Iterable[K]) -> None:
        """Remember these no longer."""
        with self._lock:
            for name in names:
                self._drop(name)

    def clear(self) -> None:
        """Remember nothing."""
        with self._lock:
            self._values.clear()
            self._weight = 0

    def _drop(self, name: K) -> None:
        found = self._values.pop(name, None)
        if found:
            self._weight -= found[1]


class RowMemory:
    """Rows, and which paths have none. For any thread, and one thread that changes them; after it
    has announced a change, no lookup finds the old row.

    A row is read, and noted a moment later: if any path was changed in between, nothing is noted,
    for the row may be the one before.
    """

    def __init__(self, paths_max: int) -> None:
        self._lock = threading.Lock()
        self._rows: LruMemory[str, tuple[Row, ...]] = LruMemory(paths_max)
        self.changes = 0
        """How often rows have changed; to be read before the rows that are noted."""

    def look_up(self, paths: Sequence[str]) -> dict[str, Row] | None:
        """The rows of those paths that have one; None if that is not known of all of them."""
        rows = {}
        for path in paths:
            found = self._rows.get(path)
            if found is None:
                return None
            for row in found:
                rows[path] = row
        return rows

    def note(self, paths: Sequence[str], rows: Mapping[str, Row], changes: int) -> None:
        """The rows of all those of `paths` that have one, as they were found after `changes` was
        read.
        """
        with self._lock:
            if changes != self.changes:
                return
            for path in paths:
                row = rows.get(path)
                # What the header of an image says may come later than its row, and changes no path.
                if row is None or row.entry.content is None or row.facts:
                    self._rows.put(path, (row,) if row else ())

    def changed(self, paths: Iterable[str]) -> None:
        """These paths have other rows now."""
        with self._lock:
            self.changes += 1
            self._rows.discard(paths)
