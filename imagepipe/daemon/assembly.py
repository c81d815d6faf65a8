"""From settings to an open node: what lasts as long as the process is made here, what a reload
makes anew in `generations`.
"""

import contextlib
import ctypes
import resource as resource_limits
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from twisted.web.resource import Resource

from imagepipe import __version__
from imagepipe.config.settings import Settings
from imagepipe.core.replication.admission import Admission
from imagepipe.core.requests.client_timeouts import connections_max
from imagepipe.daemon.foundation import Foundation
from imagepipe.daemon.generations import build, cache_bytes_max, read_secrets
from imagepipe.daemon.node import Node
from imagepipe.daemon.service import OnFatal
from imagepipe.monitoring.counters import Counters
from imagepipe.monitoring.disk_space import DiskSpace, Space, space_of
from imagepipe.monitoring.engine_check import EngineCheck
from imagepipe.monitoring.metrics import registry_of
from imagepipe.monitoring.sampler import Sampler, measurement_of
from imagepipe.monitoring.status_reader import StatusReader
from imagepipe.replication.service import Replication
from imagepipe.replication.status import ReplicationStatus
from imagepipe.runtime.render_queue import RenderQueue
from imagepipe.runtime.threads import Threads
from imagepipe.storage.cache.cache import RenderCache
from imagepipe.storage.layout import Layout
from imagepipe.storage.store import Store
from imagepipe.usecases.promised_outputs import PromisedOutputs
from imagepipe.usecases.verification import Verification
from imagepipe.web.http.connections import Connections
from imagepipe.web.http.request import BoundedRequest
from imagepipe.web.http.site import LoggingSite, SiteContent
from imagepipe.web.image_resource import JSON_REFUSAL
from imagepipe.web.status_pages import status_pages

DESCRIPTORS_MAX = 1 << 16

LARGE_BYTES = 4 << 20
"""Blocks of so many bytes, which only the bytes of images are, go back to the system when they are
freed.
"""

M_MMAP_THRESHOLD = -3
"""As <malloc.h> has it."""


def open_node(
    reactor: Any, settings: Settings, on_fatal: OnFatal, *, profile: bool = False
) -> Node:
    """The node that `settings` describe, its threads at work. Blocks: recovery may take a while.
    Raises StartError. profile: log where the time goes.
    """
    connections = Connections(connections_max(_allow_descriptors()))
    _return_memory()
    secrets = read_secrets(settings)
    images = settings.images
    threads = Threads(reactor)
    counters = Counters(time.time)
    # What nobody waits for.
    aside = ThreadPoolExecutor(1, "aside")
    store = Store.open(
        images.path,
        umask=images.umask,
        now_ms=_wall_ms,
        on_fatal=on_fatal,
    )
    store.admission = Admission(images.bytes_max, images.pixels_max)
    replication = Replication(
        reactor,
        store,
        settings.replication,
        secrets.keys,
        pulling=threads.pulls,
        serving=threads.answers,
        name=settings.network.name,
        seconds=time.monotonic,
        wall_ms=_wall_ms,
    )

    def replication_status() -> ReplicationStatus | None:
        # A node that neither publishes nor subscribes has no part in it, and nothing that could be
        # behind.
        now = node.generations.current.settings.replication
        return replication.status() if now.publish or now.subscribe else None

    cache = RenderCache.open(
        Layout(images.path.absolute()).cache,
        cache_bytes_max(settings),
        is_there=lambda digest: store.object_path(digest).is_file(),
    )
    store.committed.connect(partial(reactor.callFromThread, replication.committed))
    # what is made of an image goes with its bytes, on a thread of its own: there may be much
    store.removed.connect(lambda digests: aside.submit(cache.forget, digests))
    store.full.connect(cache.give_up_space)
    store.start()
    threading.Thread(target=cache.recover, name="tidy", daemon=True).start()

    queue = RenderQueue(
        reactor, time.monotonic, running_max=images.io_threads, waiting_max=images.queue
    )
    engine_check = EngineCheck(
        lambda: node.generations.current.engine, store.staging, time.monotonic
    )
    disk = DiskSpace(
        reactor,
        images.path,
        threads.probes,
        time.monotonic,
        partial(_look_at_disk, store, engine_check, aside),
    )
    reader = StatusReader(
        version=__version__,
        seconds=time.monotonic,
        counters=counters,
        queue=queue,
        engine_workers=lambda: node.generations.engine_workers,
        disk=disk.read,
        unready=lambda: store.why_unready or engine_check.why_not,
        stopping=lambda: node.is_stopping,
        replication=replication_status,
        downloads=lambda: node.generations.downloads,
        cache=cache,
        ahead=lambda: store.ahead,
    )
    sampler = Sampler(
        reactor, time.time, lambda: measurement_of(reader.read(), counters.durations())
    )
    foundation = Foundation(
        reactor=reactor,
        wall=time.time,
        seconds=time.monotonic,
        threads=threads,
        counters=counters,
        aside=aside,
        store=store,
        cache=cache,
        queue=queue,
        replication=replication,
        verification=Verification(
            reactor, store, replication.refetch, seconds=time.monotonic, wall_ms=_wall_ms
        ),
        replication_status=replication_status,
        disk=disk,
        engine_check=engine_check,
        outputs=PromisedOutputs(reactor, threads.files, store, counters),
        read_status=reader.read,
        status_pages=status_pages(
            reader, sampler.since, registry_of(reader.read, counters.durations)
        ),
        sampler=sampler,
    )
    count = partial(_count, counters)
    nobody: Any = Resource()
    nothing = SiteContent(nobody, body_bytes_max=0)  # until the node is made
    xml_rpc = LoggingSite(
        nothing, time.monotonic, connections=connections, on_answered=count, shows_stages=profile
    )
    http = LoggingSite(
        nothing, time.monotonic, connections=connections, refusal=JSON_REFUSAL, on_answered=count
    )
    node = Node(foundation, build(foundation, settings, secrets), xml_rpc, http)
    threads.start()
    queue.start()
    return node


def _look_at_disk(
    store: Store, engine_check: EngineCheck, aside: ThreadPoolExecutor, path: Path
) -> Space:
    if engine_check.why_not:
        aside.submit(engine_check.repeat)  # it may take until the timeout
    store.probe()
    return space_of(path)


def _count(counters: Counters, request: BoundedRequest) -> None:
    counters.request(
        request.method.decode("ascii", "replace"),
        request.code,
        request.seconds,
        request.received_bytes,
        request.sentLength,
    )


def _allow_descriptors() -> int:
    """Raise the limit of open files as far as the system permits and makes sense; the limit."""
    soft, hard = resource_limits.getrlimit(resource_limits.RLIMIT_NOFILE)
    wanted = (
        DESCRIPTORS_MAX if hard == resource_limits.RLIM_INFINITY else min(hard, DESCRIPTORS_MAX)
    )
    if soft != resource_limits.RLIM_INFINITY and soft < wanted:
        resource_limits.setrlimit(resource_limits.RLIMIT_NOFILE, (wanted, hard))
    return wanted if soft == resource_limits.RLIM_INFINITY else max(soft, wanted)


def _return_memory() -> None:
    """Have the C library give large blocks back to the system when they are freed.

    glibc raises the bound from which it does to the largest block that was ever freed, and keeps
    the others in a heap a thread: after some PNGs of 20 MB the daemon would hold 300 MiB that
    nobody needs. See mallopt(3), which other C libraries do not have, nor what it is for.
    """
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
