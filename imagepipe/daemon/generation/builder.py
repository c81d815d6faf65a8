"""Builds a generation from settings, on top of the parts that live as long as the process.

Anything wrong with a configuration shows up here, before anything has been replaced.
"""

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from twisted.internet.endpoints import HostnameEndpoint

from imagepipe.config.settings import Settings
from imagepipe.daemon.generation.engine_choice import needs_another_engine, start_engine
from imagepipe.daemon.generation.generation import Generation
from imagepipe.daemon.generation.image_server import ImageServerBuilder
from imagepipe.daemon.generation.secret_files import Secrets
from imagepipe.daemon.monitoring_parts import MonitoringParts
from imagepipe.monitoring.graphite import Graphite
from imagepipe.replication.service import Replication
from imagepipe.runtime.reactor import Reactor
from imagepipe.runtime.render_queue import RenderQueue
from imagepipe.runtime.threads import Threads
from imagepipe.storage.store import Store
from imagepipe.usecases.change_operations import ChangeOperations
from imagepipe.usecases.history_operations import HistoryOperations
from imagepipe.usecases.missing_facts import MissingFacts
from imagepipe.usecases.query_operations import QueryOperations
from imagepipe.usecases.store_operation import StoreOperation
from imagepipe.usecases.verification import Verification
from imagepipe.web.http.auth import AuthenticatedResource, denial
from imagepipe.web.http.cross_origin_guard import CrossOriginGuard, host_rule
from imagepipe.web.http.passwords import Passwords
from imagepipe.web.http.refusal import admit_all, needs_credentials
from imagepipe.web.http.site_content import SiteContent
from imagepipe.web.root import Root
from imagepipe.web.welcome import XML_RPC, welcome
from imagepipe.web.xmlrpc.admin_methods import AdminMethods
from imagepipe.web.xmlrpc.image_methods import ImageMethods
from imagepipe.web.xmlrpc.system_methods import SystemMethods


class GenerationBuilder:
    """Builds generations on top of the permanent parts."""

    def __init__(
        self,
        reactor: Reactor,
        threads: Threads,
        queue: RenderQueue,
        store: Store,
        replication: Replication,
        verification: Verification,
        monitoring: MonitoringParts,
        image_servers: ImageServerBuilder,
    ) -> None:
        self._reactor = reactor
        self._threads = threads
        self._queue = queue
        self._store = store
        self._replication = replication
        self._verification = verification
        self._monitoring = monitoring
        self._image_servers = image_servers

    def build(
        self, settings: Settings, secrets: Secrets, earlier: Generation | None = None
    ) -> Generation:
        """The generation for `settings`; parts that need not change are taken from `earlier`.
        Blocks. Raises StartError.
        """
        users = self._users(secrets.passwords, earlier.users if earlier else None)
        status_users = self._users(
            secrets.status_passwords, earlier.status_users if earlier else None
        )
        if earlier and earlier.settings.graphite == settings.graphite:
            graphite = earlier.graphite
        else:
            graphite = self._graphite(settings)
        if earlier and not needs_another_engine(earlier.settings, settings):
            chosen = earlier.chosen
        else:
            chosen = start_engine(settings)

        engine = chosen.engine
        missing = MissingFacts(self._queue, self._store, engine)
        on_thread, store, peers = self._threads.calls, self._store, self._replication
        counters = self._monitoring.counters
        store_operation = StoreOperation(
            self._queue,
            store,
            engine,
            settings.images.render,
            peers,
            counters,
            self._monitoring.engine_check,
        )
        changes = ChangeOperations(self._reactor, on_thread, store, peers, counters)
        queries = QueryOperations(on_thread, store, peers, missing)
        history = HistoryOperations(on_thread, store, store_operation)
        image_server = None
        if settings.http.is_enabled:
            image_server = self._image_servers.build(
                settings, engine, store_operation, queries, missing, users, status_users
            )
        on_demand = image_server.on_demand if image_server else None
        methods = self._methods(
            settings,
            users,
            ImageMethods(
                store_operation,
                changes,
                queries,
                on_thread,
                counters,
                bytes_max=settings.images.bytes_max,
                size_max=settings.images.size_max,
            ),
            AdminMethods(
                changes, history, self._monitoring.reader.read, self._verification, on_demand
            ),
        )
        return Generation(
            settings, secrets, chosen, users, status_users, graphite, methods, image_server
        )

    def _methods(
        self,
        settings: Settings,
        users: Passwords | None,
        image_methods: ImageMethods,
        admin_methods: AdminMethods,
    ) -> SiteContent:
        network = settings.network
        methods: Any = image_methods
        methods.putSubHandler("system", SystemMethods(methods))
        methods.putSubHandler("admin", admin_methods)
        guard = CrossOriginGuard(None if users else host_rule("[network] hosts", network.hosts))
        others: Any = AuthenticatedResource(methods, users) if users else methods
        root: Any = Root(welcome(XML_RPC), others)
        return SiteContent(
            root,
            body_bytes_max=network.request_bytes_max,
            admit=needs_credentials if users else admit_all,
            authenticate=partial(denial, passwords=users) if users else None,
            guard=guard.admit_call,
        )

    def _users(
        self, passwords: Mapping[bytes, bytes] | None, earlier: Passwords | None
    ) -> Passwords | None:
        if not passwords:
            return None
        if earlier and earlier.users == passwords:
            return earlier  # which has verified passwords in memory
        return Passwords(passwords, self._threads.passwords)

    def _graphite(self, settings: Settings) -> Graphite | None:
        graphite = settings.graphite
        if not graphite.host:
            return None
        endpoint: Any = HostnameEndpoint(self._reactor, graphite.host, graphite.port)
        return Graphite(
            self._reactor,
            endpoint,
            graphite.prefix,
            totals=self._monitoring.counters.totals,
            replication=self._monitoring.replication_status,
            wall=time.time,
        )
