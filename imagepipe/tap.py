"""`twistd imagepipe`: its options, and the one place that builds the daemon from its parts."""

import resource as resource_limits
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python import usage
from twisted.python.threadpool import ThreadPool
from twisted.web.resource import IResource

from imagepipe import __version__
from imagepipe.config import load
from imagepipe.config.settings import EngineChoice, HttpSettings, NetworkSettings, Settings
from imagepipe.core.renditions import RenditionLimits
from imagepipe.core.source_urls import SourceRules
from imagepipe.counters import Counters
from imagepipe.daemon import Daemon, Listener, OnFatal
from imagepipe.disk_space import DiskSpace
from imagepipe.engines.auto import AutoEngine
from imagepipe.engines.engine import Engine
from imagepipe.engines.imagemagick import ImageMagickEngine
from imagepipe.engines.vips import VipsEngine
from imagepipe.errors import ConfigError
from imagepipe.graphite import Graphite
from imagepipe.images import Images
from imagepipe.metrics import registry_of
from imagepipe.operations import Operations, Peers
from imagepipe.originals import Originals
from imagepipe.outputs import Outputs
from imagepipe.renditions import Renditions
from imagepipe.replication.keys import load_keys
from imagepipe.replication.service import Replication
from imagepipe.status import StatusReader
from imagepipe.storage.cache import RenderCache
from imagepipe.storage.opening import Layout
from imagepipe.storage.store import Store
from imagepipe.web.auth import UsersChecker, guarded, parse_users
from imagepipe.web.images import JSON_REFUSAL, Access, ImagePages
from imagepipe.web.root import Root
from imagepipe.web.site import BoundedRequest, LoggingSite, admit_all, needs_credentials
from imagepipe.web.sources import Sources
from imagepipe.web.status import status_pages
from imagepipe.web.tls import certificate_options
from imagepipe.web.xmlrpc import ImageMethods
from imagepipe.workers import WorkQueue

T = TypeVar("T")

XML_RPC = "XML-RPC"
HTTP = "HTTP"

CALL_THREADS = 8
"""Threads that parse calls and look things up; short work, never a render."""

PULL_THREADS = 4
"""Threads that keep what peers have sent; flushing takes most of the time, and four wait for it together."""

ANSWER_THREADS = 2
"""Threads that read what peers have asked for."""

FILE_THREADS = 8
"""Threads that look up and read what GETs ask for."""

FORM_BYTES_MAX = 1 << 20
"""What a form may have beside its image."""

PASSWORD_THREADS = 1
"""Threads that check passwords: bcrypt is slow on purpose."""

_log = Logger()


class Options(usage.Options):
    """The command line after `twistd imagepipe`."""

    longdesc = "A high-availability image store. See imagepipe.ini.dist for what the configuration file may say."
    optParameters = [["config", "c", "imagepipe.ini", "The configuration file."]]  # noqa: N815, RUF012 - Twisted's

    settings: Settings

    def opt_version(self) -> None:
        """Print the version and exit."""
        print(f"imagepipe {__version__}")  # noqa: T201
        raise SystemExit(0)

    def postOptions(self) -> None:  # noqa: N802 - Twisted's name
        """Read the configuration; every problem in it ends the program."""
        try:
            self.settings = load(Path(self["config"]))
        except ConfigError as error:
            raise SystemExit("\n".join([f"imagepipe cannot start: {self['config']} has problems:", *error.problems])) from None


def makeService(options: Options) -> Service:  # noqa: N802 - Twisted's name
    """The daemon that `options.settings` describe."""
    from twisted.internet import reactor  # noqa: PLC0415 - importing it installs it, which must wait for twistd's --reactor

    settings = options.settings
    network = settings.network
    for warning in settings.warnings + _exposure(network):
        _log.warn("{warning}", warning=warning)
    listeners = [Listener(XML_RPC, _endpoint(network), "https" if network.tls_certificate else "http")]
    if _is_on(settings.http):
        listeners.append(Listener(HTTP, _endpoint(settings.http), "http"))
    return Daemon(reactor, lambda on_fatal: _open_node(reactor, settings, on_fatal), listeners)


@dataclass(frozen=True, slots=True)
class _Node:
    """A daemon.Node."""

    store: Store
    engine: Engine
    queue: WorkQueue
    replication: Replication
    disk: DiskSpace
    graphite: Graphite | None
    image_server: "_ImageServer | None"
    pools: tuple[ThreadPool, ...]
    sites: tuple[LoggingSite, ...]
    factories: Mapping[str, IProtocolFactory]

    def start(self) -> None:
        self.replication.start()
        self.disk.start()
        if self.graphite:
            self.graphite.start()
        if self.image_server:
            self.image_server.outputs.start()

    def refuse_new(self) -> "Deferred[None]":
        return gatherResults([site.refuse_new() for site in self.sites]).addCallback(lambda _: None)

    def abandon(self) -> None:
        self.queue.refuse_waiting()
        self.engine.abort()
        self.replication.abandon()
        if self.image_server:
            self.image_server.sources.abandon()

    def stop(self) -> "Deferred[None]":
        if self.image_server:
            self.image_server.outputs.stop()
        self.disk.stop()
        told: Deferred[None] = self.graphite.stop() if self.graphite else succeed(None)  # while replication can still be asked how it stands
        self.replication.stop()
        return told

    def close(self) -> None:
        self.queue.stop()
        self.engine.close()
        for pool in self.pools:
            pool.stop()
        self.store.close()
        if self.image_server:
            self.image_server.cache.close()  # last: the store's last housekeeping removes from it what is deleted


@dataclass(frozen=True, slots=True)
class _ImageServer:
    """The parts of `[http]` that have a life of their own."""

    cache: RenderCache
    sources: Sources
    outputs: Outputs
    pages: ImagePages


def _open_node(reactor: Any, settings: Settings, on_fatal: OnFatal) -> _Node:
    """Blocks: recovery may take a while."""
    _allow_descriptors()
    images, network = settings.images, settings.network
    tls = certificate_options(network.tls_certificate, network.tls_key) if network.tls_certificate and network.tls_key else None
    users = parse_users(network.users.read_text(errors="replace").splitlines(), str(network.users)) if network.users else None
    keys = load_keys(settings.replication.keys) if settings.replication.keys else None
    caches: list[RenderCache] = []  # none, or one once it is open: what is removed before that, its own start finds out
    store = Store.open(
        images.path,
        umask=images.umask,
        now_ms=_wall_ms,
        on_fatal=on_fatal,
        on_commit=lambda seq: reactor.callFromThread(replication.committed, seq),
        on_removed=lambda digests: _each(caches, lambda cache: cache.forget(digests)),
        on_full=lambda: _each(caches, RenderCache.shed),
    )
    counters = Counters(time.time)
    engine, engine_workers = _engine(settings)
    calls = ThreadPool(minthreads=1, maxthreads=CALL_THREADS, name="calls")
    pulls = ThreadPool(minthreads=0, maxthreads=PULL_THREADS, name="pulls")
    answers = ThreadPool(minthreads=0, maxthreads=ANSWER_THREADS, name="answers")
    replication = Replication(
        reactor,
        store,
        settings.replication,
        keys,
        pulling=lambda call: deferToThreadPool(reactor, pulls, call),
        serving=lambda call: deferToThreadPool(reactor, answers, call),
        seconds=time.monotonic,
        wall_ms=_wall_ms,
    )
    queue = WorkQueue(reactor, time.monotonic, running_max=images.io_threads, waiting_max=images.queue)

    def on_thread(call: Callable[[], T]) -> "Deferred[T]":
        return deferToThreadPool(reactor, calls, call)

    operations = Operations(reactor, on_thread, queue, store, engine, images.render, replication, counters)
    methods = ImageMethods(operations, on_thread, counters, bytes_max=images.bytes_max, size_max=images.size_max)
    # Threads of their own: a flood of wrong passwords must not hold up the calls of those who are in.
    passwords = ThreadPool(minthreads=0, maxthreads=PASSWORD_THREADS, name="passwords")
    checker = UsersChecker(users, lambda check: deferToThreadPool(reactor, passwords, check)) if users else None
    resource: Any = guarded(cast(IResource, methods), checker) if checker else methods  # an IResource; zope.interface has no types
    site = LoggingSite(
        resource,
        body_bytes_max=network.request_bytes_max,
        seconds=time.monotonic,
        admit=needs_credentials if checker else admit_all,
        on_answered=partial(_count, counters),
    )
    sites = [site]
    factories: dict[str, Any] = {XML_RPC: TLSMemoryBIOFactory(cast(Any, tls), isClient=False, wrappedFactory=cast(Any, site)) if tls else site}
    files = ThreadPool(minthreads=1, maxthreads=FILE_THREADS, name="files")
    disk = DiskSpace(reactor, images.path, on_thread, time.monotonic)
    image_server = None
    if _is_on(settings.http):
        image_server = _image_server(reactor, settings, store, engine, queue, operations, replication, counters, files, checker)
        caches.append(image_server.cache)
        threading.Thread(target=image_server.cache.tidy, name="tidy", daemon=True).start()
    else:
        _forget_renditions(images.path)
    # A node that neither publishes nor subscribes has no part in it, and nothing that could be behind.
    replicates = settings.replication.publish or settings.replication.subscribe
    replication_status = replication.status if replicates else lambda: None
    graphite = None
    if settings.graphite.host:
        endpoint: Any = HostnameEndpoint(reactor, settings.graphite.host, settings.graphite.port)
        graphite = Graphite(reactor, endpoint, settings.graphite.prefix, totals=counters.totals, replication=replication_status, wall=time.time)
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
        downloads=image_server.sources if image_server else None,
        cache=image_server.cache if image_server else None,
        cache_bytes_max=settings.http.cache_bytes_max,
    )
    if image_server:
        pages = status_pages(reader, registry_of(reader.read, counters.durations))
        root: Any = Root(pages, image_server.pages)
        sites.append(
            LoggingSite(
                root,
                body_bytes_max=images.bytes_max + FORM_BYTES_MAX,
                seconds=time.monotonic,
                admit=image_server.pages.access.admit,
                refusal=JSON_REFUSAL,
                on_answered=partial(_count, counters),
            )
        )
        factories[HTTP] = sites[-1]
    pools = (calls, files, passwords, pulls, answers)
    for pool in pools:
        pool.start()
    queue.start()
    return _Node(store, engine, queue, replication, disk, graphite, image_server, pools, tuple(sites), factories)


def _image_server(
    reactor: Any,
    settings: Settings,
    store: Store,
    engine: Engine,
    queue: WorkQueue,
    operations: Operations,
    peers: Peers,
    counters: Counters,
    files: ThreadPool,
    users: UsersChecker | None,
) -> _ImageServer:
    """What `[http]` asks for."""
    http, images = settings.http, settings.images
    limits = RenditionLimits(http.extensions, http.width_max, http.quality_default, http.outputs, images.size_max)
    cache = RenderCache.open(Layout(images.path.absolute()).cache, http.cache_bytes_max, is_there=lambda digest: store.object_path(digest).is_file())

    def on_thread(call: Callable[[], T]) -> "Deferred[T]":
        return deferToThreadPool(reactor, files, call)

    renditions = Renditions(queue, store, cache, engine, images.engine.value, images.render, limits, counters)
    outputs = Outputs(reactor, on_thread, store, renditions, counters)
    rules = SourceRules(http.source_base, http.sources, http.allow_private_sources)
    sources = Sources(reactor, rules, bytes_max=images.bytes_max, seconds_max=images.timeout_seconds)
    originals = Originals(on_thread, store, operations, sources, outputs, limits, counters, images.bytes_max)
    found = Images(on_thread, store, renditions, originals, peers)
    access = Access(http.secrets, users)
    return _ImageServer(cache, sources, outputs, ImagePages(reactor, on_thread, found, originals, access, limits, counters, time.time))


def _forget_renditions(root: Path) -> None:
    """Without an image server nobody would remove the renditions of images that are deleted."""
    cache = Layout(root.absolute()).cache
    if cache.is_dir() and not cache.is_symlink():
        shutil.rmtree(cache, ignore_errors=True)


def _each(caches: Iterable[RenderCache], do: Callable[[RenderCache], object]) -> None:
    for cache in caches:
        do(cache)


def _count(counters: Counters, request: BoundedRequest) -> None:
    counters.request(request.method.decode("ascii", "replace"), request.code, request.seconds, request.received_bytes, request.sentLength)


def _allow_descriptors() -> None:
    """As many open files as the system lets the process have: each connection is one, and each file that is being sent."""
    _, most = resource_limits.getrlimit(resource_limits.RLIMIT_NOFILE)
    resource_limits.setrlimit(resource_limits.RLIMIT_NOFILE, (most, most))


def _is_on(http: HttpSettings) -> bool:
    return http.port is not None or http.endpoint is not None


def _endpoint(listener: NetworkSettings | HttpSettings) -> str:
    return listener.endpoint or f"tcp:{listener.port}:interface={listener.interface.replace(':', chr(92) + ':')}"


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


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


def _exposure(network: NetworkSettings) -> tuple[str, ...]:
    """A warning if anyone who reaches the machine can store and delete."""
    if network.users or network.tls_certificate or not _is_public(network):
        return ()
    where = f"endpoint = {network.endpoint}" if network.endpoint else f"interface = {network.interface}, port {network.port}"
    warning = f"[network] {where}: anyone who can reach it can store, replace and delete images, and the traffic is in clear;"
    return (f"{warning} set users and tls_certificate, or listen on 127.0.0.1",)


def _is_public(network: NetworkSettings) -> bool:
    if not network.endpoint:
        return not ip_address(network.interface).is_loopback
    kind, *arguments = network.endpoint.replace("\\:", ";").split(":")
    # systemd's sockets are the unit's business, a unix socket has its mode.
    return kind in ("tcp", "tcp6") and not {"interface=127.0.0.1", "interface=localhost", "interface=;;1"} & set(arguments)
