"""The render cache's rows, for any thread: an index that may fail at any moment, the part of it
that is in memory, and the files that are removed with their rows.

index      read and changed under one lock, for a few milliseconds at most; no file is opened, read
           or removed under it
memory     the rows used last whose files were verified: finding one of them again takes no SQL and
           writes nothing
a failure  of SQLite, of any kind: it is logged, and all rows are lost; later puts try to start a
           new index, less and less often while that fails
"""

import sqlite3
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from twisted.logger import Logger

from imagepipe.errors import FlushError
from imagepipe.storage.cache.files import CacheFiles, remove_left_over
from imagepipe.storage.cache.index import (
    FAILURES,
    SLICE,
    CacheEntry,
    CacheIndex,
    RemovedEntry,
    room_of,
)

T = TypeVar("T")

_SKIPPED_MAX = 1024

_log = Logger()


@dataclass(frozen=True, slots=True)
class CacheHit:
    """A row. `is_verified`: its file was read in this run, and had the right bytes."""

    rendition: CacheEntry
    is_verified: bool


class CacheRows:
    """Invariant: rows in memory are in the index, and the index names the generation of `files`.
    Nothing here raises.

    closing: from then on what takes long is left to the next run. `evictions`: how many rows have
    made room for others. `some_stay`: a file could not be removed, and has no row. `used`: the keys
    of rows that were used without being asked for; it may be appended to.
    """

    def __init__(
        self,
        files: CacheFiles,
        new_generation: Callable[[], str],
        in_memory_max: int,
        closing: threading.Event,
        on_gone: Callable[[Collection[str]], None] = lambda _: None,
    ) -> None:
        """new_generation: 16 random hex digits. on_gone: called with each key that is removed; it
        must not block.
        """
        self._files = files
        self._new_generation = new_generation
        self._in_memory_max = in_memory_max
        self._closing = closing
        self._lock = threading.Lock()
        self._index: CacheIndex | None = None
        self._in_memory: OrderedDict[str, CacheEntry] = OrderedDict()
        self._failures = 0
        self._to_skip = 0
        self._on_gone = on_gone
        self.used: deque[str] = deque(maxlen=in_memory_max)
        self.evictions = 0
        self.some_stay = False

    @property
    def count(self) -> int:
        """How many rows there are."""
        index = self._index
        return index.count if index else 0

    @property
    def room_taken(self) -> int:
        """What their files take on the disk, in bytes."""
        index = self._index
        return index.room_taken if index else 0

    def open(self, *, keeps: bool) -> bool:
        """Use the existing index, or start a new one, if the cache `keeps` anything. Returns
        whether rows and files are known to agree.
        """
        with self._lock:
            try:
                was_in_use = self._files.is_in_use
                self._files.make()
                self._index = CacheIndex.open(self._files.index) if keeps else None
                if self._index and self._files.go_on(self._index.generation):
                    return not was_in_use
                self._drop()
            except (OSError, FlushError, *FAILURES) as error:
                self._fail(error)
            if keeps:
                self._begin()
            return True

    def current(self) -> CacheIndex | None:
        """The index, which callers compare with a later one; a new one is started if there is none
        and it is time to try.
        """
        with self._lock:
            if self._index is None and self._to_skip:
                self._to_skip -= 1
            elif self._index is None:
                self._begin()
            return self._index

    def find(self, key: str) -> CacheHit | None:
        """The row with this key; one that is in memory counts as used now."""

        def find(index: CacheIndex) -> CacheHit | None:
            rendition = self._in_memory.get(key)
            if rendition is not None:
                self._in_memory.move_to_end(key)
                index.use(rendition.number)
                return CacheHit(rendition, is_verified=True)
            rendition = index.look_up(key)
            return None if rendition is None else CacheHit(rendition, is_verified=False)

        return self.ask(find)

    def remember(self, rendition: CacheEntry) -> None:
        """The file of this row is good, and used now."""

        def remember(index: CacheIndex) -> None:
            if index.has(rendition.number):  # or it has gone meanwhile
                index.use(rendition.number)
                self._remember(rendition)

        self.ask(remember)

    def header(self, source: str) -> bytes | None:
        """What was kept of the header of a source of which there is a rendition."""
        return self.ask(lambda index: index.header(source))

    def add(
        self, rendition: CacheEntry, header: bytes, room_max: int, index_then: CacheIndex
    ) -> bool:
        """Add a row, when enough of those used least recently have gone; whether it is in. If not
        its file is gone.

        It is not if there is one with its key, or if `index_then` is no more, of whose generation
        its file is. Its own room is not above `room_max`.
        """

        def fit(index: CacheIndex) -> bool | None:
            if index is not index_then:
                return None
            # rendered twice at the same time: a reader of the other one is about to open its file
            if index.look_up(rendition.key):
                removed.append(RemovedEntry(rendition.number, rendition.key))
                return None
            with index.changing():
                removed.extend(index.evict(index.room_taken + room_of(rendition.size) - room_max))
                fits = index.room_taken + room_of(rendition.size) <= room_max
                if fits:
                    index.add(rendition, header)
                elif not removed:
                    raise sqlite3.DatabaseError("more room is taken than the rows say")
            self._forget(removed)
            self.evictions += len(removed)
            if fits:
                self._remember(rendition)
                self._failures = 0
            return fits

        is_in: bool | None = False
        while is_in is False:
            removed: list[RemovedEntry] = []
            is_in = self.ask(fit)
            self._unlink(removed)
        if is_in is None:
            self.clear_away()
        return bool(is_in)

    def shrink(self, room_max: int) -> None:
        """Remove those used least recently, until they take no more room than this."""

        def evict(index: CacheIndex) -> Sequence[RemovedEntry]:
            evicted = index.evict(index.room_taken - room_max)
            self.evictions += len(evicted)
            return evicted

        while not self._closing.is_set() and self.remove(evict):
            pass

    def remove(self, remove: Callable[[CacheIndex], Sequence[RemovedEntry]]) -> int:
        """Have `remove` take rows out, and remove their files; how many."""

        def change(index: CacheIndex) -> Sequence[RemovedEntry]:
            with index.changing():
                removed = remove(index)
            self._forget(removed)
            return removed

        removed = self.ask(change) or ()
        self._unlink(removed)
        return len(removed)

    def remove_of_source(self, sources: Collection[str]) -> None:
        """Remove all that was made of `sources`, a slice at a time: others are let in between."""
        while self.remove(partial(CacheIndex.remove_of_source, sources=sources)) >= SLICE:
            pass

    def ask(self, query: Callable[[CacheIndex], T | None]) -> T | None:
        """What `query` finds out; None also if there is no index, or it fails."""
        with self._lock:
            if self._index is None:
                return None
            try:
                self._note_used(self._index)
                return query(self._index)
            except FAILURES as error:
                self._fail(error)
        self.clear_away()
        return None

    def lose(self, index: CacheIndex, error: Exception) -> None:
        """`index` was found to be of no use; it may be another by now, and then nothing happens."""
        with self._lock:
            if self._index is index:
                self._fail(error)
        self.clear_away()

    def drop(self) -> int:
        """Give up all rows and files; the bytes that these took on the disk."""
        with self._lock:
            room = self.room_taken
            self._drop()
        self.clear_away()
        return room

    def clear_away(self) -> None:
        """Remove the files that are left over of what was lost."""
        with self._lock:
            paths = self._files.left_over()
        remove_left_over(paths, self._closing.is_set)

    def close(self) -> bool:
        """Write down what is only in memory; whether all of it is on the disk."""
        with self._lock:
            index, self._index = self._index, None
            try:
                if index:
                    self._note_used(index)
                    index.close()
            except FAILURES as error:
                _log.error("the render cache was not closed cleanly: {error}", error=error)
                return False
            finally:
                self._in_memory.clear()
            return index is not None and not self.some_stay

    def _note_used(self, index: CacheIndex) -> None:
        while self.used:
            rendition = self._in_memory.get(self.used.popleft())
            if rendition is not None:
                self._in_memory.move_to_end(rendition.key)
                index.use(rendition.number)

    def _unlink(self, rows: Sequence[RemovedEntry]) -> None:
        if not self._files.remove([row.number for row in rows]):
            self.some_stay = True

    def _remember(self, rendition: CacheEntry) -> None:
        self._in_memory[rendition.key] = rendition
        self._in_memory.move_to_end(rendition.key)
        if len(self._in_memory) > self._in_memory_max:
            self._in_memory.popitem(last=False)

    def _forget(self, rows: Sequence[RemovedEntry]) -> None:
        for row in rows:
            self._in_memory.pop(row.key, None)
        self._on_gone([row.key for row in rows])

    def _begin(self) -> None:
        generation = self._new_generation()
        try:
            self._files.begin(generation)
            self._index = CacheIndex.create(self._files.index, generation)
        except (OSError, FlushError, *FAILURES) as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._failures += 1
        self._to_skip = min(1 << self._failures, _SKIPPED_MAX) - 2
        if self._failures == 1:
            _log.error("the render cache is unusable and starts empty: {error}", error=error)
        self._drop()

    def _drop(self) -> None:
        if self._index:
            self._index.abandon()
        self._index = None
        self._in_memory.clear()
        self._files.end()
