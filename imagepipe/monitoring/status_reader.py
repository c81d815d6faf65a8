"""Reads the status of the node from its parts.

parts of the daemon --without waiting--> StatusReader.read() -> NodeStatus
                                         -> page, text, JSON, metrics for Prometheus
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from imagepipe.core.queues.turns import JobKind
from imagepipe.core.rows.versions import FutureStamps
from imagepipe.core.units import format_seconds
from imagepipe.monitoring.counters import Counters
from imagepipe.monitoring.disk_space import DiskStatus
from imagepipe.monitoring.node_status import CacheStatus, NodeStatus, QueueShare, QueueStatus
from imagepipe.monitoring.problems import DISK_SILENT_SECONDS, problems_of
from imagepipe.replication.status import ReplicationStatus


class QueueNumbers(Protocol):
    """The queues in front of the I/O threads."""

    @property
    def running_max(self) -> int: ...

    @property
    def waiting_max(self) -> int: ...

    def running(self, kind: JobKind) -> int: ...

    def waiting(self, kind: JobKind) -> int: ...


class CacheNumbers(Protocol):
    """The render cache."""

    @property
    def bytes(self) -> int: ...

    @property
    def bytes_max(self) -> int: ...

    @property
    def files(self) -> int: ...

    @property
    def hits(self) -> int: ...

    @property
    def misses(self) -> int: ...

    @property
    def evictions(self) -> int: ...


def why_not_ready(*, stopping: bool, unready: str | None, silent_seconds: float) -> str | None:
    """Why the node accepts no writes, in one line; None if it does.

    unready: the store's reason. silent_seconds: how long ago the disk last answered.
    """
    if unready:
        return unready
    if stopping:
        return "the server is stopping"
    if silent_seconds >= DISK_SILENT_SECONDS:
        return f"the disk has not answered for {format_seconds(silent_seconds)}"
    return None


class StatusReader:
    """Reads the parts that it was given; for the reactor's thread, and no part makes it wait.

    seconds: a monotonic clock; uptime counts from the construction of this object. unready,
    stopping: for `why_not_ready`. engine_workers: the number of the engine's processes. downloads:
    the number of originals being fetched.
    """

    def __init__(
        self,
        *,
        version: str,
        seconds: Callable[[], float],
        counters: Counters,
        queue: QueueNumbers,
        engine_workers: Callable[[], int],
        disk: Callable[[], DiskStatus],
        unready: Callable[[], str | None],
        stopping: Callable[[], bool],
        replication: Callable[[], ReplicationStatus | None] = lambda: None,
        downloads: Callable[[], int] = lambda: 0,
        cache: CacheNumbers | None = None,
        ahead: Callable[[], FutureStamps | None] = lambda: None,
    ) -> None:
        self._version = version
        self._seconds = seconds
        self._started = seconds()
        self._counters = counters
        self._queue = queue
        self._engine_workers = engine_workers
        self._disk = disk
        self._unready = unready
        self._stopping = stopping
        self._replication = replication
        self._downloads = downloads
        self._cache = cache
        self._ahead = ahead

    def not_ready(self) -> str | None:
        """Why the node accepts no writes now; None if it does."""
        return why_not_ready(
            stopping=self._stopping(),
            unready=self._unready(),
            silent_seconds=self._disk().age_seconds,
        )

    def read(self) -> NodeStatus:
        """The status now."""
        not_ready = self.not_ready()
        queue = self._read_queue()
        status = NodeStatus(
            version=self._version,
            uptime_seconds=self._seconds() - self._started,
            ready=not_ready is None,
            not_ready=not_ready,
            problems=(),
            images_being_processed=queue.running,
            originals_being_downloaded=self._downloads(),
            queue=queue,
            engine_workers=self._engine_workers(),
            totals=self._counters.totals(),
            cache=self._read_cache(),
            disk=self._disk(),
            replication=self._replication(),
            last_errors=self._counters.last_errors(),
            ahead=self._ahead(),
        )
        return replace(status, problems=problems_of(status))

    def _read_queue(self) -> QueueStatus:
        queue = self._queue
        stores, renditions = (
            QueueShare(queue.running(kind), queue.waiting(kind))
            for kind in (JobKind.WRITE, JobKind.READ)
        )
        return QueueStatus(
            # some jobs have left their threads and are being flushed
            running=min(stores.running + renditions.running, queue.running_max),
            running_max=queue.running_max,
            waiting=stores.waiting + renditions.waiting,
            waiting_max=queue.waiting_max,
            stores=stores,
            renditions=renditions,
        )

    def _read_cache(self) -> CacheStatus | None:
        cache = self._cache
        if cache is None:
            return None
        return CacheStatus(
            cache.bytes, cache.bytes_max, cache.files, cache.hits, cache.misses, cache.evictions
        )
