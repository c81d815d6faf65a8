"""The status as plain text in columns, one item a line, for a terminal."""

from collections.abc import Iterable, Sequence

from imagepipe.core.node_names import displayed_name
from imagepipe.core.units import format_bytes, format_seconds
from imagepipe.monitoring.counters import LoggedError, Totals
from imagepipe.monitoring.node_status import CacheStatus, NodeStatus, Problem
from imagepipe.replication.status import (
    PendingStatus,
    ReplicationStatus,
    SubscriberStatus,
    UpstreamStatus,
)

Lines = Iterable[tuple[str, str]]
"""Names and values."""


def as_text(status: NodeStatus) -> str:
    """The page /status for a terminal."""
    parts = [
        (
            f"imagepipe {status.version}, up {format_seconds(status.uptime_seconds)},"
            f" {'ready' if status.ready else f'NOT READY: {status.not_ready}'}"
        ),
        *_problems(status.problems),
        _lined(_now(status)),
        _lined(_totals(status.totals)),
    ]
    if status.replication:
        parts += _replication(status.replication)
    parts += _errors(status.last_errors)
    return "\n\n".join(parts) + "\n"


def _problems(problems: Sequence[Problem]) -> Iterable[str]:
    if problems:
        yield _columns([(f"{problem.severity.upper()}:", problem.text) for problem in problems])


def _now(status: NodeStatus) -> Lines:
    queue, disk = status.queue, status.disk
    yield "images being processed", f"{status.images_being_processed} of {queue.running_max}"
    yield "stores waiting", f"{queue.stores.waiting} of {queue.waiting_max}"
    yield "renditions waiting", f"{queue.renditions.waiting} of {queue.waiting_max}"
    yield "originals being downloaded", str(status.originals_being_downloaded)
    yield "engine workers", str(status.engine_workers)
    if status.cache:
        yield from _cache(status.cache)
    percent = f" ({100 * disk.free_bytes / disk.total_bytes:.0f} %)" if disk.total_bytes else ""
    yield (
        "disk",
        (
            f"{format_bytes(disk.free_bytes)} free of {format_bytes(disk.total_bytes)}{percent},"
            f" {format_seconds(disk.age_seconds)} ago"
        ),
    )
    if disk.total_inodes:
        part = 100 * disk.free_inodes / disk.total_inodes
        yield "inodes", f"{disk.free_inodes} free of {disk.total_inodes} ({part:.0f} %)"


def _cache(cache: CacheStatus) -> Lines:
    yield (
        "cache",
        f"{format_bytes(cache.bytes)} of {format_bytes(cache.bytes_max)} in {cache.files} files",
    )
    yield (
        "cache since start",
        f"{cache.hits} hits, {cache.misses} misses, {cache.evictions} evictions",
    )


def _totals(totals: Totals) -> Lines:
    rendered = ", ".join(f"{each.format} {each.count}" for each in totals.image_requests)
    yield (
        "renditions rendered",
        str(sum(each.count for each in totals.image_requests))
        + (f" ({rendered})" if rendered else ""),
    )
    yield "image requests failed", str(totals.image_requests_failed)
    yield (
        "originals downloaded",
        f"{totals.originals_downloaded}, unavailable {totals.originals_unavailable}",
    )
    yield (
        "images",
        (
            f"{totals.images_stored} stored, {totals.images_deleted} deleted, {totals.images_moved}"
            " moved"
        ),
    )
    for failed in totals.failures:
        yield f"failures of {failed.operation}", f"{failed.count} {failed.kind}"
    for answered in totals.requests:
        yield f"{answered.method} answered {answered.status}", str(answered.count)
    yield (
        "bodies",
        f"{format_bytes(totals.received_bytes)} received, {format_bytes(totals.sent_bytes)} sent",
    )


def _replication(replication: ReplicationStatus) -> Iterable[str]:
    yield _lined(_own_part(replication))
    if replication.upstreams:
        heads = (
            "upstream",
            "connected",
            "last heard",
            "rows behind",
            "bytes behind",
            "behind for",
            "missed notifications",
            "clock ahead",
        )
        yield _columns([heads, *map(_upstream, replication.upstreams)])
    if replication.subscribers:
        yield _columns(
            [
                ("subscriber", "acknowledged", "rows behind", "last heard"),
                *map(_subscriber, replication.subscribers),
            ]
        )
    if replication.pending_rows:
        yield _columns(
            [
                ("pending", "from", "size", "reason"),
                *map(_pending, replication.pending_rows),
            ]
        )


def _pending(pending: PendingStatus) -> Sequence[str]:
    return pending.path, pending.name, format_bytes(pending.size), pending.why


def _own_part(replication: ReplicationStatus) -> Lines:
    yield "node", displayed_name(replication.name, replication.node)
    yield "newest change", f"{replication.seq}, unreplicated {replication.unreplicated}"
    waiting = (
        f"; waiting for {format_seconds(replication.pending_seconds)}"
        if replication.pending
        else ""
    )
    yield "changes waiting for their bytes", f"{replication.pending}{waiting}"
    yield "conflicts", str(replication.conflicts)
    yield "messages", f"{replication.dropped_messages} dropped, {replication.bad_messages} bad"


def _upstream(peer: UpstreamStatus) -> Sequence[str]:
    return (
        displayed_name(peer.peer, peer.name),
        f"no: {peer.refused}" if peer.refused else "yes" if peer.connected else "no",
        "never" if peer.heard_seconds is None else f"{format_seconds(peer.heard_seconds)} ago",
        str(peer.rows_behind),
        format_bytes(peer.bytes_behind),
        format_seconds(peer.seconds_behind),
        str(peer.rings_lost),
        "-" if peer.clock_ahead_seconds is None else f"{peer.clock_ahead_seconds:+.1f} s",
    )


def _subscriber(peer: SubscriberStatus) -> Sequence[str]:
    return (
        displayed_name(peer.peer, peer.key or peer.node),
        str(peer.acked),
        str(peer.behind),
        f"{format_seconds(peer.heard_seconds)} ago",
    )


def _errors(errors: Sequence[LoggedError]) -> Iterable[str]:
    if errors:
        yield _columns(
            [("last errors", "", ""), *((each.when, each.what, each.text) for each in errors)]
        )


def _lined(lines: Lines) -> str:
    return _columns([(f"{name}:", value) for name, value in lines])


def _columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows with aligned columns, two spaces apart. Control characters, which the name of a peer may
    contain, are escaped.
    """
    clean = [[cell if cell.isprintable() else ascii(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*clean, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in clean
    )
