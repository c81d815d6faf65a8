"""A node's sockets, as its settings ask for: those it listens on, and a pair for each upstream."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from twisted.logger import Logger

from imagepipe.config.settings import Peer, ReplicationSettings
from imagepipe.core.replication.endpoints import announced_sync, sync_of
from imagepipe.errors import StartError
from imagepipe.replication.link_changes import link_name
from imagepipe.replication.zmq.curve_keys import NodeKeys
from imagepipe.replication.zmq.sockets import (
    DealerSocket,
    PubSocket,
    RouterSocket,
    Sockets,
    SubSocket,
)
from imagepipe.replication.zmq.zmq_socket import Frames

_log = Logger()


@dataclass(frozen=True, slots=True)
class MessageHandlers:
    """Where incoming messages go. head, reply: from the peer with this name. request: from a
    subscriber's connection, with the key of the subscriber.
    """

    head: Callable[[str, Frames], None]
    reply: Callable[[str, Frames], None]
    request: Callable[[bytes, Frames, bytes], None]


@dataclass(frozen=True, slots=True)
class _SocketPair:
    """The sockets for one upstream, which publishes on `endpoint`."""

    endpoint: str
    sub: SubSocket
    dealer: DealerSocket

    def close(self) -> None:
        self.sub.close()
        self.dealer.close()


class PeerSockets:
    """All sockets of a node, open until `close`. A message to a peer or client that is gone is
    dropped.

    announced: the sync endpoint that each peer announced, if it did. Raises StartError, and then
    nothing is open.
    """

    def __init__(
        self,
        settings: ReplicationSettings,
        keys: NodeKeys | None,
        handlers: MessageHandlers,
        announced: Mapping[str, str],
    ) -> None:
        self.publish = ""
        self.sync = ""
        self._keys = keys
        self._handlers = handlers
        self._sockets = Sockets(keys)
        self._pub: PubSocket | None = None
        self._router: RouterSocket | None = None
        self._links: dict[str, _SocketPair] = {}
        try:
            if settings.publish and settings.sync:
                self._pub = self._sockets.pub(settings.publish)
                self._router = self._sockets.router(settings.sync, handlers.request)
                self.publish, self.sync = self._pub.endpoint, self._router.endpoint
            self._links = self._open_all(settings.subscribe, announced)
        except StartError:
            self.close()
            raise
        if self._pub:
            _log.info(
                "replication: publishing on {publish}, answering on {sync}",
                publish=self.publish,
                sync=self.sync,
            )

    @property
    def announced(self) -> str:
        """The sync endpoint that this node announces."""
        return announced_sync(self.publish, self.sync) if self._pub else ""

    def replace(self, gone: Sequence[str], new: Sequence[Peer], keys: NodeKeys | None) -> None:
        """Replace peers and add keys. Raises StartError, and then nothing has changed."""
        before, self._keys = self._keys, keys
        try:
            opened = self._open_all(new, {})
        except StartError:
            self._keys = before
            raise
        for name in gone:
            self._links.pop(name).close()
        self._links |= opened
        if keys:
            self._sockets.reload_keys(keys)

    def close(self) -> None:
        """Close all sockets. Blocks for a second at most."""
        self._pub = self._router = None
        self._links = {}
        self._sockets.close()

    def notify(self, frames: Frames) -> None:
        """Send to all subscribers."""
        if self._pub:
            self._pub.send(frames)

    def send_request(self, name: str, frames: Frames) -> None:
        """Send to the upstream with this name."""
        if link := self._links.get(name):
            link.dealer.send(frames)

    def send_reply(self, client: bytes, frames: Frames) -> None:
        """Send to the subscriber that asked from this connection."""
        if self._router:
            self._router.send(client, frames)

    def redirect(self, name: str, announced: str) -> None:
        """Send requests to the sync endpoint that this peer announced. Raises StartError if that is
        not a valid endpoint.
        """
        if link := self._links.get(name):
            link.dealer.reconnect(sync_of(link.endpoint, announced))

    def _open_all(
        self, peers: Sequence[Peer], announced: Mapping[str, str]
    ) -> dict[str, _SocketPair]:
        opened: dict[str, _SocketPair] = {}
        try:
            for peer in peers:
                name = link_name(peer)
                opened[name] = self._open(peer, name, announced.get(name, ""))
        except StartError:
            for link in opened.values():
                link.close()
            raise
        return opened

    def _open(self, peer: Peer, name: str, announced: str) -> _SocketPair:
        key = self._keys.key_of(name) if self._keys else None
        sub = self._sockets.sub(peer.endpoint, key, partial(self._handlers.head, name))
        try:
            dealer = self._sockets.dealer(
                sync_of(peer.endpoint, announced), key, partial(self._handlers.reply, name)
            )
        except StartError:
            sub.close()
            raise
        return _SocketPair(peer.endpoint, sub, dealer)
