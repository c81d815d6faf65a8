"""The parts of a node that last as long as its process, whatever the configuration becomes
meanwhile.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from imagepipe.monitoring.counters import Counters
from imagepipe.monitoring.disk_space import DiskSpace
from imagepipe.monitoring.engine_check import EngineCheck
from imagepipe.monitoring.node_status import NodeStatus
from imagepipe.monitoring.sampler import Sampler
from imagepipe.replication.service import Replication
from imagepipe.replication.status import ReplicationStatus
from imagepipe.runtime.render_queue import RenderQueue
from imagepipe.runtime.threads import Threads
from imagepipe.storage.cache.cache import RenderCache
from imagepipe.storage.store import Store
from imagepipe.usecases.promised_outputs import PromisedOutputs
from imagepipe.usecases.verification import Verification
from imagepipe.web.status_pages import StatusPage


@dataclass(frozen=True, slots=True)
class Foundation:
    """What generations are built on.

    aside: a thread for what nobody waits for. wall: the seconds since 1970. seconds: a monotonic
    clock.
    """

    reactor: Any
    wall: Callable[[], float]
    seconds: Callable[[], float]
    threads: Threads
    counters: Counters
    aside: Executor
    store: Store
    cache: RenderCache
    queue: RenderQueue
    replication: Replication
    verification: Verification
    replication_status: Callable[[], ReplicationStatus | None]
    disk: DiskSpace
    engine_check: EngineCheck
    outputs: PromisedOutputs
    read_status: Callable[[], NodeStatus]
    status_pages: Mapping[bytes, StatusPage]
    sampler: Sampler
