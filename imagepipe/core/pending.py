"""The rows that wait for their bytes: which are tried next, and what may be acknowledged to an upstream in spite of them.

    upstream, path -> row    an upstream has one row a path; of several upstreams the same path may wait
    a turn                   those that have not been tried for the longest time, one a path, for only one of them can win
    the oldest number        everything of the upstream below it is here

All of it is quick with any number of rows: it is asked for whenever an upstream is.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from heapq import heapify, heappop, heappush
from itertools import islice

from imagepipe.core.entries import Row
from imagepipe.core.joining import Pending

PENDING_SECONDS = 5.0
"""How often the bytes of pending rows are asked for."""

PENDING_MAX = 20_000
"""How many rows of an upstream may wait. Then its cursor does, and what it tells beyond is taken over as far as its bytes can be had.

Not much more, for each takes a kilobyte of memory here, and the time of a start.
"""

SPARE_MAX = 256
"""How many numbers of rows that have gone are kept for an upstream besides as many as there are rows."""


class PendingRows(Mapping[tuple[str, str], Row]):
    """(Upstream, path) -> its row, in the order in which they are tried. try_at: when the next of them are to be.

    Invariant: the number of every row is in the heap of its upstream. Numbers of rows that have gone are too, until they come to its top, or are too many.
    """

    def __init__(self, rows: Iterable[Pending]) -> None:
        self.try_at = float("-inf")
        self._rows: OrderedDict[tuple[str, str], Row] = OrderedDict()
        self._counts: Counter[str] = Counter()
        self._numbers: dict[str, list[tuple[int, str]]] = {}  # upstream -> heap of (number, path)
        self.add(rows)

    def __getitem__(self, key: tuple[str, str]) -> Row:
        return self._rows[key]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, rows: Iterable[Pending]) -> None:
        """These begin to wait, or wait as they are now and no more as they were."""
        for one in rows:
            entry = one.row.entry
            self._counts[one.upstream] += (one.upstream, entry.path) not in self._rows
            self._rows[one.upstream, entry.path] = one.row
            numbers = self._numbers.setdefault(one.upstream, [])
            heappush(numbers, (entry.seq, entry.path))
            if len(numbers) > 2 * len(self._rows) + SPARE_MAX:
                numbers[:] = [(row.entry.seq, path) for (upstream, path), row in self._rows.items() if upstream == one.upstream]
                heapify(numbers)

    def count(self, upstream: str) -> int:
        """How many rows of an upstream wait."""
        return self._counts[upstream]

    @property
    def upstreams(self) -> list[str]:
        """Those that have rows here."""
        return list(self._counts)

    def drop(self, upstreams: Iterable[str]) -> None:
        """No row of these waits any more."""
        gone = frozenset(upstreams)
        self.settle([key for key in self._rows if key[0] in gone])

    def settle(self, keys: Iterable[tuple[str, str]]) -> None:
        """These wait no more. Some may not have waited."""
        for key in keys:
            if self._rows.pop(key, None) is not None:
                upstream = key[0]
                self._counts[upstream] -= 1
                if not self._counts[upstream]:
                    del self._counts[upstream]
                    self._numbers.pop(upstream, None)

    def take_turn(self, now: float, count: int) -> tuple[Row, ...]:
        """The rows to be tried now, `count` at most; the others come before them next time, which is PENDING_SECONDS later."""
        self.try_at = now + PENDING_SECONDS
        turn: dict[str, Row] = {}
        for key, row in list(islice(self._rows.items(), count)):
            if row.entry.path not in turn:  # of two rows of a path each is tried in its turn
                turn[row.entry.path] = row
                self._rows.move_to_end(key)
        return tuple(turn.values())

    def oldest(self, upstream: str) -> int | None:
        """The least of the numbers that the upstream gave to its rows; None: it has none here."""
        numbers = self._numbers.get(upstream, [])
        while numbers:
            number, path = numbers[0]
            row = self._rows.get((upstream, path))
            if row is not None and row.entry.seq == number:
                return number
            heappop(numbers)
        return None
