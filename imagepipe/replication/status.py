"""The state of replication, as values for the pages and metrics that show it
(docs/design/replication.md, "What is visible from outside").
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from imagepipe.core.replication.link import Link
from imagepipe.core.replication.replica import Replica
from imagepipe.replication.replication_log import ReplicationLog


@dataclass(frozen=True, slots=True)
class UpstreamStatus:
    """A peer that this node pulls from. `name` is the name of its key, or else its endpoint; `peer`
    is what it calls itself, empty until it has.

    connected: it was heard from a moment ago and can be pulled from; `refused` says why it never
    can. heard_seconds: how long ago it was last heard from, None if never. rows_behind: changes
    that are not here; an upper bound, because some may have come from other peers. bytes_behind:
    the missing bytes of the batches under way. seconds_behind: how long it has had changes that are
    not here. rings_lost: change notifications that were missed. clock_ahead_seconds: its clock
    minus this node's.
    """

    name: str
    peer: str
    node: str | None
    connected: bool
    refused: str | None
    heard_seconds: float | None
    rows_behind: int
    bytes_behind: int
    seconds_behind: float
    rings_lost: int
    clock_ahead_seconds: float | None


@dataclass(frozen=True, slots=True)
class SubscriberStatus:
    """A node that pulls from this one: everything up to `acked` is on its disk, `behind` changes
    are not.

    key: the name of its key, empty if there are no keys. peer: what it calls itself, if anything.
    """

    node: str
    key: str
    peer: str
    acked: int
    behind: int
    heard_seconds: float


@dataclass(frozen=True, slots=True)
class PendingStatus:
    """A pending row of the peer `name`: the image at `path`, and why its bytes are not here."""

    name: str
    path: str
    size: int
    why: str


PENDING_SHOWN_MAX = 20
"""The most pending rows that a status lists."""


@dataclass(frozen=True, slots=True)
class ReplicationStatus:
    """The replication of this node, which calls itself `name`.

    seq: its newest sequence number. unreplicated: changes that are on no other disk. pending: the
    number of rows waiting for their bytes; there have been some for `pending_seconds`, and
    pending_rows lists a few. conflicts: versions in the history that lost a conflict.
    dropped_messages: there were too many. bad_messages: they were malformed.
    """

    node: str
    name: str
    epoch: str
    seq: int
    unreplicated: int
    upstreams: tuple[UpstreamStatus, ...]
    subscribers: tuple[SubscriberStatus, ...]
    pending: int
    pending_seconds: float
    pending_rows: tuple[PendingStatus, ...]
    conflicts: int
    dropped_messages: int
    bad_messages: int


def status_of(
    replica: Replica, replication_log: ReplicationLog, conflicts: int, now: float
) -> ReplicationStatus:
    """The status at time `now`."""
    subscribers = replica.subscribers
    head = subscribers.head()
    acked = max((one.acked for one in subscribers.known.values()), default=0)
    return ReplicationStatus(
        node=head.node,
        name=head.name,
        epoch=head.epoch,
        seq=subscribers.last_seq,
        unreplicated=subscribers.last_seq - acked,
        upstreams=tuple(
            _upstream(link, replication_log.clocks_ahead.get(link.name), now)
            for link in replica.links.values()
        ),
        subscribers=tuple(
            SubscriberStatus(
                one.node,
                one.key,
                one.name,
                one.acked,
                subscribers.last_seq - one.acked,
                now - one.heard,
            )
            for one in subscribers.known.values()
        ),
        pending=len(replica.pending),
        pending_seconds=replication_log.pending_seconds(),
        pending_rows=tuple(_pending(replica)),
        conflicts=conflicts,
        dropped_messages=subscribers.dropped,
        bad_messages=replication_log.bad_messages,
    )


def _pending(replica: Replica) -> Iterator[PendingStatus]:
    names = {link.node: link.name for link in replica.links.values()}
    for (upstream, path), row in islice(replica.pending.items(), PENDING_SHOWN_MAX):
        if row.entry.content:
            yield PendingStatus(
                names.get(upstream, upstream),
                path,
                row.entry.content.size,
                replica.why_pending(row),
            )


def _upstream(link: Link, clock_ahead: float | None, now: float) -> UpstreamStatus:
    rows = 0
    if link.head is not None:
        known = link.cursor.seq if link.cursor and link.cursor.epoch == link.head.epoch else 0
        rows = max(0, link.head.seq - known)
    missing = {content for pull in link.pulls for content in pull.missing}
    return UpstreamStatus(
        name=link.name,
        peer=link.peer_name,
        node=link.node,
        connected=link.is_reachable(now),
        refused=link.refused,
        heard_seconds=None if link.heard == float("-inf") else now - link.heard,
        rows_behind=rows,
        bytes_behind=sum(content.size for content in missing),
        seconds_behind=0.0 if link.behind_since is None else now - link.behind_since,
        rings_lost=link.missed_notifications,
        clock_ahead_seconds=clock_ahead,
    )
