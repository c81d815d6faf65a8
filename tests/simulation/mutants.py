"""Faults put into the code on purpose: a simulation that does not find each of them within a few
hundred seeds proves nothing.
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

from imagepipe.core.paths import ancestors
from imagepipe.core.replication import subscribers
from imagepipe.core.replication.actions import Action, DiscardTransfer, Join, Release
from imagepipe.core.replication.fetches import Ended, Fetches, ReceiveResult
from imagepipe.core.replication.link import (
    PIECES_SECONDS_MAX,
    Link,
    PendingRequest,
    Pull,
    PullStage,
)
from imagepipe.core.replication.messages import Batch, Changes
from imagepipe.core.replication.progress import Progress
from imagepipe.core.replication.refetch import Refetches
from imagepipe.core.replication.replica import Replica
from imagepipe.core.replication.subscribers import Subscriber, Subscribers
from imagepipe.core.replication.upstream_requests import Requests
from imagepipe.core.replication.upstreams import Upstreams
from imagepipe.core.rows import entries, epochs, join, stamp, versions
from imagepipe.core.rows.entries import Content, Entry, PathChange
from imagepipe.core.rows.epochs import Epoch
from imagepipe.core.rows.join import JoinResult
from imagepipe.core.rows.stamp import Version
from imagepipe.core.rows.visibility import visible
from tests.simulation.disk import Disk
from tests.simulation.node import Node


@dataclass(frozen=True)
class Mutant:
    """`attribute` of `owner`, a module or class, is `value` instead. seed: one that finds it, where
    the plans have not changed since.
    """

    name: str
    owner: object
    attribute: str
    value: object
    seed: int

    def put_in(self) -> contextlib.AbstractContextManager[object]:
        """While in this context, the code has the fault."""
        return mock.patch.object(self.owner, self.attribute, self.value)


# Versions and joining.


def _wall_clock(wall_milliseconds: int, known: Iterable[int]) -> int:
    return wall_milliseconds << stamp.COUNTER_BITS


def _above_all_received(self: Disk, path: str) -> list[Entry]:
    return [*self.rows.values(), *(row.entry for row in self.pending.values())]


def _blind_to_pending(self: Disk, path: str) -> list[Entry]:
    return [self.rows[path]] if path in self.rows else []


def _blind_to_erasure(
    paths: Sequence[str], node: str, wall_ms: int, known_at: Callable[[str], Iterable[Entry]]
) -> dict[str, Version]:
    known = (entry.version.stamp for path in paths for entry in known_at(path))
    return dict.fromkeys(paths, Version(stamp.next_stamp(wall_ms, known), node))


def _one_version_even_if_forged(
    paths: Sequence[str], node: str, wall_ms: int, known_at: Callable[[str], Iterable[Entry]]
) -> dict[str, Version]:
    found = _NEXT_VERSIONS(paths, node, wall_ms, known_at)
    return dict.fromkeys(paths, max(found.values())) if found else found


def _blind_to_deletes(self: Disk, path: str) -> list[Entry]:
    return [entry for entry in _KNOWN_AT(self, path) if entry.content]


def _blind_to_hidden(self: Disk, path: str) -> list[Entry]:
    related = [
        entry
        for other, entry in self.rows.items()
        if other in ancestors(path) or path in ancestors(other)
    ]
    return [
        entry for entry in _KNOWN_AT(self, path) if not entry.content or visible(entry, related)
    ]


def _a_version_each(self: Disk, changes: tuple[PathChange, ...], wall_ms: int) -> tuple[Entry, ...]:
    return tuple(entry for change in changes for entry in _WRITE(self, (change,), wall_ms))


def _rank_without_digest(entry: Entry) -> object:
    return entry.version, entry.path


def _weak_delete(one: Entry, other: Entry | None) -> bool:
    return other is None or (
        entries.wins(one, other) and (one.content is not None or other.content is None)
    )


def _never_erased(loser: Entry, erasures: object) -> bool:
    return False


def _never_unseen(loser: Entry, winner: Entry) -> bool:
    return False


def _without_own_number(*arguments: Any) -> join.JoinPlan:
    joined = _JOIN(*arguments)
    return replace(joined, accepted=tuple(replace(entry, seq=0) for entry in joined.accepted))


def _before_the_bytes(rows: Any, entry_of: Any, has_bytes: Any, *others: Any) -> join.JoinPlan:
    return _JOIN(rows, entry_of, lambda content: content is not None, *others)


def _cursor_first(self: Node, action: Action) -> None:
    if isinstance(action, Join) and action.upstream and action.cursor:
        self.disk.cursors[action.upstream] = action.cursor
    _DO(self, action)


def _cursor_though_it_failed(self: Upstreams, pull: Pull) -> Link | None:
    link = _LEAVE_QUEUE(self, pull)
    if link and pull.stage is PullStage.JOINING:
        link.cursor = pull.cursor
    return link


def _last_batch_first(self: Replica, link: Link, now: float) -> None:
    for pull in reversed(link.pulls):
        self._pulls.join_if_complete(pull)
    _GO_ON(self, link, now)


def _start_without_pending(self: Disk, epoch: str) -> None:
    self.pending.clear()
    _START(self, epoch)


def _never_afresh(self: Node, action: Action) -> None:
    _DO(self, replace(action, from_start=False) if isinstance(action, Join) else action)


# Acknowledging.


def _acked_on_arrival(self: Progress, link: Link) -> int:
    return link.position.seq if link.position else 0


def _acked_though_pending(self: Progress, link: Link) -> int:
    return link.cursor.seq if link.cursor else 0


def _acked_in_any_epoch(
    self: Subscribers, message: Changes, now: float, client: bytes, key: str
) -> None:
    self.known[key or message.node] = Subscriber(message.acked, now, message.node, key=key)


def _mend_from_one(self: Replica, contents: Sequence[Content], now: float) -> int:
    number = next(self._ids)
    self._downloads.refetch(number, contents, self._upstreams.reachable(now)[:1], now)
    self._go_on_all(now)
    return number


def _mends_without_end(self: Refetches, now: float) -> list[int]:
    return []


def _silent_relief(self: Replica, pull_id: int, outcome: JoinResult, now: float) -> None:
    before = {link.name: link.unacknowledged for link in self.links.values()}
    _JOINED(self, pull_id, replace(outcome, settled=()), now)
    for link in self.links.values():
        link.unacknowledged = before[link.name]


# Who an upstream is.


def _any_epoch(known: Sequence[Epoch], last_seq: int, epoch: str, seq: int) -> bool:
    return bool(epoch) and seq <= last_seq


def _endless_epoch(known: Sequence[Epoch], last_seq: int, epoch: str, seq: int) -> bool:
    return seq <= last_seq and any(one.id == epoch for one in known)


def _without_end(self: Subscribers, message: Changes) -> bool:
    return epochs.holds(self._epochs, self.last_seq, message.epoch, message.after)


def _acked_though_afresh(
    self: Subscribers, message: Changes, now: float, client: bytes, key: str
) -> None:
    holds = epochs.holds(self._epochs, self.last_seq, message.epoch, message.acked)
    self.known[key or message.node] = Subscriber(
        message.acked if holds else 0, now, message.node, key=key
    )


def _room_for_all(self: Upstreams, link: Link, node: str, now: float) -> bool:
    return True


def _mistaken(
    self: Upstreams, link: Link, asked: PendingRequest, message: Batch, now: float
) -> None:
    if link.head is not None and message.node == link.node:
        _TAKE_BATCH(self, link, asked, message, now)


def _on_from_ahead(self: Link) -> None:
    if not self.pulls:
        self.looks_ahead = self.is_full


# Bytes.


def _unverified(self: Node, digest: str, data: bytes) -> ReceiveResult:
    self.disk.keep(digest, data)
    return ReceiveResult.COMPLETE


def _first_refusal(self: Fetches, fetch: Any, now: float) -> Ended:
    self._end_attempt(fetch)
    return self._end(fetch)


def _no_second_try(self: Replica, now: float) -> None:
    self.pending.try_at = float("inf")


def _not_repeated(self: Requests, link: Link, rid: int, asked: PendingRequest, now: float) -> None:
    asked.first_sent = asked.sent = now
    if not asked.parts:
        _REPEAT(self, link, rid, asked, now)


def _put_off_by_polls(self: Link, asked: PendingRequest) -> float:
    return max(asked.sent, self.answered) + PIECES_SECONDS_MAX


def _held(self: Node, action: Action) -> None:
    if not isinstance(action, Release):
        _DO(self, action)


def _attempts_stay(self: Node, action: Action) -> None:
    if not isinstance(action, DiscardTransfer):
        _DO(self, action)


# Time.


def _always_curious(self: Link, now: float) -> bool:
    return True


def _difference_of_times(self: Fetches, now: float) -> None:
    for fetch in self._waiting():
        if now - fetch.waits_since >= fetch.patience and fetch.source is not None:
            fetch.patience *= 2
            fetch.others.append(fetch.source)
            self._next_source(fetch, now)


_JOIN = join.join
_NEXT_VERSIONS = versions.next_versions
_KNOWN_AT = Disk.known_at
_WRITE = Disk.write
_DO = Node._do
_START = Disk.start
_JOINED = Replica.joined
_LEAVE_QUEUE = Upstreams.leave_queue
_GO_ON = Replica._go_on
_TAKE_BATCH = Upstreams.take_batch
_REPEAT = Requests.repeat

MUTANTS = (
    Mutant("the stamp is the plain wall clock", versions, "next_stamp", _wall_clock, 1),
    Mutant("the stamp is above all that a peer has sent", Disk, "known_at", _above_all_received, 1),
    Mutant(
        "the stamp is not above rows that wait for their bytes",
        Disk,
        "known_at",
        _blind_to_pending,
        1,
    ),
    Mutant("the stamp is not above an erasure", versions, "next_versions", _blind_to_erasure, 557),
    Mutant(
        "a forged stamp spreads to all paths of a call",
        versions,
        "next_versions",
        _one_version_even_if_forged,
        65,
    ),
    Mutant(
        "the greatest stamp is taken for one that can be exceeded", stamp, "STAMP_MAX", 1 << 62, 89
    ),
    Mutant("a row that nothing could overtake waits for its bytes", join, "STAMP_MAX", 1 << 62, 17),
    Mutant("the stamp is not above a delete", Disk, "known_at", _blind_to_deletes, 1),
    Mutant(
        "the stamp is not above a row that the tree does not show",
        Disk,
        "known_at",
        _blind_to_hidden,
        55,
    ),
    Mutant("each path of a call has a stamp of its own", Disk, "write", _a_version_each, 1),
    Mutant("a tie is not broken by the digest", entries, "_rank", _rank_without_digest, 502),
    Mutant("a delete does not win over a put", join, "wins", _weak_delete, 1),
    Mutant("no loser is kept as history", join, "was_unseen", _never_unseen, 1),
    Mutant("what was erased is kept when it is lost", join, "is_erased", _never_erased, 12),
    Mutant("what was joined is not announced again", join, "join", _without_own_number, 1),
    Mutant(
        "rows are joined and announced before their bytes are here",
        join,
        "join",
        _before_the_bytes,
        12,
    ),
    Mutant("the cursor moves before the rows are joined", Node, "_do", _cursor_first, 54),
    Mutant(
        "the cursor moves though the join failed",
        Upstreams,
        "leave_queue",
        _cursor_though_it_failed,
        214,
    ),
    Mutant("a second batch is joined before the first", Replica, "_go_on", _last_batch_first, 2),
    Mutant("a crash forgets what is pending", Disk, "start", _start_without_pending, 49),
    Mutant("the cursor jumps over what was only looked at", Link, "begin", _on_from_ahead, 75),
    Mutant("what was pending of a restored upstream stays so", Node, "_do", _never_afresh, 236),
    Mutant("a batch is acknowledged when it arrives", Progress, "acked", _acked_on_arrival, 2),
    Mutant("what is pending is acknowledged", Progress, "acked", _acked_though_pending, 12),
    Mutant(
        "an acknowledgement counts in any epoch",
        Subscribers,
        "_note_acked",
        _acked_in_any_epoch,
        12,
    ),
    Mutant(
        "what is acknowledged counts though the cursor does not",
        Subscribers,
        "_note_acked",
        _acked_though_afresh,
        339,
    ),
    Mutant("that pending bytes have come is not told", Replica, "joined", _silent_relief, 1),
    Mutant("epochs are ignored", subscribers, "holds", _any_epoch, 129),
    Mutant("an epoch has no end", subscribers, "holds", _endless_epoch, 129),
    Mutant(
        "the cursor does not say what was still to come", Subscribers, "_holds", _without_end, 128
    ),
    Mutant("two links lead to one node", Upstreams, "make_room", _room_for_all, 18),
    Mutant("an upstream is still taken for who it was", Upstreams, "take_batch", _mistaken, 15),
    Mutant("bytes are not verified", Node, "_complete", _unverified, 40),
    Mutant(
        "who does not have the bytes is the last who is asked",
        Fetches,
        "_fail",
        _first_refusal,
        270,
    ),
    Mutant(
        "what has rotted is asked for from one peer alone", Replica, "refetch", _mend_from_one, 1226
    ),
    Mutant(
        "that rotten bytes are not to be had is never said",
        Refetches,
        "take_ended",
        _mends_without_end,
        4,
    ),
    Mutant("pending bytes are not asked for again", Replica, "_retry_pending", _no_second_try, 29),
    Mutant(
        "a lost request for bytes is neither repeated nor given up",
        Requests,
        "repeat",
        _not_repeated,
        1,
    ),
    Mutant(
        "a request for bytes is put off by the answers to polls",
        Link,
        "overdue_at",
        _put_off_by_polls,
        40,
    ),
    Mutant("what was held is not let go of", Node, "_do", _held, 18),
    Mutant("an attempt that was given up is not discarded", Node, "_do", _attempts_stay, 1),
    Mutant(
        "an upstream is asked once more after each answer",
        Link,
        "wants_changes",
        _always_curious,
        4,
    ),
    Mutant(
        "a time that has come by addition has not by subtraction",
        Fetches,
        "skip",
        _difference_of_times,
        350,
    ),
)
