"""Everything that serves one set of settings, until a reload replaces it with the next.

A request in progress keeps the parts that it began with. So only the background work of a
generation is stopped when it is replaced, and a closed engine still finishes its jobs.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from imagepipe.config.settings import Settings
from imagepipe.daemon.generation.engine_choice import ChosenEngine
from imagepipe.daemon.generation.secret_files import Secrets
from imagepipe.engines.engine import Engine
from imagepipe.monitoring.graphite import Graphite
from imagepipe.usecases.render_on_demand import Renditions
from imagepipe.web.fetch.source_fetcher import SourceFetcher
from imagepipe.web.http.passwords import Passwords
from imagepipe.web.http.site_content import SiteContent
from imagepipe.web.xmlrpc.admin_methods import OnDemand


@dataclass(frozen=True, slots=True)
class ImageServer:
    """What `[http]` adds to a generation."""

    renditions: Renditions
    sources: SourceFetcher
    on_demand: OnDemand
    content: SiteContent


@dataclass(frozen=True, slots=True)
class Generation:
    """The parts that were built from `settings`. methods: answers XML-RPC calls."""

    settings: Settings
    secrets: Secrets
    chosen: ChosenEngine
    users: Passwords | None
    status_users: Passwords | None
    graphite: Graphite | None
    methods: SiteContent
    image_server: ImageServer | None

    @property
    def engine(self) -> Engine:
        """The engine that renders."""
        return self.chosen.engine

    @property
    def renditions(self) -> Renditions | None:
        """Renders on demand, if there is an image server."""
        return self.image_server.renditions if self.image_server else None

    @property
    def replicates(self) -> bool:
        """Whether the node has peers, or may have them."""
        return bool(self.settings.replication.publish or self.settings.replication.subscribe)

    @property
    def has_requests(self) -> bool:
        """Whether any request is still unanswered."""
        return self.methods.unanswered > 0 or (
            self.image_server is not None and self.image_server.content.unanswered > 0
        )

    def abandon(self) -> None:
        """Make everything still running fail soon."""
        self.engine.abort()
        for users in (self.users, self.status_users):
            if users:
                users.abandon()
        if self.image_server:
            self.image_server.sources.abandon()


class Generations:
    """The generation that answers new requests, and earlier ones that are still finishing theirs.
    Runs on the reactor's thread.

    Empty until the first generation is built. Some of the permanent parts under it read from here.
    """

    def __init__(self) -> None:
        self._current: Generation | None = None
        self._earlier: list[Generation] = []

    @property
    def current(self) -> Generation:
        """The generation that answers new requests; there must be one."""
        assert self._current
        return self._current

    def __iter__(self) -> Iterator[Generation]:
        """All of them, the current one first."""
        current = self._current
        self._earlier = [
            one
            for one in self._earlier
            if one.has_requests
            or (current and one.engine is not current.engine and one.chosen.workers())
        ]
        return iter((current, *self._earlier) if current else ())

    def succeed(self, following: Generation) -> None:
        """Make `following` the current generation."""
        self._earlier, self._current = list(self), following

    @property
    def downloads(self) -> int:
        """The number of originals being fetched."""
        return sum(one.image_server.sources.running for one in self if one.image_server)

    @property
    def engine_workers(self) -> int:
        """The number of engine processes."""
        return sum(
            chosen.workers() for chosen in {id(one.engine): one.chosen for one in self}.values()
        )
