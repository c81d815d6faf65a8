"""Whose turn it is at the engines: a write's (a store) or a read's (a rendition for a GET).

    one thread      writes and reads take turns: a store waits for one running render at most
    more threads    the same, and reads may use all threads as long as they are quick; once one was
                    slow, they leave one thread to the writes

Anyone may ask for renditions, and many of them may be slow; stores must get through all the same.
A thread is left idle for them only when reads are slow, because it costs as much throughput.
"""

from collections.abc import Container
from enum import StrEnum

SLOW_SECONDS = 2.0
"""A read that renders this long is slow: a store that waits for it would notice."""

RESERVE_SECONDS = 60.0
"""For how long after a slow read the reads leave a thread to the writes."""


class JobKind(StrEnum):
    """The two classes of jobs."""

    WRITE = "store"
    READ = "rendition"


_OTHER = {JobKind.WRITE: JobKind.READ, JobKind.READ: JobKind.WRITE}


class EngineTurns:
    """Gives out turns. Invariant: while more are taken than `threads` (it was lowered), none is
    given.

    All times are seconds of one monotonic clock.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._writes = 0
        self._reads: list[float] = []  # when each of those that run began
        self._last = JobKind.READ
        self._reserve_until = float("-inf")

    def take(self, waiting: Container[JobKind], now: float) -> JobKind | None:
        """Take a turn for one of the `waiting` kinds, and return which; None: all have to wait."""
        for kind in (_OTHER[self._last], self._last):
            if kind in waiting and self._has_room(kind, now):
                self._last = kind
                if kind is JobKind.WRITE:
                    self._writes += 1
                else:
                    self._reads.append(now)
                return kind
        return None

    def give_back(self, kind: JobKind, began: float, now: float) -> None:
        """End a turn that was taken at `began`."""
        if kind is JobKind.WRITE:
            self._writes -= 1
            return
        self._reads.remove(began)
        if now - began >= SLOW_SECONDS:
            self._reserve_until = now + RESERVE_SECONDS

    def _has_room(self, kind: JobKind, now: float) -> bool:
        if self._writes + len(self._reads) >= self.threads:
            return False
        if kind is JobKind.WRITE or self.threads == 1:
            return True
        reserves = now < self._reserve_until or any(
            now - one >= SLOW_SECONDS for one in self._reads
        )
        return not reserves or len(self._reads) < self.threads - 1
