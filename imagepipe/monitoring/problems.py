"""The problems of a node: decided in one place, so that the page, the command line and every reader
of /status.json agree.

A passing condition is not a problem: what is normal at work (changes in transit, waiting jobs) must
last, or come close to a limit.
"""

from collections.abc import Iterator

from imagepipe.core.node_names import displayed_name
from imagepipe.core.rows.versions import FutureStamps
from imagepipe.core.units import format_bytes, format_seconds, plural
from imagepipe.errors import quoted
from imagepipe.monitoring.disk_space import DiskStatus
from imagepipe.monitoring.node_status import NodeStatus, Problem, QueueStatus, Severity
from imagepipe.replication.status import ReplicationStatus, SubscriberStatus, UpstreamStatus

STARTED_SECONDS = 15.0
"""How long after its start a node may not have heard from its peers."""

DISK_NEARLY_FULL, DISK_FULL = 0.90, 0.97
"""The used part of the disk, of its bytes and of its inodes."""

DISK_SILENT_SECONDS = 30.0
QUEUE_NEARLY_FULL = 0.8

HEARD_SECONDS = 7.5
"""A peer sends something every second; one that has been silent for this long counts as gone."""

BEHIND_SECONDS = 30.0
PENDING_SECONDS, PENDING_CRITICAL_SECONDS = 10.0, 300.0

CLOCK_SECONDS = 5.0
"""Clocks that differ by this much decide conflicts in surprising ways."""

FETCHES_SECONDS = 30.0
"""A subscriber sends a request at least every five seconds."""

ABSENT_SECONDS = 86400.0
"""A subscriber that has been silent for this long is taken to have left the cluster."""


def problems_of(status: NodeStatus) -> tuple[Problem, ...]:
    """All problems, worst first; `status.problems` is ignored."""
    found = [*_not_ready(status), *_disk(status.disk), *_queue(status.queue), *_ahead(status.ahead)]
    if status.replication:
        found += _replication(
            status.replication, has_started=status.uptime_seconds >= STARTED_SECONDS
        )
    return tuple(sorted(found, key=lambda problem: problem.severity is not Severity.CRITICAL))


def _critical(text: str) -> Problem:
    return Problem(Severity.CRITICAL, text)


def _warning(text: str) -> Problem:
    return Problem(Severity.WARNING, text)


def _not_ready(status: NodeStatus) -> Iterator[Problem]:
    if status.not_ready:
        yield _critical(f"not ready: {status.not_ready}")


def _disk(disk: DiskStatus) -> Iterator[Problem]:
    if disk.age_seconds >= DISK_SILENT_SECONDS:
        yield _critical(f"disk has not answered for {format_seconds(disk.age_seconds)}")
    taken = 1 - disk.free_bytes / disk.total_bytes if disk.total_bytes else 0.0
    if taken >= DISK_NEARLY_FULL:
        text = f"disk is {int(100 * taken)} % full ({format_bytes(disk.free_bytes)} free)"
        yield _critical(text) if taken >= DISK_FULL else _warning(text)
    used = 1 - disk.free_inodes / disk.total_inodes if disk.total_inodes else 0.0
    if used >= DISK_NEARLY_FULL:
        text = f"disk has used {int(100 * used)} % of its inodes ({disk.free_inodes} free)"
        yield _critical(text) if used >= DISK_FULL else _warning(text)


def _queue(queue: QueueStatus) -> Iterator[Problem]:
    if not queue.waiting_max:
        return
    for kind, share in (("stores", queue.stores), ("renditions", queue.renditions)):
        waiting = f"{share.waiting} of {queue.waiting_max} waiting"
        if share.waiting >= queue.waiting_max:
            yield _critical(f"queue of {kind} is full: {waiting}, more are refused")
        elif share.waiting >= QUEUE_NEARLY_FULL * queue.waiting_max:
            yield _warning(f"queue of {kind} is nearly full: {waiting}")


def _ahead(ahead: FutureStamps | None) -> Iterator[Problem]:
    if ahead is None:
        return
    others = f" and {plural(ahead.images - 1, 'other image')}" if ahead.images > 1 else ""
    verb = "is" if ahead.images == 1 else "are"
    yield _warning(
        f"{quoted(ahead.path)}{others} {verb} dated up to {format_seconds(ahead.seconds)} ahead of"
        " this node's clock; correct the clock if it is behind, otherwise see"
        " ImagepipeDatedAhead in docs/operations.md"
    )


def _replication(replication: ReplicationStatus, *, has_started: bool) -> Iterator[Problem]:
    silent = {peer.node for peer in replication.upstreams if peer.node and not peer.connected}
    names = {peer.node: displayed_name(peer.peer, peer.name) for peer in replication.upstreams}
    for upstream in replication.upstreams:
        yield from _upstream(upstream, has_started=has_started)
    for subscriber in replication.subscribers:
        # its silence is reported already
        if subscriber.behind or subscriber.node not in silent:
            yield from _subscriber(
                subscriber,
                names.get(subscriber.node)
                or displayed_name(subscriber.peer, subscriber.key or subscriber.node),
            )
    if (
        replication.unreplicated
        and replication.subscribers
        and all(one.heard_seconds >= FETCHES_SECONDS for one in replication.subscribers)
    ):
        yield _warning(
            f"{plural(replication.unreplicated, 'change')}"
            f" {'is' if replication.unreplicated == 1 else 'are'} on no other disk"
        )
    if replication.pending and replication.pending_seconds >= PENDING_SECONDS:
        text = (
            "changes have been waiting for their bytes for"
            f" {format_seconds(replication.pending_seconds)} ({replication.pending} now)"
        )
        yield (
            _critical(text)
            if replication.pending_seconds >= PENDING_CRITICAL_SECONDS
            else _warning(text)
        )


def _upstream(peer: UpstreamStatus, *, has_started: bool) -> Iterator[Problem]:
    name = displayed_name(peer.peer, peer.name)
    lacks = f": up to {plural(peer.rows_behind, 'change')} missing here" if peer.rows_behind else ""
    if peer.refused:
        yield _critical(f"peer {name} cannot be pulled from: {peer.refused}")
    elif not peer.connected and peer.heard_seconds is None:
        if has_started:
            yield _critical(f"peer {name} has never been heard from")
    elif not peer.connected and peer.heard_seconds is not None:
        if peer.heard_seconds < HEARD_SECONDS:
            yield _warning(f"peer {name} sends notifications but cannot be pulled from")
        else:
            yield _critical(
                f"peer {name} has not been heard from for"
                f" {format_seconds(peer.heard_seconds)}{lacks}"
            )
    elif peer.seconds_behind >= BEHIND_SECONDS:
        yield _warning(
            f"this node has been behind peer {name} for "
            f"{format_seconds(peer.seconds_behind)}{lacks}"
        )
    ahead = peer.clock_ahead_seconds or 0.0
    if abs(ahead) >= CLOCK_SECONDS:
        yield _warning(
            f"the clock of peer {name} is {format_seconds(abs(ahead))}"
            f" {'ahead of' if ahead > 0 else 'behind'} this node's"
        )


def _subscriber(peer: SubscriberStatus, name: str) -> Iterator[Problem]:
    if FETCHES_SECONDS <= peer.heard_seconds < ABSENT_SECONDS:
        lacks = f": {plural(peer.behind, 'change')} not on its disk" if peer.behind else ""
        yield _warning(
            f"peer {name} has not pulled for {format_seconds(peer.heard_seconds)}{lacks}"
        )
