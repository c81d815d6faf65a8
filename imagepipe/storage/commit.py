"""The commit: a group of calls becomes durable and visible, in the one order that loses nothing.

    objects are on the disk             (by the call's own thread, before it came here)
    decide                              from the rows: which paths change; a call that may not is refused
    prepare in the tree                 folders, and a temporary link beside each final name; what can fail for space or rights fails here
    one transaction                     the commit point: a crash before it leaves temporary names, one after it is made good from the rows
    apply in the tree                   readers see it
    answer

A refused call leaves nothing behind, and the rest of its group goes on.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from twisted.logger import Logger

from imagepipe.core.entries import Change, Content, Entry
from imagepipe.core.stamp import Version, next_stamp
from imagepipe.errors import FlushError, ImagepipeError, InternalError, NotStored
from imagepipe.storage.calls import Call
from imagepipe.storage.catalogue import Catalogue
from imagepipe.storage.disk import catalogue_refusal, refusal
from imagepipe.storage.health import Health
from imagepipe.storage.housekeeping import Housekeeping
from imagepipe.storage.images import Commit
from imagepipe.storage.nesting import check_nesting
from imagepipe.storage.tree import Prepared, Replacement, Tree

_log = Logger()


@dataclass(frozen=True, slots=True)
class _Admitted:
    """A call that was decided and prepared: it happens if its group does."""

    call: Call
    entries: tuple[Entry, ...]
    prepared: Prepared


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
        self._stamp = 0  # these two only within a group
        self._seq = 0

    def commit(self, calls: Sequence[Call]) -> None:
        """Answer every call, one way or the other."""
        self._commit([call for call in calls if call.future.set_running_or_notify_cancel()])

    def _commit(self, calls: Sequence[Call]) -> None:
        admitted: list[_Admitted] = []
        self._stamp, self._seq = self._catalogue.last_stamp, self._catalogue.last_seq
        try:
            self._health.check()
            self._catalogue.begin()
            for call in calls:
                self._admit(call, admitted)
            if any(one.entries for one in admitted):
                facts = {digest: facts for one in admitted for digest, facts in one.call.facts.items()}
                self._catalogue.put([entry for one in admitted for entry in one.entries], facts, self._stamp)
            self._catalogue.commit()
        except Exception as error:  # noqa: BLE001 - whatever it was, every call gets an answer
            self._abandon(calls, admitted, error)
            return
        for one in admitted:
            self._show(one)
        if any(one.entries for one in admitted):
            self._on_commit(self._seq)

    def _admit(self, call: Call, admitted: list[_Admitted]) -> None:
        try:
            changes = call.decide(self._content)
            check_nesting(changes, self._content, self._catalogue.live_below, call.argument)
            before = {change.path: self._catalogue.entry(change.path) for change in changes}
            prepared = self._tree.prepare([Replacement(change.path, _digest(before[change.path]), _digest(change)) for change in changes])
        except FlushError:
            raise
        except ImagepipeError as error:
            call.future.set_exception(error)
            return
        except OSError as error:
            call.future.set_exception(refusal(error, call.paths[0]))
            return
        except sqlite3.Error as error:
            raise catalogue_refusal(error) or error from error
        except Exception:  # noqa: BLE001 - a bug: this call's, not its neighbours'
            _log.failure("a change of {paths} failed", paths=call.paths)
            call.future.set_exception(InternalError())
            return
        admitted.append(_Admitted(call, self._entries(changes, before), prepared))

    def _entries(self, changes: Sequence[Change], before: dict[str, Entry | None]) -> tuple[Entry, ...]:
        if not changes:
            return ()
        self._stamp = next_stamp(self._now_ms(), self._stamp)
        version = Version(self._stamp, self._catalogue.node_id)
        entries = []
        for change in changes:
            self._seq += 1
            old = before[change.path]
            entries.append(Entry(change.path, version, old.version if old else None, change.content, self._seq))
        return tuple(entries)

    def _show(self, one: _Admitted) -> None:
        if not one.entries:
            one.call.future.set_result(Commit(None, self._seq))
            return
        try:
            failed = self._tree.apply(one.prepared)
        except Exception:  # noqa: BLE001 - the call is committed, so it is OK: what fails from here on is made good later
            _log.failure("the tree does not show {paths} as it should", paths=one.call.paths)
            failed = tuple(entry.path for entry in one.entries)
        gone = {replacement.before for replacement in one.prepared.replacements if replacement.before != replacement.after}
        self._housekeeping.committed(one.entries, failed, {digest for digest in gone if digest is not None})
        one.call.future.set_result(Commit(one.entries[-1].version, one.entries[-1].seq))

    def _abandon(self, calls: Sequence[Call], admitted: Sequence[_Admitted], error: Exception) -> None:
        for one in reversed(admitted):
            self._tree.undo(one.prepared)
        try:
            self._catalogue.roll_back()
        except Exception as worse:  # noqa: BLE001 - it is reported as what it follows from
            _log.error("a transaction could not be rolled back: {error}", error=worse)
        if isinstance(error, FlushError):
            self._health.fail(error)
        elif isinstance(error, NotStored):
            again = [call for call in calls if not call.future.done() and not call.facts]
            if again and self._housekeeping.make_room():  # a delete goes on; it makes room itself
                self._commit(again)
        else:
            _log.failure("a group of changes failed")
        for call in calls:
            if not call.future.done():
                call.future.set_exception(type(error)(str(error)) if isinstance(error, NotStored) else InternalError())

    def _content(self, path: str) -> Content | None:
        entry = self._catalogue.entry(path)
        return entry.content if entry else None


def _digest(holder: Entry | Change | None) -> str | None:
    return holder.content.digest if holder and holder.content else None
