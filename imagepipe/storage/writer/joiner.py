"""The join: rows of a peer become durable and visible, together with the cursor, in one
transaction.

    the bytes are here, flushed         (by the caller's own thread, before it came here)
    decide                              core.rows.join: which rows are accepted, which wait for
                                        their bytes, which of ours are lost
    prepare in the tree                 as for a call
    one transaction                     rows, what was lost, what waits, the cursor: a crash leaves
                                        all of it or nothing
    apply in the tree

A join is never refused because of what is in the tree: all nodes must hold the same rows. A path
that cannot be made visible is logged and tried again.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from twisted.logger import Logger

from imagepipe.core.rows import join
from imagepipe.core.rows.entries import Content, Entry, Row, wins
from imagepipe.core.rows.join import Cursor, JoinPlan, JoinResult, Pending
from imagepipe.errors import DiskFull, FlushError, NotStored
from imagepipe.storage.catalogue.catalogue import Catalogue
from imagepipe.storage.disk import is_full, refusal
from imagepipe.storage.health import Health
from imagepipe.storage.objects import Objects
from imagepipe.storage.tree.changes import PreparedChanges, Replacement
from imagepipe.storage.tree.tree import Tree
from imagepipe.storage.writer.housekeeping import Housekeeping
from imagepipe.storage.writer.tree_view import VisibleRows, lost_digests

_log = Logger()


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """What is to be joined: rows of distinct paths.

    upstream, cursor None: rows that were pending. from_start: the upstream sends its rows from the
    start again, so its pending rows are void. flushed: the contents whose objects were here, and
    durable, before the transaction.
    """

    rows: Sequence[Row]
    upstream: str | None
    cursor: Cursor | None
    from_start: bool
    flushed: frozenset[Content]


class Joiner:
    """On the writer's thread alone."""

    def __init__(
        self,
        catalogue: Catalogue,
        tree: Tree,
        objects: Objects,
        housekeeping: Housekeeping,
        health: Health,
        now_ms: Callable[[], int],
        on_commit: Callable[[int], None],
    ) -> None:
        self._catalogue = catalogue
        self._tree = tree
        self._objects = objects
        self._housekeeping = housekeeping
        self._health = health
        self._now_ms = now_ms
        self._on_commit = on_commit

    def join(self, request: JoinRequest) -> JoinResult:
        """Join; raises NotStored on a full disk, and nothing is changed then, or FlushError."""
        seq = self._catalogue.last_seq
        try:
            self._health.check()
            joined = self._join(request)
        except FlushError as error:
            self._health.fail(error)
            raise
        except DiskFull:
            if self._brings_images(request) or not self._housekeeping.free_space():
                raise
            joined = self._join(request)  # deletes go on; they make room themselves
        if joined.seq > seq:
            self._on_commit(joined.seq)
        return joined

    def forget(self, upstreams: Sequence[str]) -> None:
        """Forget how far these upstreams were pulled, and what waits of them. Raises NotStored on a
        full disk; FlushError.
        """
        self._health.check()
        self._catalogue.begin()
        try:
            self._catalogue.upstreams.forget(upstreams)
            self._catalogue.commit()
        except BaseException:
            self._catalogue.roll_back()
            raise
        self._housekeeping.count_writes(len(upstreams))

    def _join(self, request: JoinRequest) -> JoinResult:
        catalogue = self._catalogue
        prepared: list[PreparedChanges] = []
        try:
            catalogue.begin()
            outcome = join.join(
                request.rows,
                catalogue.entry,
                self._has_bytes(request),
                catalogue.node_id,
                catalogue.last_seq,
            )
            before = {entry.path: catalogue.entry(entry.path) for entry in outcome.accepted}
            self._write(request, outcome)
            added, settled = self._settle(request, outcome)
            replacements = VisibleRows(catalogue).replacements(
                before, {entry.path: entry for entry in outcome.accepted}
            )
            unprepared = self._prepare(replacements, prepared)
            catalogue.commit()
        except Exception as error:
            self._undo(prepared)
            if isinstance(error, sqlite3.Error):
                raise catalogue.refusal(error) from error
            raise
        if outcome.lost:
            catalogue.history.recount()
        self._housekeeping.count_writes(1 + len(added) + len(settled))
        self._show(outcome, before, prepared, unprepared)
        return JoinResult(catalogue.last_seq, added, settled)

    def _has_bytes(self, request: JoinRequest) -> Callable[[Content], bool]:
        return lambda content: content in request.flushed and self._objects.has(content)

    def _brings_images(self, request: JoinRequest) -> bool:
        # the others will only be pending
        return any(not self._catalogue.is_live(content.digest) for content in request.flushed)

    def _write(self, request: JoinRequest, outcome: JoinPlan) -> None:
        catalogue = self._catalogue
        catalogue.put(outcome.accepted, outcome.facts, is_hearsay=True)
        if outcome.lost:
            now_ms = self._now_ms()
            winners = {entry.path: entry for entry in outcome.accepted}
            for loser in outcome.lost:
                catalogue.history.add(loser, winners[loser.path], now_ms)
        if request.upstream is not None and request.cursor is not None:
            catalogue.upstreams.set_cursor(request.upstream, request.cursor)

    def _settle(
        self, request: JoinRequest, outcome: JoinPlan
    ) -> tuple[tuple[Pending, ...], tuple[tuple[str, str], ...]]:
        """Bring the rows that wait up to date: those that begin to do so, and those that do so no
        more.
        """
        upstreams = self._catalogue.upstreams
        paths = [row.entry.path for row in request.rows]
        before = {one for path in paths for one in upstreams.pending_at(path)}
        if request.from_start and request.upstream is not None:
            void = upstreams.pending_of(request.upstream)
            before.update(void)
            upstreams.drop_pending(void)
        if request.upstream is not None:
            upstreams.add_pending(request.upstream, outcome.pending)
        after = {one for path in paths for one in upstreams.pending_at(path)}
        overtaken = {
            one
            for one in after
            if not wins(one.row.entry, self._catalogue.entry(one.row.entry.path))
        }
        upstreams.drop_pending(overtaken)
        after -= overtaken
        waiting = {_key(one) for one in after}
        added = sorted(after - before, key=lambda one: one.row.entry.seq)
        return tuple(added), tuple(sorted({_key(one) for one in before} - waiting))

    def _prepare(
        self, replacements: Sequence[Replacement], prepared: list[PreparedChanges]
    ) -> list[str]:
        """Prepare the tree; the paths for which that cannot be done now. Raises NotStored on a full
        disk.
        """
        try:
            prepared.append(self._tree.prepare(replacements))
        except (NotStored, OSError) as error:
            _raise_if_about_the_disk(error)
        else:
            return []
        unprepared = []
        for one in replacements:
            try:
                prepared.append(self._tree.prepare([one]))
            except (NotStored, OSError) as error:
                _raise_if_about_the_disk(error)
                unprepared.append(one.path)
        return unprepared

    def _show(
        self,
        outcome: JoinPlan,
        before: dict[str, Entry | None],
        prepared: Sequence[PreparedChanges],
        unprepared: Sequence[str],
    ) -> None:
        if not outcome.accepted:
            return
        failed: list[str] = []
        for one in prepared:
            try:
                failed += self._tree.apply(one)
            # it is committed: what fails from here on is made good later
            except Exception:
                _log.failure("the tree does not show a joined change as it should")
                failed += (replacement.path for replacement in one.replacements)
        self._housekeeping.committed(
            outcome.accepted, failed, lost_digests(before, outcome.accepted)
        )
        if unprepared:
            self._housekeeping.restore_visible(unprepared, outcome.accepted)

    def _undo(self, prepared: Sequence[PreparedChanges]) -> None:
        for one in reversed(prepared):
            self._tree.undo(one)
        try:
            self._catalogue.roll_back()
        except Exception as worse:  # it is reported as what it follows from
            _log.error("a transaction could not be rolled back: {error}", error=worse)


def _raise_if_about_the_disk(error: NotStored | OSError) -> None:
    if isinstance(error, FlushError):
        raise error
    if isinstance(error, OSError) and is_full(error):
        raise refusal(error) from error


def _key(one: Pending) -> tuple[str, str]:
    return one.upstream, one.row.entry.path
