"""The monitoring of a node: its disk, engine and status, and the samples of the last hour."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from imagepipe import __version__
from imagepipe.daemon.generation.generation import Generations
from imagepipe.daemon.storage_parts import StorageParts
from imagepipe.monitoring.counters import Counters
from imagepipe.monitoring.disk_space import DiskSpace, Space, space_of
from imagepipe.monitoring.engine_check import EngineCheck
from imagepipe.monitoring.metrics import registry_of
from imagepipe.monitoring.sampler import Sampler, measurement_of
from imagepipe.monitoring.status_reader import StatusReader
from imagepipe.replication.service import Replication
from imagepipe.replication.status import ReplicationStatus
from imagepipe.runtime.reactor import Reactor
from imagepipe.runtime.render_queue import RenderQueue
from imagepipe.runtime.threads import Threads
from imagepipe.web.status_pages import status_pages


class MonitoringParts:
    """Watches the other parts between `start` and `stop`. Runs on the reactor's thread."""

    def __init__(
        self,
        reactor: Reactor,
        path: Path,
        threads: Threads,
        counters: Counters,
        storage: StorageParts,
        queue: RenderQueue,
        replication: Replication,
        generations: Generations,
        is_stopping: Callable[[], bool],
    ) -> None:
        store = storage.store
        self.counters = counters
        self._replication = replication
        self._generations = generations
        self.engine_check = engine_check = EngineCheck(
            lambda: generations.current.engine, store.staging, time.monotonic
        )
        self._disk = DiskSpace(
            reactor, path, threads.probes, time.monotonic, partial(_probe, storage, engine_check)
        )
        self.reader = reader = StatusReader(
            version=__version__,
            seconds=time.monotonic,
            counters=counters,
            queue=queue,
            engine_workers=lambda: generations.engine_workers,
            disk=self._disk.read,
            unready=lambda: store.not_ready_reason or engine_check.why_not,
            stopping=is_stopping,
            replication=self.replication_status,
            downloads=lambda: generations.downloads,
            cache=storage.cache,
            ahead=lambda: store.ahead,
        )
        self._sampler = Sampler(
            reactor, time.time, lambda: measurement_of(reader.read(), counters.durations())
        )
        self.pages = status_pages(
            reader, self._sampler.since, registry_of(reader.read, counters.durations)
        )

    def start(self) -> None:
        """Start to probe the disk and take samples."""
        self._disk.start()
        self._sampler.start()

    def stop(self) -> None:
        """Stop probing and sampling."""
        self._disk.stop()
        self._sampler.stop()

    def replication_status(self) -> ReplicationStatus | None:
        """The status of replication; None if the node neither publishes nor subscribes, because
        then nothing can be behind.
        """
        return self._replication.status() if self._generations.current.replicates else None


def _probe(storage: StorageParts, engine_check: EngineCheck, path: Path) -> Space:
    if engine_check.why_not:
        storage.background.submit(engine_check.repeat)  # may take until its timeout
    storage.store.probe()
    return space_of(path)
