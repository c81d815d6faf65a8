"""How the node stands at one moment, as values: what every page and metric is made of
(docs/design/contract.md, "What an operator sees").
"""

from dataclasses import dataclass
from enum import StrEnum

from imagepipe.core.rows.versions import FutureStamps
from imagepipe.monitoring.counters import LoggedError, Totals
from imagepipe.monitoring.disk_space import DiskStatus
from imagepipe.replication.status import ReplicationStatus


class Severity(StrEnum):
    """CRITICAL: something that clients or peers rely on does not work. WARNING: it works, but will
    not for long, or not as it should.
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
    """Jobs that are being done, and jobs that wait, with their bounds.

    waiting_max: how many stores may wait, and how many renditions.
    """

    running: int
    running_max: int
    waiting: int
    waiting_max: int
    stores: QueueShare
    renditions: QueueShare


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """The render cache: what it holds, what it may hold, and how often a rendition was there
    (hits), had to be made (misses), or had to go for another.
    """

    bytes: int
    bytes_max: int
    files: int
    hits: int
    misses: int
    evictions: int


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A node. `not_ready` says why it takes no writes; `problems`: all that is wrong, the worst
    first. `cache` and `replication` are None where they do not run.

    ahead: live images that are dated ahead of this node's clock; None: there are none. last_errors:
    the newest first.
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
