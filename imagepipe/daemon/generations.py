"""What is made of the settings, above the parts that last: a generation answers until a reload has
made the next.

    SIGHUP -> read_secrets, build (on a thread; whatever is wrong shows here, and changes nothing)
    -> Node.replace (in one turn of the reactor)

A request that is under way keeps the parts that it began with. So nothing of a generation is ended
but what runs by itself, and an engine that is closed still does what it is asked for.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.ssl import CertificateOptions

from imagepipe.config.settings import EngineChoice, Settings
from imagepipe.core.rendering.renditions import RenditionLimits
from imagepipe.core.requests.source_urls import SourceRules
from imagepipe.daemon.foundation import Foundation
from imagepipe.engines.auto import AutoEngine, ImageMagickFirst
from imagepipe.engines.engine import Engine
from imagepipe.engines.magick.magick_engine import ImageMagickEngine
from imagepipe.engines.vips.vips_engine import VipsEngine
from imagepipe.errors import StartError
from imagepipe.monitoring.graphite import Graphite
from imagepipe.replication.zmq.curve_keys import NodeKeys, load_keys
from imagepipe.usecases.lookup import Lookup
from imagepipe.usecases.missing_facts import MissingFacts
from imagepipe.usecases.operations import Operations
from imagepipe.usecases.originals import Originals
from imagepipe.usecases.prerender import Prerenderer
from imagepipe.usecases.recent_failures import RecentFailures
from imagepipe.usecases.render_on_demand import Renditions
from imagepipe.web.fetch.source_fetcher import SourceFetcher
from imagepipe.web.http.auth import AuthenticatedResource, denial, parse_users
from imagepipe.web.http.cross_origin_guard import CrossOriginGuard, host_rule
from imagepipe.web.http.passwords import Passwords
from imagepipe.web.http.refusal import admit_all, needs_credentials
from imagepipe.web.http.site import SiteContent
from imagepipe.web.http.tls import certificate_options
from imagepipe.web.image_resource import Access, ImageResource
from imagepipe.web.root import Root
from imagepipe.web.status_pages import protected
from imagepipe.web.welcome import HTTP, XML_RPC, welcome
from imagepipe.web.xmlrpc.admin_methods import AdminMethods, OnDemand
from imagepipe.web.xmlrpc.image_methods import ImageMethods
from imagepipe.web.xmlrpc.system_methods import SystemMethods

FORM_BYTES_MAX = 1 << 20
"""What a form may have beside its image."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What is in the files that the settings name. passwords, status_passwords: {name: bcrypt
    hash}.
    """

    tls: CertificateOptions | None
    passwords: Mapping[bytes, bytes] | None
    status_passwords: Mapping[bytes, bytes] | None
    keys: NodeKeys | None


@dataclass(frozen=True, slots=True)
class ImageServer:
    """What `[http]` adds to a generation."""

    renditions: Renditions
    sources: SourceFetcher
    on_demand: OnDemand
    content: SiteContent


@dataclass(frozen=True, slots=True)
class Generation:
    """All that answers under some settings. engine_workers: how many processes the engine has.
    methods: of XML-RPC.
    """

    settings: Settings
    secrets: Secrets
    engine: Engine
    engine_workers: Callable[[], int]
    users: Passwords | None
    status_users: Passwords | None
    graphite: Graphite | None
    methods: SiteContent
    image_server: ImageServer | None

    @property
    def cache_bytes_max(self) -> int:
        """What the render cache may keep."""
        return cache_bytes_max(self.settings)

    @property
    def is_at_work(self) -> bool:
        """Whether it owes an answer."""
        return self.methods.unanswered > 0 or (
            self.image_server is not None and self.image_server.content.unanswered > 0
        )

    def abandon(self) -> None:
        """Make what still runs fail soon."""
        self.engine.abort()
        for users in (self.users, self.status_users):
            if users:
                users.abandon()
        if self.image_server:
            self.image_server.sources.abandon()


class Generations:
    """The generation that answers new requests, and those before it that are still at work. On the
    reactor's thread.
    """

    def __init__(self, first: Generation) -> None:
        self.current = first
        self._earlier: list[Generation] = []

    def __iter__(self) -> Iterator[Generation]:
        """All of them."""
        self._earlier = [
            one
            for one in self._earlier
            if one.is_at_work or (one.engine is not self.current.engine and one.engine_workers())
        ]
        return iter((self.current, *self._earlier))

    def succeed(self, next_one: Generation) -> None:
        """Let `next_one` be the current."""
        self._earlier, self.current = list(self), next_one

    @property
    def downloads(self) -> int:
        """How many originals are being fetched."""
        return sum(one.image_server.sources.running for one in self if one.image_server)

    @property
    def engine_workers(self) -> int:
        """How many processes the engines have."""
        return sum(
            count() for count in {id(one.engine): one.engine_workers for one in self}.values()
        )


def cache_bytes_max(settings: Settings) -> int:
    """What the render cache may keep: nothing where there is no image server to look at it."""
    return settings.http.cache_bytes_max if settings.http.is_enabled else 0


def read_secrets(settings: Settings) -> Secrets:
    """Read the files that the settings name; blocks. Raises StartError."""
    network = settings.network
    try:
        return Secrets(
            tls=certificate_options(network.tls_certificate, network.tls_key)
            if network.tls_certificate and network.tls_key
            else None,
            passwords=_passwords(network.users),
            status_passwords=_passwords(settings.http.status_users)
            if settings.http.is_enabled
            else None,
            keys=load_keys(settings.replication.keys) if settings.replication.keys else None,
        )
    except OSError as error:  # it was there a moment ago
        raise StartError(f"cannot read {error.filename}: {error.strerror}") from None


def build(
    foundation: Foundation, settings: Settings, secrets: Secrets, earlier: Generation | None = None
) -> Generation:
    """The generation that `settings` describe. What need not be another keeps that of the `earlier`
    one. Blocks. Raises StartError.
    """
    images, network, threads = settings.images, settings.network, foundation.threads
    counters, store, queue = foundation.counters, foundation.store, foundation.queue
    users = _users(foundation, secrets.passwords, earlier.users if earlier else None)
    status_users = _users(
        foundation, secrets.status_passwords, earlier.status_users if earlier else None
    )
    graphite = (
        earlier.graphite
        if earlier and earlier.settings.graphite == settings.graphite
        else _graphite(foundation, settings)
    )
    if earlier and _engine_settings(earlier.settings) == _engine_settings(settings):
        engine, engine_workers = earlier.engine, earlier.engine_workers
    else:
        engine, engine_workers = engine_of(settings)

    missing = MissingFacts(queue, store, engine)
    operations = Operations(
        foundation.reactor,
        threads.calls,
        queue,
        store,
        engine,
        images.render,
        foundation.replication,
        counters,
        missing,
        foundation.engine_check,
    )
    methods: Any = ImageMethods(
        operations, threads.calls, counters, bytes_max=images.bytes_max, size_max=images.size_max
    )
    image_server = (
        _image_server(foundation, settings, operations, engine, users, status_users)
        if settings.http.is_enabled
        else None
    )
    on_demand = image_server.on_demand if image_server else None
    methods.putSubHandler("system", SystemMethods(methods))
    methods.putSubHandler(
        "admin",
        AdminMethods(operations, foundation.read_status, foundation.verification, on_demand),
    )
    guard = CrossOriginGuard(None if users else host_rule("[network] hosts", network.hosts))
    others: Any = AuthenticatedResource(methods, users) if users else methods
    root: Any = Root(welcome(XML_RPC), others)
    content = SiteContent(
        root,
        body_bytes_max=network.request_bytes_max,
        admit=needs_credentials if users else admit_all,
        authenticate=partial(denial, passwords=users) if users else None,
        guard=guard.admit_call,
    )
    return Generation(
        settings,
        secrets,
        engine,
        engine_workers,
        users,
        status_users,
        graphite,
        content,
        image_server,
    )


def _image_server(
    foundation: Foundation,
    settings: Settings,
    operations: Operations,
    engine: Engine,
    users: Passwords | None,
    status_users: Passwords | None,
) -> ImageServer:
    reactor, threads, store, counters = (
        foundation.reactor,
        foundation.threads,
        foundation.store,
        foundation.counters,
    )
    images, http = settings.images, settings.http
    limits = RenditionLimits(
        http.extensions, http.width_max, http.quality_default, http.outputs, images.size_max
    )
    # of these settings: others may render what these cannot
    failures = RecentFailures(foundation.seconds)
    renditions = Renditions(
        foundation.queue,
        store,
        foundation.cache,
        engine,
        images.engine.value,
        images.render,
        limits,
        counters,
        failures,
    )
    rules = SourceRules(http.source_base, http.sources, http.allow_private_sources)
    sources = SourceFetcher(
        reactor,
        rules,
        bytes_max=images.bytes_max,
        seconds_max=images.timeout_seconds,
        resolver=threads.resolver,
    )
    originals = Originals(
        threads.files,
        store,
        operations,
        sources,
        foundation.outputs,
        limits,
        counters,
        images.bytes_max,
    )
    missing = MissingFacts(foundation.queue, store, engine)
    found = Lookup(threads.files, store, renditions, originals, foundation.replication, missing)
    on_demand = OnDemand(Prerenderer(threads.files, found, renditions, limits, counters), originals)
    access = Access(http.secrets, users)
    pages = ImageResource(
        threads.files, found, originals, access, limits, counters, foundation.wall
    )
    guard = CrossOriginGuard(None if users else host_rule("[http] hosts", http.hosts))
    others: Any = pages
    root: Any = Root(
        welcome(HTTP),
        others,
        protected(foundation.status_pages, status_users),
        guard.admit_page,
    )
    content = SiteContent(
        root,
        body_bytes_max=images.bytes_max + FORM_BYTES_MAX,
        admit=access.admit,
        authenticate=access.authenticate,
        fast_path=pages.fast_path,
        guard=guard.admit_write,
    )
    return ImageServer(renditions, sources, on_demand, content)


def _passwords(file: Path | None) -> Mapping[bytes, bytes] | None:
    return parse_users(file.read_text(errors="replace").splitlines(), str(file)) if file else None


def _users(
    foundation: Foundation, passwords: Mapping[bytes, bytes] | None, earlier: Passwords | None
) -> Passwords | None:
    if not passwords:
        return None
    if earlier and earlier.users == passwords:
        return earlier  # which remembers who was right
    return Passwords(passwords, foundation.threads.passwords)


def _graphite(foundation: Foundation, settings: Settings) -> Graphite | None:
    graphite = settings.graphite
    if not graphite.host:
        return None
    endpoint: Any = HostnameEndpoint(foundation.reactor, graphite.host, graphite.port)
    totals, status = foundation.counters.totals, foundation.replication_status
    return Graphite(
        foundation.reactor,
        endpoint,
        graphite.prefix,
        totals=totals,
        replication=status,
        wall=foundation.wall,
    )


def _engine_settings(settings: Settings) -> tuple[object, ...]:
    """What an engine depends on."""
    images = settings.images
    return (
        images.engine,
        images.timeout_seconds,
        images.pixels_max,
        images.io_threads,
        settings.imagemagick,
    )


def engine_of(settings: Settings) -> tuple[Engine, Callable[[], int]]:
    """The engine that is configured, and how many processes it has; libvips with its workers
    started, for it takes a moment until they are ready.
    """
    images, timeout_seconds, pixels_max = (
        settings.images,
        settings.images.timeout_seconds,
        settings.images.pixels_max,
    )
    imagemagick = ImageMagickEngine(
        str(settings.imagemagick.convert), settings.imagemagick.env, timeout_seconds, pixels_max
    )
    vips = VipsEngine(timeout_seconds, pixels_max)

    def processes() -> int:
        return len(vips.workers) + len(imagemagick.workers)

    if images.engine is EngineChoice.IMAGEMAGICK:
        return ImageMagickFirst(imagemagick, vips), processes
    try:
        vips.start(images.io_threads)
    except OSError as error:
        vips.close()
        raise StartError(f"cannot start a vips worker: {error.strerror}") from None
    return vips if images.engine is EngineChoice.VIPS else AutoEngine(vips, imagemagick), processes
