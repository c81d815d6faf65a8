"""From settings to an open node. Read from top to bottom: each part is built from those above it.

Everything built here lives as long as the process. What a reload replaces is built on top of it, by
the builder that also builds the first generation.
"""

import time
from collections.abc import Callable
from functools import partial

from imagepipe.config.settings import Settings
from imagepipe.core.requests.client_timeouts import connections_max
from imagepipe.daemon.generation.builder import GenerationBuilder
from imagepipe.daemon.generation.generation import Generations
from imagepipe.daemon.generation.image_server import ImageServerBuilder
from imagepipe.daemon.generation.secret_files import read_secrets
from imagepipe.daemon.monitoring_parts import MonitoringParts
from imagepipe.daemon.node import Node
from imagepipe.daemon.process_setup import allow_descriptors, return_memory
from imagepipe.daemon.sites import Sites
from imagepipe.daemon.storage_parts import StorageParts, wall_ms
from imagepipe.monitoring.counters import Counters
from imagepipe.replication.service import Replication
from imagepipe.runtime.reactor import Reactor
from imagepipe.runtime.render_queue import RenderQueue
from imagepipe.runtime.threads import Threads
from imagepipe.usecases.promised_outputs import PromisedOutputs
from imagepipe.usecases.verification import Verification
from imagepipe.web.http.connections import Connections


def open_node(
    reactor: Reactor,
    settings: Settings,
    on_fatal: Callable[[Exception], None],
    *,
    profile: bool = False,
) -> Node:
    """The node for `settings`, with its threads running. Blocks: recovery may take a while.
    Raises StartError.

    on_fatal: called on any thread when the node cannot continue. profile: log how long each stage
    of a call takes.
    """
    return_memory()
    connections = Connections(connections_max(allow_descriptors()))
    secrets = read_secrets(settings)

    threads = Threads(reactor)
    counters = Counters(time.time)
    storage = StorageParts(settings, on_fatal)
    store, cache = storage.store, storage.cache
    queue = RenderQueue(
        reactor,
        time.monotonic,
        running_max=settings.images.io_threads,
        waiting_max=settings.images.queue,
    )
    replication = Replication(
        reactor,
        store,
        settings.replication,
        secrets.keys,
        pulling=threads.pulls,
        serving=threads.answers,
        name=settings.network.name,
        seconds=time.monotonic,
        wall_ms=wall_ms,
    )
    store.committed.connect(partial(reactor.callFromThread, replication.committed))
    verification = Verification(
        reactor, store, replication.refetch, seconds=time.monotonic, wall_ms=wall_ms
    )
    outputs = PromisedOutputs(reactor, threads.files, store, counters)

    sites = Sites(connections, counters, profile=profile)
    generations = Generations()
    monitoring = MonitoringParts(
        reactor,
        settings.images.path,
        threads,
        counters,
        storage,
        queue,
        replication,
        generations,
        is_stopping=lambda: sites.is_draining,
    )
    image_servers = ImageServerBuilder(
        reactor, threads, queue, store, cache, replication, outputs, counters, monitoring.pages
    )
    builder = GenerationBuilder(
        reactor, threads, queue, store, replication, verification, monitoring, image_servers
    )
    generations.succeed(builder.build(settings, secrets))

    storage.start()
    threads.start()
    queue.start()
    return Node(
        threads,
        storage,
        queue,
        replication,
        verification,
        outputs,
        sites,
        generations,
        monitoring,
        builder,
    )
