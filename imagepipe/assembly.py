"""From settings to an open node: the one place that names concrete classes across folders."""

import resource as resource_limits
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, cast

from twisted.internet.endpoints import HostnameEndpoint
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.web.resource import IResource

from imagepipe import __version__
from imagepipe.config.settings import EngineChoice, HttpSettings, Settings
from imagepipe.core.renditions import RenditionLimits
from imagepipe.core.source_urls import SourceRules
from imagepipe.daemon import OnFatal
from imagepipe.engines.auto import AutoEngine
from imagepipe.engines.engine import Engine
from imagepipe.engines.imagemagick import ImageMagickEngine
from imagepipe.engines.vips import VipsEngine
from imagepipe.monitoring.counters import Counters
from imagepipe.monitoring.disk_space import DiskSpace
from imagepipe.monitoring.graphite import Graphite
from imagepipe.monitoring.metrics import registry_of
from imagepipe.monitoring.status import StatusReader
from imagepipe.node import ImageServer, Node
from imagepipe.ondemand.images import Images
from imagepipe.ondemand.originals import Originals
from imagepipe.ondemand.outputs import Outputs
from imagepipe.ondemand.renditions import Renditions
from imagepipe.operations import Operations
from imagepipe.replication.keys import load_keys
from imagepipe.replication.service import Replication
from imagepipe.storage.cache import RenderCache
from imagepipe.storage.opening import Layout
from imagepipe.storage.store import Store
from imagepipe.threads import Threads
from imagepipe.web.auth import UsersChecker, guarded, parse_users
from imagepipe.web.images import JSON_REFUSAL, Access, ImagePages
from imagepipe.web.refusal import admit_all, needs_credentials
from imagepipe.web.root import Root
from imagepipe.web.site import BoundedRequest, LoggingSite
from imagepipe.web.sources import Sources
from imagepipe.web.status import status_pages
from imagepipe.web.tls import certificate_options
from imagepipe.web.xmlrpc import ImageMethods
from imagepipe.workers import WorkQueue

XML_RPC = "XML-RPC"
HTTP = "HTTP"

FORM_BYTES_MAX = 1 << 20
"""What a form may have beside its image."""

DESCRIPTORS_MAX = 1 << 16


def open_node(reactor: Any, settings: Settings, on_fatal: OnFatal) -> Node:
    """The node that `settings` describe, its threads at work. Blocks: recovery may take a while. Raises StartError."""
    _allow_descriptors()
    images, network = settings.images, settings.network
    tls = certificate_options(network.tls_certificate, network.tls_key) if network.tls_certificate and network.tls_key else None
    passwords = parse_users(network.users.read_text(errors="replace").splitlines(), str(network.users)) if network.users else None
    keys = load_keys(settings.replication.keys) if settings.replication.keys else None

    threads = Threads(reactor)
    counters = Counters(time.time)
    # What is made of an image goes with its bytes, on a thread of its own: there may be much. It begins once there is a cache, or none.
    forgetting = ThreadPoolExecutor(1, "forget")
    opened: Future[RenderCache | None] = Future()
    store = Store.open(
        images.path,
        umask=images.umask,
        now_ms=_wall_ms,
        on_fatal=on_fatal,
        on_commit=lambda seq: reactor.callFromThread(replication.committed, seq),
        on_removed=lambda digests: _in_turn(forgetting, lambda: _forget(opened, digests)),
        on_full=lambda: _shed(opened),
    )
    replication = Replication(
        reactor,
        store,
        settings.replication,
        keys,
        pulling=threads.pulls,
        serving=threads.answers,
        seconds=time.monotonic,
        wall_ms=_wall_ms,
    )
    engine, engine_workers = _engine(settings)
    queue = WorkQueue(reactor, time.monotonic, running_max=images.io_threads, waiting_max=images.queue)
    operations = Operations(reactor, threads.calls, queue, store, engine, images.render, replication, counters)
    users = UsersChecker(passwords, threads.passwords) if passwords else None

    def image_server(http: HttpSettings) -> ImageServer:
        limits = RenditionLimits(http.extensions, http.width_max, http.quality_default, http.outputs, images.size_max)
        cache = RenderCache.open(
            Layout(images.path.absolute()).cache, http.cache_bytes_max, is_there=lambda digest: store.object_path(digest).is_file()
        )
        renditions = Renditions(queue, store, cache, engine, images.engine.value, images.render, limits, counters)
        outputs = Outputs(reactor, threads.files, store, renditions, counters)
        rules = SourceRules(http.source_base, http.sources, http.allow_private_sources)
        sources = Sources(reactor, rules, bytes_max=images.bytes_max, seconds_max=images.timeout_seconds, resolver=threads.resolver)
        originals = Originals(threads.files, store, operations, sources, outputs, limits, counters, images.bytes_max)
        found = Images(threads.files, store, renditions, originals, replication)
        access = Access(http.secrets, users)
        pages = ImagePages(reactor, threads.files, found, originals, access, limits, counters, time.time)
        threading.Thread(target=cache.tidy, name="tidy", daemon=True).start()
        return ImageServer(cache, sources, outputs, pages)

    server = image_server(settings.http) if settings.http.is_on else None
    if server is None:
        _forget_renditions(images.path)
    opened.set_result(server.cache if server else None)

    disk = DiskSpace(reactor, images.path, threads.calls, time.monotonic)
    # A node that neither publishes nor subscribes has no part in it, and nothing that could be behind.
    replicates = settings.replication.publish or settings.replication.subscribe
    replication_status = replication.status if replicates else lambda: None
    graphite = None
    if settings.graphite.host:
        endpoint: Any = HostnameEndpoint(reactor, settings.graphite.host, settings.graphite.port)
        graphite = Graphite(reactor, endpoint, settings.graphite.prefix, totals=counters.totals, replication=replication_status, wall=time.time)

    methods: Any = ImageMethods(operations, threads.calls, counters, bytes_max=images.bytes_max, size_max=images.size_max)
    site = LoggingSite(
        guarded(cast(IResource, methods), users) if users else methods,
        body_bytes_max=network.request_bytes_max,
        seconds=time.monotonic,
        admit=needs_credentials if users else admit_all,
        on_answered=partial(_count, counters),
    )
    sites = [site]
    factories: dict[str, Any] = {XML_RPC: TLSMemoryBIOFactory(cast(Any, tls), isClient=False, wrappedFactory=cast(Any, site)) if tls else site}
    if server:
        reader = StatusReader(
            version=__version__,
            seconds=time.monotonic,
            counters=counters,
            queue=queue,
            running_max=images.io_threads,
            waiting_max=images.queue,
            engine_workers=engine_workers,
            disk=disk.read,
            takes_images=lambda: store.takes_images,
            flush_failed=lambda: store.flush_failed,
            stopping=lambda: site.refusing,
            replication=replication_status,
            downloads=server.sources,
            cache=server.cache,
            cache_bytes_max=settings.http.cache_bytes_max,
        )
        root: Any = Root(status_pages(reader, registry_of(reader.read, counters.durations)), server.pages)
        sites.append(
            LoggingSite(
                root,
                body_bytes_max=images.bytes_max + FORM_BYTES_MAX,
                seconds=time.monotonic,
                admit=server.pages.access.admit,
                refusal=JSON_REFUSAL,
                on_answered=partial(_count, counters),
            )
        )
        factories[HTTP] = sites[-1]
    threads.start()
    queue.start()
    return Node(store, engine, queue, threads, forgetting, users, replication, disk, graphite, server, tuple(sites), factories)


def _engine(settings: Settings) -> tuple[Engine, Callable[[], int]]:
    """The engine that is configured, and how many processes it keeps; libvips with its workers started, for it takes a moment until they are ready."""
    images, timeout_seconds, pixels_max = settings.images, settings.images.timeout_seconds, settings.images.pixels_max
    imagemagick = ImageMagickEngine(str(settings.imagemagick.convert), settings.imagemagick.env, timeout_seconds, pixels_max)
    if images.engine is EngineChoice.IMAGEMAGICK:
        return imagemagick, lambda: 0
    vips = VipsEngine(timeout_seconds, pixels_max)
    vips.start(images.io_threads)
    engine = vips if images.engine is EngineChoice.VIPS else AutoEngine(vips, imagemagick)
    return engine, lambda: len(vips.workers)


def _forget_renditions(root: Path) -> None:
    """Without an image server nobody would remove the renditions of images that are deleted."""
    cache = Layout(root.absolute()).cache
    if cache.is_dir() and not cache.is_symlink():
        shutil.rmtree(cache, ignore_errors=True)


def _in_turn(executor: ThreadPoolExecutor, do: Callable[[], None]) -> None:
    executor.submit(do)


def _forget(opened: "Future[RenderCache | None]", digests: Sequence[str]) -> None:
    cache = opened.result()
    if cache:
        cache.forget(digests)


def _shed(opened: "Future[RenderCache | None]") -> None:
    cache = opened.result() if opened.done() else None
    if cache:
        cache.shed()


def _count(counters: Counters, request: BoundedRequest) -> None:
    counters.request(request.method.decode("ascii", "replace"), request.code, request.seconds, request.received_bytes, request.sentLength)


def _allow_descriptors() -> None:
    """Each connection is an open file, and each file that is being sent: as many as the system lets the process have, within reason."""
    soft, hard = resource_limits.getrlimit(resource_limits.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_MAX if hard == resource_limits.RLIM_INFINITY else min(hard, DESCRIPTORS_MAX)
    if soft != resource_limits.RLIM_INFINITY and soft < wanted:
        resource_limits.setrlimit(resource_limits.RLIMIT_NOFILE, (wanted, hard))


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
