"""The status of the node at one moment, as values: the source of every page and metric
(docs/design/contract.md, "What an operator sees").
"""

from dataclasses import dataclass
from enum import StrEnum

from imagepipe.core.rows.versions import FutureStamps
from imagepipe.monitoring.counters import LoggedError, Totals
from imagepipe.monitoring.disk_space import DiskStatus
from imagepipe.replication.status import ReplicationStatus


class Severity(StrEnum):
    """CRITICAL: something that clients or peers rely on does not work. WARNING: it works, but not
    as it should, or not for much longer.
    """

    CRITICAL = "critical"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, in a few words."""

    severity: Severity
    text: str


@dataclass(frozen=True, slots=True)
class QueueShare:
    """The jobs of one kind."""

    running: int
    waiting: int


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """Running and waiting jobs, with their limits.

    waiting_max: the limit for stores, and also the limit for renditions.
    """

    running: int
    running_max: int
    waiting: int
    waiting_max: int
    stores: QueueShare
    renditions: QueueShare


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """The render cache: its size, its limit, and how often a rendition was found (hits), had to be
    rendered (misses) or was removed to make room (evictions).
    """

    bytes: int
    bytes_max: int
    files: int
    hits: int
    misses: int
    evictions: int


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A node. `not_ready` says why it accepts no writes; `problems` has all problems, worst first.
    `cache` and `replication` are None if they are not enabled.

    ahead: live images dated ahead of this node's clock; None: there are none. last_errors: newest
    first.
    """

    version: str
    uptime_seconds: float
    ready: bool
    not_ready: str | None
    problems: tuple[Problem, ...]
    images_being_processed: int
    originals_being_downloaded: int
    queue: QueueStatus
    engine_workers: int
    totals: Totals
    cache: CacheStatus | None
    disk: DiskStatus
    replication: ReplicationStatus | None
    last_errors: tuple[LoggedError, ...]
    ahead: FutureStamps | None = None
