"""`twistd imagepipe`: its options, and the one place that builds the daemon from its parts."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python import usage
from twisted.python.threadpool import ThreadPool
from twisted.web.resource import IResource

from imagepipe import __version__
from imagepipe.config import load
from imagepipe.config.settings import EngineChoice, NetworkSettings, Settings
from imagepipe.daemon import Daemon, OnFatal
from imagepipe.engines.auto import AutoEngine
from imagepipe.engines.engine import Engine
from imagepipe.engines.imagemagick import ImageMagickEngine
from imagepipe.engines.vips import VipsEngine
from imagepipe.errors import ConfigError
from imagepipe.operations import Operations
from imagepipe.replication.keys import load_keys
from imagepipe.replication.service import Replication
from imagepipe.storage.store import Store
from imagepipe.web.auth import UsersChecker, guarded, parse_users
from imagepipe.web.site import LoggingSite
from imagepipe.web.tls import certificate_options
from imagepipe.web.xmlrpc import ImageMethods
from imagepipe.workers import WorkQueue

T = TypeVar("T")

CALL_THREADS = 8
"""Threads that parse calls and look things up; short work, never a render."""

PULL_THREADS = 4
"""Threads that keep what peers have sent; flushing takes most of the time, and four wait for it together."""

ANSWER_THREADS = 2
"""Threads that read what peers have asked for."""

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
    return Daemon(
        reactor,
        open_node=lambda on_fatal: _open_node(reactor, settings, on_fatal),
        endpoint=network.endpoint or f"tcp:{network.port}:interface={network.interface.replace(':', chr(92) + ':')}",
        scheme="https" if network.tls_certificate else "http",
    )


@dataclass(frozen=True, slots=True)
class _Node:
    """A daemon.Node."""

    store: Store
    engine: Engine
    queue: WorkQueue
    replication: Replication
    pools: tuple[ThreadPool, ...]
    site: LoggingSite
    factory: IProtocolFactory

    def join_peers(self) -> None:
        self.replication.start()

    def refuse_new(self) -> "Deferred[None]":
        return self.site.refuse_new()

    def abandon(self) -> None:
        self.queue.refuse_waiting()
        self.engine.abort()
        self.replication.abandon()

    def leave_peers(self) -> None:
        self.replication.stop()

    def close(self) -> None:
        self.queue.stop()
        self.engine.close()
        for pool in self.pools:
            pool.stop()
        self.store.close()


def _open_node(reactor: Any, settings: Settings, on_fatal: OnFatal) -> _Node:
    """Blocks: recovery may take a while."""
    images, network = settings.images, settings.network
    tls = certificate_options(network.tls_certificate, network.tls_key) if network.tls_certificate and network.tls_key else None
    users = parse_users(network.users.read_text(errors="replace").splitlines(), str(network.users)) if network.users else None
    keys = load_keys(settings.replication.keys) if settings.replication.keys else None
    store = Store.open(
        images.path,
        umask=images.umask,
        now_ms=_wall_ms,
        on_fatal=on_fatal,
        on_commit=lambda seq: reactor.callFromThread(replication.committed, seq),
    )
    engine = _engine(settings)
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

    operations = Operations(reactor, on_thread, queue, store, engine, images.render, replication)
    methods = ImageMethods(operations, on_thread, bytes_max=images.bytes_max, size_max=images.size_max)
    # Threads of their own: a flood of wrong passwords must not hold up the calls of those who are in.
    passwords = ThreadPool(minthreads=0, maxthreads=PASSWORD_THREADS, name="passwords")
    resource: Any = methods  # an IResource; zope.interface has no types
    if users:
        resource = guarded(cast(IResource, methods), UsersChecker(users, lambda check: deferToThreadPool(reactor, passwords, check)))
    site = LoggingSite(resource, body_bytes_max=network.request_bytes_max, seconds=time.monotonic, credentials_needed=users is not None)
    pools = (calls, passwords, pulls, answers)
    for pool in pools:
        pool.start()
    queue.start()
    factory: Any = TLSMemoryBIOFactory(cast(Any, tls), isClient=False, wrappedFactory=cast(Any, site)) if tls else site
    return _Node(store, engine, queue, replication, pools, site, factory)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _engine(settings: Settings) -> Engine:
    """The engine that is configured; libvips with its workers started, for it takes a moment until they are ready."""
    images, timeout_seconds, pixels_max = settings.images, settings.images.timeout_seconds, settings.images.pixels_max
    imagemagick = ImageMagickEngine(str(settings.imagemagick.convert), settings.imagemagick.env, timeout_seconds, pixels_max)
    if images.engine is EngineChoice.IMAGEMAGICK:
        return imagemagick
    vips = VipsEngine(timeout_seconds, pixels_max)
    vips.start(images.io_threads)
    return vips if images.engine is EngineChoice.VIPS else AutoEngine(vips, imagemagick)


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
