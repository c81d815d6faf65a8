"""The rows that wait for their bytes: which to try next, and how much may be acknowledged to an
upstream in spite of them.

    upstream, path -> row    an upstream has one row per path; rows of several upstreams may wait
                             under the same path
    a turn                   for each upstream, the rows that were tried least recently
    the oldest number        everything of the upstream below it is here

All of this is fast with any number of rows, because every request to an upstream needs it.

Upstreams take their turns independently: otherwise one that sends its bytes as slowly as is allowed
would hold up the rows of all.
"""

from collections import OrderedDict
from collections.abc import Container, Iterable, Iterator, Mapping
from heapq import heapify, heappop, heappush
from itertools import islice

from imagepipe.core.rows.entries import Row
from imagepipe.core.rows.join import Pending

PENDING_SECONDS = 5.0
"""How often the bytes of pending rows are requested."""

PENDING_MAX = 20_000
"""How many rows of an upstream may wait. Beyond that its cursor stays put, and of later rows only
those whose bytes are available are joined.

The number is limited because each row takes a kilobyte of memory, and time at startup.
"""

SPARE_MAX = 256
"""How many numbers of removed rows are kept for an upstream, on top of one per waiting row."""


class PendingRows(Mapping[tuple[str, str], Row]):
    """(Upstream, path) -> row; each upstream's rows are in the order in which they are tried.
    try_at: when to try the next ones.

    Invariant: the number of every row is in the heap of its upstream. Numbers of removed rows stay
    there until they reach the top or there are too many of them.
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
        """Add rows, or replace those of the same upstream and path."""
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
        """How many rows of an upstream are waiting."""
        return len(self._rows.get(upstream, ()))

    @property
    def upstreams(self) -> list[str]:
        """The upstreams with waiting rows."""
        return list(self._rows)

    def drop(self, upstreams: Iterable[str]) -> None:
        """Remove all rows of these upstreams."""
        for upstream in upstreams:
            self._rows.pop(upstream, None)
            self._numbers.pop(upstream, None)

    def settle(self, keys: Iterable[tuple[str, str]]) -> None:
        """Remove these rows. Some may not be here."""
        for upstream, path in keys:
            rows = self._rows.get(upstream)
            if rows is not None and rows.pop(path, None) is not None and not rows:
                self.drop([upstream])

    def take_turn(
        self, now: float, count: int, busy: Container[str] = ()
    ) -> dict[str, tuple[Row, ...]]:
        """The rows to try now, by upstream, at most `count` of each. They move behind the other
        rows of their upstream. The next turn is PENDING_SECONDS later.

        busy: the upstreams whose rows are being tried already.
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
        """The lowest sequence number of the upstream's rows here; None if it has none."""
        numbers = self._numbers.get(upstream, [])
        while numbers:
            number, path = numbers[0]
            row = self._rows[upstream].get(path)
            if row is not None and row.entry.seq == number:
                return number
            heappop(numbers)
        return None
