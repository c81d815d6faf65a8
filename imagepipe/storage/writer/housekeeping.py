"""What the writer's thread does between groups, in slices: checkpoints, collection, and the sweep
after a crash.

    checkpoint    flush the folders of the tree that changed -> record `projected` -> collect

The order matters: the object of a replaced version is removed only once the tree that no longer
shows it is on the disk. Until then a crash can bring the old tree back, and only the object shows
which of its files are ours.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence

from twisted.logger import Logger

from imagepipe.core.rows.entries import Entry
from imagepipe.errors import DiskFull, FlushError, NotStored, StoreUnusable
from imagepipe.storage.catalogue.catalogue import Catalogue
from imagepipe.storage.health import Health
from imagepipe.storage.objects import Objects, Pins
from imagepipe.storage.reserve import Reserve
from imagepipe.storage.tree.projection import restore_visible
from imagepipe.storage.tree.tree import Tree
from imagepipe.storage.writer.tree_view import VisibleRows

_WAL_CHECKPOINT_ROWS = 1000
"""The number of rows after which the write-ahead log is checkpointed. With one row per transaction,
7 pages each, that is 28 MiB.
"""

_COLLECT_SLICE = 64

_log = Logger()


class Housekeeping:
    """Invariant: the tree on the disk shows what rows up to `projected` say, and `_failed_paths`
    names every path that it shows wrongly now.

    `interval` is in seconds of the clock `seconds`; `now_ms` is the wall clock, which gives the age
    of the history. `sweep` is the work that an unclean stop has left, in steps. `on_removed` is
    called with the digests whose bytes are gone.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        tree: Tree,
        objects: Objects,
        pins: Pins,
        health: Health,
        reserve: Reserve,
        *,
        interval: float,
        seconds: Callable[[], float],
        now_ms: Callable[[], int],
        sweep: Iterator[None] | None,
        on_removed: Callable[[Sequence[str]], None],
    ) -> None:
        self._catalogue = catalogue
        self._tree = tree
        self._objects = objects
        self._pins = pins
        self._health = health
        self._reserve = reserve
        self._interval = interval
        self._seconds = seconds
        self._now_ms = now_ms
        self._sweep = sweep
        self._on_removed = on_removed
        self._checkpoint: Iterator[None] | None = None
        self._due: float | None = None
        # path -> the number of the first row that it does not show
        self._failed_paths: dict[str, int] = {}
        self._rows_since_checkpoint = 0
        self._paused_until: float | None = None

    def committed(
        self, entries: Sequence[Entry], failed: Sequence[str], replaced: set[str]
    ) -> None:
        """Rows were committed and applied, but for the paths in `failed`; the digests `replaced`
        lost a row.
        """
        self._note_failed_paths(failed, entries)
        self._pins.suspect(replaced)
        self._rows_since_checkpoint += len(entries)
        self._soon()

    def count_writes(self, rows: int) -> None:
        """That many rows were written that do not concern the tree."""
        self._rows_since_checkpoint += rows

    def restore_visible(self, paths: Sequence[str], entries: Sequence[Entry]) -> None:
        """Make the tree show what it may not show at `paths`, and at those that they may hide,
        since `entries` were committed.
        """
        self._note_failed_paths(
            restore_visible(VisibleRows(self._catalogue).states(paths), self._tree, self._objects),
            entries,
        )

    def repaired(self, digests: Sequence[str]) -> None:
        """Objects have their right bytes again: what was made of them in the meantime goes. And the
        tree has changed, perhaps.
        """
        if digests:
            self._on_removed(digests)
        self._soon()

    def free_space(self) -> bool:
        """The catalogue finds the disk full: give up the reserve for it; whether there was one."""
        if not self._release_reserve():
            return False
        self._guarded(self._checkpoint_wal)
        return True

    def due_in(self) -> float | None:
        """In how many seconds there is something to do; None: nothing is."""
        if self._health.failed:
            return None
        if self._paused_until is not None:
            return max(0, self._paused_until - self._seconds())
        if self._checkpoint or self._sweep or self._rows_since_checkpoint >= _WAL_CHECKPOINT_ROWS:
            return 0
        if self._due is None and self._pins.has_suspects:
            self._soon()
        return None if self._due is None else max(0, self._due - self._seconds())

    def step(self) -> None:
        """Do one slice of what is due."""
        self._guarded(self._step)

    def finish(self) -> bool:
        """Do all there is to do; whether nothing is left."""
        if self._health.failed:
            return False
        reserved = self._reserve.is_allocated
        self._guarded(self._finish)
        if reserved and not self._reserve.is_allocated:
            self._guarded(self._finish)  # once more, in the room of the reserve
        shown = self._catalogue.projected == self._catalogue.last_seq
        return shown and not self._health.failed and not self._sweep and not self._pins.has_suspects

    def recover(self) -> None:
        """Make the tree show the rows that it may not show since a crash, flushed; before any other
        call. Raises FlushError, NotStored.
        """
        entries = self._catalogue.since(self._catalogue.projected)
        if entries:
            _log.info(
                "recovering: {count} changes may not have reached the tree", count=len(entries)
            )
            self.restore_visible([entry.path for entry in entries], entries)
            for _ in self._tree.changed_folders.flush():
                pass
            self._catalogue.set_projected(self._shown_upto())
            self._soon()

    def _step(self) -> None:
        self._paused_until = None
        self._health.check_places()  # in another folder nothing may be removed
        if self._rows_since_checkpoint >= _WAL_CHECKPOINT_ROWS:
            self._checkpoint_wal()
        elif self._checkpoint is None and self._due is not None and self._due <= self._seconds():
            self._checkpoint = self._run_checkpoint()
        elif self._checkpoint is not None:
            if _is_exhausted(self._checkpoint):
                self._checkpoint = None
        elif self._sweep is not None and _is_exhausted(self._sweep):
            self._sweep = None
            self._soon()

    def _finish(self) -> None:
        self._health.check_places()
        for _ in self._checkpoint or ():
            pass
        for _ in self._sweep or ():
            pass
        self._checkpoint = self._sweep = None
        for _ in self._run_checkpoint():
            pass
        self._checkpoint_wal()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except FlushError as error:
            self._health.fail(error)
        except Exception as error:  # a full disk, mostly
            self._checkpoint = None
            if isinstance(error, sqlite3.Error):
                error = self._catalogue.refusal(error)
            if isinstance(error, DiskFull) and self._release_reserve():
                return
            self._soon()
            if isinstance(error, StoreUnusable):
                self._paused_until = self._seconds() + self._interval
            if isinstance(error, NotStored | OSError):
                _log.error("a checkpoint did not finish and will be retried: {error}", error=error)
            else:
                _log.failure("a checkpoint did not finish and will be retried")

    def _run_checkpoint(self) -> Iterator[None]:
        self._due = None
        self._remove_abandoned()
        self._pins.suspect(self._catalogue.history.expire(self._now_ms()))
        self._retry_failed_paths()
        upto = self._shown_upto()
        suspects = self._pins.take_suspects()
        try:
            yield from self._tree.changed_folders.flush()
            self._catalogue.set_projected(upto)
            if not self._failed_paths:
                yield from self._collect(suspects)
        finally:
            self._pins.suspect(suspects)  # those that were not collected
        if self._failed_paths or not self._reserve.allocate():
            self._soon()

    def _remove_abandoned(self) -> None:
        """First of all, and without a word to the catalogue: on a full disk this may be what makes
        room for all the rest.
        """
        dead = [
            digest for digest in self._pins.take_abandoned() if not self._catalogue.is_live(digest)
        ]
        removed = [
            digest for digest in dead if self._pins.unless_in_use(digest, self._objects.remove)
        ]
        self._pins.suspect(set(dead).difference(removed))
        if removed:
            self._on_removed(removed)

    def _collect(self, suspects: set[str]) -> Iterator[None]:
        """Remove the objects that no row names and no call holds, some a step; what was settled is
        taken from `suspects`.
        """
        for some in _batches(tuple(suspects), _COLLECT_SLICE):
            dead = [digest for digest in some if not self._catalogue.is_live(digest)]
            removed = [
                digest for digest in dead if self._pins.unless_in_use(digest, self._objects.remove)
            ]
            suspects.difference_update(removed, set(some).difference(dead))
            if removed:
                self._on_removed(removed)
                self._catalogue.forget_facts(removed)
            yield

    def _retry_failed_paths(self) -> None:
        if self._failed_paths:
            still = restore_visible(
                VisibleRows(self._catalogue).states(self._failed_paths), self._tree, self._objects
            )
            self._failed_paths = {
                path: seq for path, seq in self._failed_paths.items() if path in still
            }

    def _shown_upto(self) -> int:
        return min(self._failed_paths.values(), default=self._catalogue.last_seq + 1) - 1

    def _note_failed_paths(self, failed: Iterable[str], entries: Sequence[Entry]) -> None:
        numbers = {entry.path: entry.seq for entry in entries}
        # one that has no row among them was to be shown or hidden because of one that has
        for path in failed:
            self._failed_paths.setdefault(path, numbers.get(path, entries[0].seq))

    def _release_reserve(self) -> bool:
        if not self._reserve.release():
            return False
        _log.error("the disk is full: images can be deleted, but not stored")
        self._due = self._seconds()
        return True

    def _checkpoint_wal(self) -> None:
        self._rows_since_checkpoint = 0
        self._catalogue.checkpoint_wal()

    def _soon(self) -> None:
        if self._due is None:
            self._due = self._seconds() + self._interval


def _is_exhausted(steps: Iterator[None]) -> bool:
    try:
        next(steps)
    except StopIteration:
        return True
    return False


def _batches(digests: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (digests[start : start + size] for start in range(0, len(digests), size))
