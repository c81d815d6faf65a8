"""The commit: a group of calls becomes durable and visible, in the one order that loses nothing.

    objects are on the disk             (by the call's own thread, before it came here)
    decide                              from the rows: which paths change; a call that may not is
                                        refused
    prepare in the tree                 folders, and a temporary link beside each final name; what
                                        can fail for space or rights fails here
    one transaction                     the commit point: a crash before it leaves temporary names,
                                        one after it is made good from the rows
    apply in the tree                   readers see it
    answer

A refused call leaves nothing behind, and the rest of its group goes on. A call that has to do with
an image above or below another is a group of its own (tree_view.py).
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from twisted.logger import Logger

from imagepipe.core.rows.entries import Content, Entry, PathChange
from imagepipe.core.rows.versions import next_versions
from imagepipe.errors import (
    Conflict,
    FlushError,
    ImagepipeError,
    InternalError,
    NotStored,
    StoreUnusable,
    quoted,
)
from imagepipe.storage.catalogue.catalogue import Catalogue
from imagepipe.storage.disk import refusal
from imagepipe.storage.health import Health
from imagepipe.storage.image_info import Commit
from imagepipe.storage.tree.changes import PreparedChanges
from imagepipe.storage.tree.tree import Tree
from imagepipe.storage.writer.calls import WriteCall
from imagepipe.storage.writer.housekeeping import Housekeeping
from imagepipe.storage.writer.nesting import check_nesting
from imagepipe.storage.writer.tree_view import VisibleRows, lost_digests, plain

T = TypeVar("T")

_log = Logger()


@dataclass(frozen=True, slots=True)
class _Decision:
    """What a call comes to. `before`: the rows of the paths that it changes. `nested`: there are
    images above or below them.
    """

    call: WriteCall
    changes: Sequence[PathChange]
    before: Mapping[str, Entry | None]
    nested: bool


@dataclass(frozen=True, slots=True)
class _PreparedCall:
    """A call that was decided and prepared: it happens if its group does. `unprepared`: paths of
    others that could not be prepared, to be shown later.
    """

    decided: _Decision
    entries: tuple[Entry, ...]
    prepared: PreparedChanges
    unprepared: tuple[str, ...] = ()


class Committer:
    """Commits groups of calls; on the writer's thread alone."""

    def __init__(
        self,
        catalogue: Catalogue,
        tree: Tree,
        housekeeping: Housekeeping,
        health: Health,
        now_ms: Callable[[], int],
        on_commit: Callable[[int], None],
    ) -> None:
        self._catalogue = catalogue
        self._tree = tree
        self._housekeeping = housekeeping
        self._health = health
        self._now_ms = now_ms
        self._on_commit = on_commit
        self._seq = 0  # only within a group

    def commit(self, calls: Sequence[WriteCall]) -> None:
        """Answer every call, one way or the other."""
        running = [call for call in calls if call.future.set_running_or_notify_cancel()]
        while running:
            running = self._commit(running)

    def _commit(self, calls: list[WriteCall]) -> list[WriteCall]:
        """Commit as many as may share a transaction; returns those left."""
        admitted: list[_PreparedCall] = []
        left: list[WriteCall] = []
        try:
            self._health.check()
            self._health.check_places()
            self._begin()
            visible = VisibleRows(self._catalogue)
            for at, call in enumerate(calls):
                decided = self._answering(call, partial(self._decide, call, visible))
                if decided is None:
                    continue
                if decided.nested:
                    # What it hides or shows may be hidden or shown by another call too: it has a
                    # transaction of its own.
                    left = calls[at:] if admitted else calls[at + 1 :]
                    if not admitted:
                        self._admit_alone(decided, admitted)
                    break
                self._admit(decided, admitted)
            if any(one.entries and not one.decided.nested for one in admitted):
                facts = {
                    digest: facts
                    for one in admitted
                    for digest, facts in one.decided.call.facts.items()
                }
                self._catalogue.put([entry for one in admitted for entry in one.entries], facts)
            self._catalogue.commit()
        except Exception as error:  # whatever it was, every call gets an answer
            self._abandon(calls, admitted, error)
            return []
        moved = self._moved()
        for one in admitted:
            self._show(one, moved)
        if any(one.entries for one in admitted):
            self._on_commit(self._catalogue.last_seq)
        return left

    def _moved(self) -> StoreUnusable | None:
        """Why what was committed just now may be lost all the same: no client may get OK for it."""
        try:
            self._health.check_places()
        except StoreUnusable as error:
            return error
        return None

    def _begin(self) -> None:
        self._seq = self._catalogue.last_seq
        self._catalogue.begin()

    def _answering(self, call: WriteCall, work: Callable[[], T]) -> T | None:
        """What `work` returns; None: the call was refused, and answered so."""
        try:
            return work()
        except FlushError:
            raise
        except ImagepipeError as error:
            call.future.set_exception(error)
        except OSError as error:
            call.future.set_exception(refusal(error, call.paths[0]))
        except sqlite3.Error as error:
            raise self._catalogue.refusal(error) from error
        except Exception:  # a bug: this call's, not its neighbours'
            _log.failure("a change of {paths} failed", paths=call.paths)
            call.future.set_exception(InternalError())
        return None

    def _decide(self, call: WriteCall, visible: VisibleRows) -> _Decision:
        if call.only_new and any(self._catalogue.entry(path) for path in call.paths):
            raise Conflict("path", f"{quoted(call.paths[0])} was stored or deleted before")
        changes = call.decide(self._content)
        before = {change.path: self._catalogue.entry(change.path) for change in changes}
        return _Decision(
            call, changes, before, check_nesting(changes, before, visible.related, call.argument)
        )

    def _admit(self, decided: _Decision, admitted: list[_PreparedCall]) -> None:
        prepared = self._answering(
            decided.call, lambda: self._tree.prepare(plain(decided.before, decided.changes))
        )
        if prepared is not None:
            admitted.append(_PreparedCall(decided, self._entries(decided), prepared))

    def _admit_alone(self, decided: _Decision, admitted: list[_PreparedCall]) -> None:
        """What the tree shows then is worked out from the new rows, so they are written first."""
        entries = self._entries(decided)
        self._catalogue.put(entries, decided.call.facts)
        replacements = VisibleRows(self._catalogue).replacements(
            decided.before, {entry.path: entry for entry in entries}
        )
        try:
            admitted.append(_PreparedCall(decided, entries, self._tree.prepare(replacements)))
        except FlushError:
            raise
        # a stranger's file, say, where an image would appear: that does not keep another from being
        # deleted
        except (NotStored, OSError):
            own = [one for one in replacements if one.path in decided.before]
            prepared = self._answering(decided.call, lambda: self._tree.prepare(own))
            if prepared is not None:
                unprepared = tuple(
                    one.path for one in replacements if one.path not in decided.before
                )
                admitted.append(_PreparedCall(decided, entries, prepared, unprepared))
            else:
                self._catalogue.roll_back()
                self._begin()

    def _entries(self, decided: _Decision) -> tuple[Entry, ...]:
        if not decided.changes:
            return ()
        catalogue = self._catalogue
        paths = [change.path for change in decided.changes]
        versions = next_versions(paths, catalogue.node_id, self._now_ms(), catalogue.known_at)
        entries = []
        for change in decided.changes:
            self._seq += 1
            old = decided.before[change.path]
            version = versions[change.path]
            entries.append(
                Entry(change.path, version, old.version if old else None, change.content, self._seq)
            )
        return tuple(entries)

    def _show(self, one: _PreparedCall, moved: StoreUnusable | None) -> None:
        call = one.decided.call
        if not one.entries:
            _answer(call, Commit(None, self._seq), moved)
            return
        try:
            failed = self._tree.apply(one.prepared)
        # the call is committed, so it is OK: what fails from here on is made good later
        except Exception:  # a bug: this call's, not its neighbours'
            _log.failure("the tree does not show {paths} as it should", paths=call.paths)
            failed = tuple(replacement.path for replacement in one.prepared.replacements)
        self._housekeeping.committed(
            one.entries, failed, lost_digests(one.decided.before, one.entries)
        )
        if one.unprepared:
            self._housekeeping.restore_visible(one.unprepared, one.entries)
        _answer(
            call, Commit(min(entry.version for entry in one.entries), one.entries[-1].seq), moved
        )

    def _abandon(
        self, calls: Sequence[WriteCall], admitted: Sequence[_PreparedCall], error: Exception
    ) -> None:
        for one in reversed(admitted):
            self._tree.undo(one.prepared)
        try:
            self._catalogue.roll_back()
        except Exception as worse:  # it is reported as what it follows from
            _log.error("a transaction could not be rolled back: {error}", error=worse)
        if isinstance(error, FlushError):
            self._health.fail(error)
        elif isinstance(error, StoreUnusable):
            pass
        elif isinstance(error, NotStored):
            again = [call for call in calls if not call.future.done() and not call.facts]
            if again and self._housekeeping.free_space():  # a delete goes on; it makes room itself
                while again:
                    again = self._commit(again)
        else:
            _log.failure("a group of changes failed")
        for call in calls:
            if not call.future.done():
                call.future.set_exception(
                    type(error)(str(error)) if isinstance(error, NotStored) else InternalError()
                )

    def _content(self, path: str) -> Content | None:
        entry = self._catalogue.entry(path)
        return entry.content if entry else None


def _answer(call: WriteCall, commit: Commit, moved: StoreUnusable | None) -> None:
    if moved:
        call.future.set_exception(StoreUnusable(str(moved)))
    else:
        call.future.set_result(commit)
