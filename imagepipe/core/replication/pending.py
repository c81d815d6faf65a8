"""The rows that wait for their bytes: which are tried next, and what may be acknowledged to an
upstream in spite of them.

    upstream, path -> row    an upstream has one row a path; of several upstreams the same path may
                             wait
    a turn                   of each upstream, those that have not been tried for the longest time
    the oldest number        everything of the upstream below it is here

All of it is quick with any number of rows: it is asked for whenever an upstream is.

Upstreams do not wait for each other's turns: one that sends bytes as slowly as it may would hold up
the rows of all.
"""

from collections import OrderedDict
from collections.abc import Container, Iterable, Iterator, Mapping
from heapq import heapify, heappop, heappush
from itertools import islice

from imagepipe.core.rows.entries import Row
from imagepipe.core.rows.join import Pending

PENDING_SECONDS = 5.0
"""How often the bytes of pending rows are asked for."""

PENDING_MAX = 20_000
"""How many rows of an upstream may wait. Then its cursor does, and what it tells beyond is taken
over as far as its bytes can be had.

Not much more, for each takes a kilobyte of memory here, and the time of a start.
"""

SPARE_MAX = 256
"""How many numbers of rows that have gone are kept for an upstream besides as many as there are
rows.
"""


class PendingRows(Mapping[tuple[str, str], Row]):
    """(Upstream, path) -> its row, an upstream's in the order in which they are tried. try_at: when
    the next of them are to be.

    Invariant: the number of every row is in the heap of its upstream. Numbers of rows that have
    gone are too, until they come to its top, or are too many.
    """

    def __init__(self, rows: Iterable[Pending]) -> None:
        self.try_at = float("-inf")
        # upstream -> path -> row; no upstream is without rows
        self._rows: dict[str, OrderedDict[str, Row]] = {}
        self._numbers: dict[str, list[tuple[int, str]]] = {}  # upstream -> heap of (number, path)
        self.add(rows)

    def __getitem__(self, key: tuple[str, str]) -> Row:
        upstream, path = key
        return self._rows[upstream][path]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((upstream, path) for upstream, rows in self._rows.items() for path in rows)

    def __len__(self) -> int:
        return sum(map(len, self._rows.values()))

    def add(self, rows: Iterable[Pending]) -> None:
        """These begin to wait, or wait as they are now and no more as they were."""
        for one in rows:
            entry = one.row.entry
            paths = self._rows.setdefault(one.upstream, OrderedDict())
            paths[entry.path] = one.row
            numbers = self._numbers.setdefault(one.upstream, [])
            heappush(numbers, (entry.seq, entry.path))
            if len(numbers) > 2 * len(paths) + SPARE_MAX:
                numbers[:] = [(row.entry.seq, path) for path, row in paths.items()]
                heapify(numbers)

    def count(self, upstream: str) -> int:
        """How many rows of an upstream wait."""
        return len(self._rows.get(upstream, ()))

    @property
    def upstreams(self) -> list[str]:
        """Those that have rows here."""
        return list(self._rows)

    def drop(self, upstreams: Iterable[str]) -> None:
        """No row of these waits any more."""
        for upstream in upstreams:
            self._rows.pop(upstream, None)
            self._numbers.pop(upstream, None)

    def settle(self, keys: Iterable[tuple[str, str]]) -> None:
        """These wait no more. Some may not have waited."""
        for upstream, path in keys:
            rows = self._rows.get(upstream)
            if rows is not None and rows.pop(path, None) is not None and not rows:
                self.drop([upstream])

    def take_turn(
        self, now: float, count: int, busy: Container[str] = ()
    ) -> dict[str, tuple[Row, ...]]:
        """The rows to be tried now, by upstream, `count` of each at most. The next turn is
        PENDING_SECONDS later.

        busy: the upstreams whose rows are being tried already. What is tried now comes after an
        upstream's other rows.
        """
        self.try_at = now + PENDING_SECONDS
        turn: dict[str, tuple[Row, ...]] = {}
        for upstream, rows in self._rows.items():
            if upstream not in busy:
                turn[upstream] = tuple(islice(rows.values(), count))
                for row in turn[upstream]:
                    rows.move_to_end(row.entry.path)
        return turn

    def oldest(self, upstream: str) -> int | None:
        """The least of the numbers that the upstream gave to its rows; None: it has none here."""
        numbers = self._numbers.get(upstream, [])
        while numbers:
            number, path = numbers[0]
            row = self._rows[upstream].get(path)
            if row is not None and row.entry.seq == number:
                return number
            heappop(numbers)
        return None
