"""Statuses for tests: of a node that has everything there is, and of one that has next to
nothing.
"""

from dataclasses import dataclass

from imagepipe.core.queues.turns import JobKind
from imagepipe.core.rows.versions import FutureStamps
from imagepipe.monitoring.counters import (
    FailureCount,
    LoggedError,
    RenderCount,
    RequestCount,
    Totals,
)
from imagepipe.monitoring.disk_space import DiskStatus
from imagepipe.monitoring.node_status import (
    CacheStatus,
    NodeStatus,
    Problem,
    QueueShare,
    QueueStatus,
    Severity,
)
from imagepipe.replication.status import (
    PendingStatus,
    ReplicationStatus,
    SubscriberStatus,
    UpstreamStatus,
)

NORTH = UpstreamStatus(
    name="north",
    peer="img-1",
    node="aa" * 16,
    connected=True,
    refused=None,
    heard_seconds=0.25,
    rows_behind=12,
    bytes_behind=4096,
    seconds_behind=3.5,
    rings_lost=2,
    clock_ahead_seconds=-0.125,
)

SOUTH = UpstreamStatus(
    name='tcp://10.0.0.3:8086"\\',
    peer="",
    node=None,
    connected=False,
    refused="it is of another cluster",
    heard_seconds=None,
    rows_behind=40,
    bytes_behind=0,
    seconds_behind=0.0,
    rings_lost=0,
    clock_ahead_seconds=None,
)

REPLICATION = ReplicationStatus(
    node="cc" * 16,
    name="img-3",
    epoch="e0",
    seq=1000,
    unreplicated=7,
    upstreams=(NORTH, SOUTH),
    subscribers=(
        SubscriberStatus(
            "bb" * 16, key="south", peer="img-2", acked=993, behind=7, heard_seconds=1.5
        ),
    ),
    pending=3,
    pending_seconds=61.0,
    pending_rows=(PendingStatus("north", "a/b.jpg", 3 << 20, "no reachable peer has its bytes"),),
    conflicts=5,
    dropped_messages=8,
    bad_messages=9,
)

NOTHING = Totals((), 0, 0, 0, 0, 0, 0, (), (), 0, 0)

TOTALS = Totals(
    image_requests=(RenderCount("jpg", 20), RenderCount("webp", 3)),
    image_requests_failed=4,
    originals_downloaded=6,
    originals_unavailable=1,
    images_stored=100,
    images_deleted=11,
    images_moved=12,
    failures=(FailureCount("store", "DiskFull", 2),),
    requests=(RequestCount("GET", 200, 50), RequestCount("POST", 200, 60)),
    received_bytes=5000,
    sent_bytes=6000,
)

FULL = NodeStatus(
    version="0.1.0",
    uptime_seconds=93784.5,
    ready=False,
    not_ready="the disk is full",
    problems=(
        Problem(Severity.CRITICAL, "not ready: the disk is full"),
        Problem(
            Severity.WARNING, "changes have been waiting for their bytes for 1 min 1 s (3 now)"
        ),
    ),
    images_being_processed=2,
    originals_being_downloaded=1,
    queue=QueueStatus(2, 4, 3, 64, stores=QueueShare(1, 1), renditions=QueueShare(1, 2)),
    engine_workers=4,
    totals=TOTALS,
    cache=CacheStatus(bytes=1 << 20, bytes_max=1 << 30, files=17, hits=75, misses=25, evictions=2),
    disk=DiskStatus(
        total_bytes=100 << 30,
        free_bytes=25 << 30,
        age_seconds=1.0,
        total_inodes=1000,
        free_inodes=900,
    ),
    replication=REPLICATION,
    last_errors=(
        LoggedError("2026-01-01T00:00:01Z", "store", "the disk is full"),
        LoggedError("2026-01-01T00:00:00Z", "fetch", "no answer"),
    ),
    ahead=FutureStamps(images=2, path="a/b.jpg", seconds=7230.0),
)

BARE = NodeStatus(
    version="0.1.0",
    uptime_seconds=0.0,
    ready=True,
    not_ready=None,
    problems=(),
    images_being_processed=0,
    originals_being_downloaded=0,
    queue=QueueStatus(0, 1, 0, 64, stores=QueueShare(0, 0), renditions=QueueShare(0, 0)),
    engine_workers=0,
    totals=NOTHING,
    cache=None,
    disk=DiskStatus(total_bytes=0, free_bytes=0, age_seconds=0.0),
    replication=None,
    last_errors=(),
)


_NONE = QueueShare(0, 0)


@dataclass
class Jobs:
    """The queue likewise: how many jobs of each kind run, and wait."""

    stores: QueueShare = _NONE
    renditions: QueueShare = _NONE
    running_max: int = 4
    waiting_max: int = 64

    def running(self, kind: JobKind) -> int:
        """See RenderQueue."""
        return self._share(kind).running

    def waiting(self, kind: JobKind) -> int:
        """See RenderQueue."""
        return self._share(kind).waiting

    def _share(self, kind: JobKind) -> QueueShare:
        return self.stores if kind is JobKind.WRITE else self.renditions


@dataclass
class Part:
    """A part of the daemon that is asked for numbers and does nothing: the real ones need a store
    and threads to have any.
    """

    bytes: int = 0
    bytes_max: int = 20
    files: int = 0
    hits: int = 0
    misses: int = 0
    evictions: int = 0
