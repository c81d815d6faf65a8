"""An open node: all parts of a daemon but its ports, in the order in which they start and end."""

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.interfaces import IProtocolFactory

from imagepipe.engines.engine import Engine
from imagepipe.monitoring.disk_space import DiskSpace
from imagepipe.monitoring.graphite import Graphite
from imagepipe.ondemand.outputs import Outputs
from imagepipe.replication.service import Replication
from imagepipe.storage.cache import RenderCache
from imagepipe.storage.store import Store
from imagepipe.threads import Threads
from imagepipe.web.auth import UsersChecker
from imagepipe.web.images import ImagePages
from imagepipe.web.site import LoggingSite
from imagepipe.web.sources import Sources
from imagepipe.workers import WorkQueue


@dataclass(frozen=True, slots=True)
class ImageServer:
    """What `[http]` adds to a node."""

    cache: RenderCache
    sources: Sources
    outputs: Outputs
    pages: ImagePages


@dataclass(frozen=True, slots=True)
class Node:
    """A daemon.Node. `sites` answer for the ports, `factories` make their connections."""

    store: Store
    engine: Engine
    queue: WorkQueue
    threads: Threads
    forgetting: Executor
    users: UsersChecker | None
    replication: Replication
    disk: DiskSpace
    graphite: Graphite | None
    image_server: ImageServer | None
    sites: tuple[LoggingSite, ...]
    factories: Mapping[str, IProtocolFactory]

    def start(self) -> None:
        """See daemon.Node."""
        self.replication.start()
        self.disk.start()
        if self.graphite:
            self.graphite.start()
        if self.image_server:
            self.image_server.outputs.start()

    def refuse_new(self) -> "Deferred[None]":
        """See daemon.Node."""
        return gatherResults([site.refuse_new() for site in self.sites]).addCallback(lambda _: None)

    def abandon(self) -> None:
        """See daemon.Node."""
        self.queue.refuse_waiting()
        self.engine.abort()
        self.replication.abandon()
        if self.users:
            self.users.abandon()
        if self.image_server:
            self.image_server.sources.abandon()

    def stop(self) -> "Deferred[None]":
        """See daemon.Node."""
        if self.image_server:
            self.image_server.outputs.stop()
        self.disk.stop()
        told: Deferred[None] = self.graphite.stop() if self.graphite else succeed(None)  # while replication can still be asked how it stands
        self.replication.stop()
        return told

    def close(self) -> None:
        """See daemon.Node."""
        self.queue.stop()
        self.engine.close()
        self.threads.stop()
        self.store.close()
        self.forgetting.shutdown()  # after the store, whose last housekeeping may still remove something
        if self.image_server:
            self.image_server.cache.close()
