"""Builds the image server of a generation: rendering on demand, and its pages."""

import time
from collections.abc import Mapping
from typing import Any

from imagepipe.config.settings import Settings
from imagepipe.core.rendering.renditions import RenditionLimits
from imagepipe.core.requests.source_urls import SourceRules
from imagepipe.daemon.generation.generation import ImageServer
from imagepipe.engines.engine import Engine
from imagepipe.monitoring.counters import Counters
from imagepipe.replication.service import Replication
from imagepipe.runtime.reactor import Reactor
from imagepipe.runtime.render_queue import RenderQueue
from imagepipe.runtime.threads import Threads
from imagepipe.storage.cache.cache import RenderCache
from imagepipe.storage.store import Store
from imagepipe.usecases.lookup import Lookup
from imagepipe.usecases.missing_facts import MissingFacts
from imagepipe.usecases.originals import Originals
from imagepipe.usecases.prerender import Prerenderer
from imagepipe.usecases.promised_outputs import PromisedOutputs
from imagepipe.usecases.query_operations import QueryOperations
from imagepipe.usecases.recent_failures import RecentFailures
from imagepipe.usecases.render_on_demand import Renditions
from imagepipe.usecases.store_operation import StoreOperation
from imagepipe.web.fetch.source_fetcher import SourceFetcher
from imagepipe.web.http.cross_origin_guard import CrossOriginGuard, host_rule
from imagepipe.web.http.passwords import Passwords
from imagepipe.web.http.site_content import SiteContent
from imagepipe.web.image_access import Access
from imagepipe.web.image_resource import ImageResource
from imagepipe.web.root import Root
from imagepipe.web.status_pages import StatusPage, protected
from imagepipe.web.welcome import HTTP, welcome
from imagepipe.web.xmlrpc.admin_methods import OnDemand

FORM_BYTES_MAX = 1 << 20
"""The size of everything in a form except its image."""


class ImageServerBuilder:
    """Builds image servers on top of the permanent parts."""

    def __init__(
        self,
        reactor: Reactor,
        threads: Threads,
        queue: RenderQueue,
        store: Store,
        cache: RenderCache,
        replication: Replication,
        outputs: PromisedOutputs,
        counters: Counters,
        status_pages: Mapping[bytes, StatusPage],
    ) -> None:
        self._reactor = reactor
        self._threads = threads
        self._queue = queue
        self._store = store
        self._cache = cache
        self._replication = replication
        self._outputs = outputs
        self._counters = counters
        self._status_pages = status_pages

    def build(
        self,
        settings: Settings,
        engine: Engine,
        store_operation: StoreOperation,
        queries: QueryOperations,
        missing: MissingFacts,
        users: Passwords | None,
        status_users: Passwords | None,
    ) -> ImageServer:
        """The image server configured by `[http]`."""
        images, http = settings.images, settings.http
        store, counters, on_thread = self._store, self._counters, self._threads.files
        limits = RenditionLimits(
            http.extensions, http.width_max, http.quality_default, http.outputs, images.size_max
        )
        renditions = Renditions(
            self._queue,
            store,
            self._cache,
            engine,
            images.engine.value,
            images.render,
            limits,
            counters,
            RecentFailures(time.monotonic),  # fresh: with other settings the same may succeed
        )
        sources = SourceFetcher(
            self._reactor,
            SourceRules(http.source_base, http.sources, http.allow_private_sources),
            bytes_max=images.bytes_max,
            seconds_max=images.timeout_seconds,
            resolver=self._threads.resolver,
        )
        originals = Originals(
            on_thread,
            store,
            store_operation,
            queries,
            sources,
            self._outputs,
            limits,
            counters,
            images.bytes_max,
        )
        lookup = Lookup(on_thread, store, renditions, originals, self._replication, missing)
        prerender = Prerenderer(on_thread, lookup, renditions, limits, counters)
        access = Access(http.secrets, users)
        pages = ImageResource(on_thread, lookup, originals, access, limits, counters, time.time)
        guard = CrossOriginGuard(None if users else host_rule("[http] hosts", http.hosts))
        others: Any = pages
        root: Any = Root(
            welcome(HTTP), others, protected(self._status_pages, status_users), guard.admit_page
        )
        content = SiteContent(
            root,
            body_bytes_max=images.bytes_max + FORM_BYTES_MAX,
            admit=access.admit,
            authenticate=access.authenticate,
            fast_path=pages.fast_path,
            guard=guard.admit_write,
        )
        return ImageServer(renditions, sources, OnDemand(prerender, originals), content)
