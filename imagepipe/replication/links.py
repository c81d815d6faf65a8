"""A node's sockets as its settings want them: where it listens, and a pair to each peer that it
pulls from.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from twisted.logger import Logger

from imagepipe.config.settings import Peer, ReplicationSettings
from imagepipe.core.replication.endpoints import said_of, sync_of
from imagepipe.errors import StartError
from imagepipe.replication.link_changes import link_name
from imagepipe.replication.zmq.connection import Frames
from imagepipe.replication.zmq.curve_keys import NodeKeys
from imagepipe.replication.zmq.sockets import Client, Publisher, Server, Sockets, Subscriber

_log = Logger()


@dataclass(frozen=True, slots=True)
class Ears:
    """Who gets what comes in. head, reply: from the peer of a name. request: from a client's
    connection, with the key that it has.
    """

    head: Callable[[str, Frames], None]
    reply: Callable[[str, Frames], None]
    request: Callable[[bytes, Frames, bytes], None]


@dataclass(frozen=True, slots=True)
class _Link:
    """The sockets to one peer, which publishes on `endpoint`."""

    endpoint: str
    subscriber: Subscriber
    client: Client

    def close(self) -> None:
        self.subscriber.close()
        self.client.close()


class Wiring:
    """All sockets of a node, open until `close`. What is sent to a peer or a client that is not
    there any more is dropped.

    said: where each peer has said that it answers, as far as it has. Raises StartError, and then
    nothing is open.
    """

    def __init__(
        self,
        settings: ReplicationSettings,
        keys: NodeKeys | None,
        ears: Ears,
        said: Mapping[str, str],
    ) -> None:
        self.publish = ""
        self.sync = ""
        self._keys = keys
        self._ears = ears
        self._sockets = Sockets(keys)
        self._publisher: Publisher | None = None
        self._server: Server | None = None
        self._links: dict[str, _Link] = {}
        try:
            if settings.publish and settings.sync:
                self._publisher = self._sockets.publisher(settings.publish)
                self._server = self._sockets.server(settings.sync, ears.request)
                self.publish, self.sync = self._publisher.endpoint, self._server.endpoint
            self._links = self._opened(settings.subscribe, said)
        except StartError:
            self.close()
            raise
        if self._publisher:
            _log.info(
                "replication: published on {publish}, answered on {sync}",
                publish=self.publish,
                sync=self.sync,
            )

    @property
    def said(self) -> str:
        """What this node says of where it answers."""
        return said_of(self.publish, self.sync) if self._publisher else ""

    def replace(self, gone: Sequence[str], new: Sequence[Peer], keys: NodeKeys | None) -> None:
        """Other peers, and more keys. Raises StartError, and then nothing has changed."""
        before, self._keys = self._keys, keys
        try:
            opened = self._opened(new, {})
        except StartError:
            self._keys = before
            raise
        for name in gone:
            self._links.pop(name).close()
        self._links |= opened
        if keys:
            self._sockets.reload_keys(keys)

    def close(self) -> None:
        """Close them all. Blocks for a second at most."""
        self._publisher = self._server = None
        self._links = {}
        self._sockets.close()

    def ring(self, frames: Frames) -> None:
        """Tell all who have subscribed."""
        if self._publisher:
            self._publisher.send(frames)

    def ask(self, name: str, frames: Frames) -> None:
        """Ask the peer of this name."""
        if link := self._links.get(name):
            link.client.send(frames)

    def answer(self, client: bytes, frames: Frames) -> None:
        """Answer a client."""
        if self._server:
            self._server.send(client, frames)

    def redirect(self, name: str, said: str) -> None:
        """Ask this peer where it has said that it answers. Raises StartError if that is no
        place.
        """
        if link := self._links.get(name):
            link.client.reconnect(sync_of(link.endpoint, said))

    def _opened(self, peers: Sequence[Peer], said: Mapping[str, str]) -> dict[str, _Link]:
        opened: dict[str, _Link] = {}
        try:
            for peer in peers:
                name = link_name(peer)
                opened[name] = self._open(peer, name, said.get(name, ""))
        except StartError:
            for link in opened.values():
                link.close()
            raise
        return opened

    def _open(self, peer: Peer, name: str, said: str) -> _Link:
        key = self._keys.key_of(name) if self._keys else None
        subscriber = self._sockets.subscriber(peer.endpoint, key, partial(self._ears.head, name))
        try:
            client = self._sockets.client(
                sync_of(peer.endpoint, said), key, partial(self._ears.reply, name)
            )
        except StartError:
            subscriber.close()
            raise
        return _Link(peer.endpoint, subscriber, client)
