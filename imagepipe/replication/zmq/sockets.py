"""The node's ZeroMQ sockets in Twisted's reactor.

    PUB      listens     -> every subscriber that keeps up
    SUB      connects    <- everything
    ROUTER   listens     <- requests of many clients, -> answers, by the client's identity
    DEALER   connects    -> requests, <- answers

Nothing here is reliable: `send` returns False if a message was certainly dropped, but True is no
promise. Every queue is bounded and nothing blocks: what does not fit is dropped. All calls and
callbacks are on the reactor's thread.
"""

import threading
from collections.abc import Callable

import zmq

from imagepipe.errors import StartError
from imagepipe.replication.zmq.connecting_socket import ConnectingSocket
from imagepipe.replication.zmq.curve_keys import NodeKeys
from imagepipe.replication.zmq.ipc_path import check_is_free
from imagepipe.replication.zmq.listening_socket import ListeningSocket
from imagepipe.replication.zmq.zap import DOMAIN, ZapHandler
from imagepipe.replication.zmq.zmq_socket import Factory, Frames, Options
from imagepipe.replication.zmq.zmtp import InspectionLimits

REQUEST_BYTES_MAX = 64 << 10
"""The largest frame that a connecting peer may send; without keys, the largest message."""

ANSWER_BYTES_MAX = 1 << 20
"""The largest frame in an answer."""

UNANSWERED_BYTES_MAX = 4 << 20
"""How much a peer with a valid key may send without being answered: the queue holds 64 requests of
the largest size.
"""

SUBSCRIBER_BYTES_MAX = 256 << 10
"""How much a subscriber with a valid key may send in all.

It subscribes once, and its heartbeats add up to this in four hours. Then it has to reconnect.
"""

SUBSCRIPTION_BYTES_MAX = 512
"""The largest frame that a subscriber may send: its INITIATE has 292 bytes.

libzmq needs 50 bytes of memory for each byte of a subscription, and walks through all of them, on
the reactor's thread, when any subscriber leaves. Ours subscribe to everything, which takes no
bytes.
"""

_ENCRYPTED_SUBSCRIPTION_BYTES_MAX = 48
"""The same, once the key is proved: a subscription to everything has 43 bytes, a heartbeat 40."""

_CLOSING_SECONDS_MAX = 1.0
_PUBLISHED_MAX = 1000
_REQUESTS_MAX = 64
# a peer has nine requests under way; one that does not read costs memory for this many answers
_ANSWERS_MAX = 16
_SUBSCRIPTIONS_MAX = 16


class Sockets:
    """All ZeroMQ sockets of a node, in one context. With `keys` all of them use CURVE, and only
    authorised keys are admitted. Those that listen on TCP are behind a gate, with or without keys.

    Construct it in startService, not before: threads do not survive the fork of a daemon.
    `reconnect_seconds_max`: the longest time between two attempts to reach a peer that is down.
    """

    def __init__(self, keys: NodeKeys | None, reconnect_seconds_max: float = 30.0) -> None:
        self._keys = keys
        self._factory = Factory()
        self._closed = False
        self._common: Options = (
            (zmq.HEARTBEAT_IVL, 5000),
            (zmq.HEARTBEAT_TIMEOUT, 15000),
            (zmq.HEARTBEAT_TTL, 15000),
            (zmq.HANDSHAKE_IVL, 5000),
            (zmq.CONNECT_TIMEOUT, 10000),
            (zmq.RECONNECT_IVL, 100),
            (zmq.RECONNECT_IVL_MAX, int(reconnect_seconds_max * 1000)),
        )
        self._zap_handler = None if keys is None else ZapHandler(self._factory.context, keys)

    def pub(self, endpoint: str) -> "PubSocket":
        """Open a PUB that listens at `endpoint`; port 0 or * is any free one. Raises StartError."""
        options = [(zmq.SNDHWM, _PUBLISHED_MAX), (zmq.MAXMSGSIZE, SUBSCRIPTION_BYTES_MAX)]
        limits = InspectionLimits(
            SUBSCRIPTION_BYTES_MAX,
            _SUBSCRIPTIONS_MAX,
            self._keys is not None,
            SUBSCRIBER_BYTES_MAX,
            answers_count=False,
            encrypted_frame_bytes_max=_ENCRYPTED_SUBSCRIPTION_BYTES_MAX,
        )
        return PubSocket(
            self._factory, zmq.PUB, [*self._listening_options(endpoint), *options], endpoint, limits
        )

    def sub(
        self, endpoint: str, peer_key: bytes | None, received: Callable[[Frames], None]
    ) -> "SubSocket":
        """Open a SUB that receives everything published at `endpoint`; the peer need not be up yet.
        `received` gets the frames of one message.
        """
        options = [
            (zmq.RCVHWM, _PUBLISHED_MAX),
            (zmq.MAXMSGSIZE, REQUEST_BYTES_MAX),
            (zmq.SUBSCRIBE, b""),
        ]
        return SubSocket(
            self._factory,
            zmq.SUB,
            [*self._connecting_options(peer_key), *options],
            endpoint,
            received,
        )

    def router(
        self, endpoint: str, received: Callable[[bytes, Frames, bytes], None]
    ) -> "RouterSocket":
        """Open a ROUTER that listens at `endpoint`.

        `received` gets the identity of the client's connection, which an answer is sent to, the
        frames of one message, and the public key that the client has proved, empty without keys.
        """
        options = [
            (zmq.ROUTER_MANDATORY, 1),
            (zmq.SNDHWM, _ANSWERS_MAX),
            (zmq.RCVHWM, _REQUESTS_MAX),
            (zmq.MAXMSGSIZE, REQUEST_BYTES_MAX),
        ]
        has_keys = self._keys is not None
        limits = InspectionLimits(REQUEST_BYTES_MAX, None, has_keys, UNANSWERED_BYTES_MAX)
        return RouterSocket(
            self._factory,
            zmq.ROUTER,
            [*self._listening_options(endpoint), *options],
            endpoint,
            limits,
            received,
            has_keys=has_keys,
        )

    def dealer(
        self, endpoint: str, peer_key: bytes | None, received: Callable[[Frames], None]
    ) -> "DealerSocket":
        """Open a DEALER that sends to `endpoint`, but only while it is connected."""
        options = [
            (zmq.IMMEDIATE, 1),
            (zmq.SNDHWM, _REQUESTS_MAX),
            (zmq.RCVHWM, _REQUESTS_MAX),
            (zmq.MAXMSGSIZE, ANSWER_BYTES_MAX),
        ]
        return DealerSocket(
            self._factory,
            zmq.DEALER,
            [*self._connecting_options(peer_key), *options],
            endpoint,
            received,
        )

    def reload_keys(self, keys: NodeKeys) -> None:
        """Admit the peers of `keys` from now on. Open connections and this node's own key pair
        stay.
        """
        if self._zap_handler is None:
            raise StartError("this node was started without keys: restart it to use them")
        self._zap_handler.admit(keys)

    def close(self) -> None:
        """Close every socket; no callback runs afterwards. May be called twice, and blocks for a
        second at most.
        """
        if self._closed:
            return
        self._closed = True
        for connection in tuple(self._factory.connections):
            connection.close()
        if self._zap_handler:
            self._zap_handler.stop()
        # The context terminates when its threads have released everything: at once, unless one
        # waits for a name server. Then the process ends without it.
        ending = threading.Thread(target=self._factory.context.term, daemon=True)
        ending.start()
        ending.join(_CLOSING_SECONDS_MAX)

    def _listening_options(self, endpoint: str) -> Options:
        check_is_free(endpoint)
        if self._keys is None:
            return self._common
        # Enforced: otherwise everybody could connect if the ZAP handler were gone.
        allowed = (
            (zmq.CURVE_SERVER, 1),
            (zmq.ZAP_DOMAIN, DOMAIN.encode()),
            (zmq.ZAP_ENFORCE_DOMAIN, 1),
        )
        return (
            *self._common,
            (zmq.CURVE_PUBLICKEY, self._keys.public),
            (zmq.CURVE_SECRETKEY, self._keys.secret),
            *allowed,
        )

    def _connecting_options(self, peer_key: bytes | None) -> Options:
        if self._keys is None:
            return self._common
        assert peer_key is not None
        return (
            *self._common,
            (zmq.CURVE_PUBLICKEY, self._keys.public),
            (zmq.CURVE_SECRETKEY, self._keys.secret),
            (zmq.CURVE_SERVERKEY, peer_key),
        )


class PubSocket(ListeningSocket):
    """Sends to every subscriber that keeps up."""

    def doRead(self) -> None:
        self._unschedule()
        if not self._closed:
            # there is nothing to read, but this is when libzmq processes subscriptions
            self.socket.get(zmq.EVENTS)

    def send(self, frames: Frames) -> bool:
        """Send to all; a subscriber with 1000 messages queued misses this one."""
        return self._send(frames)


class SubSocket(ConnectingSocket):
    """Receives from a publisher."""


class RouterSocket(ListeningSocket):
    """Answers clients."""

    def __init__(
        self,
        factory: Factory,
        kind: int,
        options: Options,
        endpoint: str,
        limits: InspectionLimits,
        received: Callable[[bytes, Frames, bytes], None],
        *,
        has_keys: bool,
    ) -> None:
        self._received = received
        self._has_keys = has_keys
        self._key = b""  # of the client whose message was read last
        super().__init__(factory, kind, options, endpoint, limits)

    def send(self, client: bytes, frames: Frames) -> bool:
        """Send to one client; False if it is gone, or 16 messages are queued for it."""
        return self._send((client, *frames))

    def _readMultipart(self) -> list[bytes]:
        if not self._has_keys:
            message: list[bytes] = super()._readMultipart()
            return message
        frames = self.socket.recv_multipart(zmq.DONTWAIT, copy=False)
        # in the form that zap.py compares
        self._key = str(frames[-1].get("User-Id")).encode("ascii", "replace")
        return [frame.bytes for frame in frames]

    def _deliver(self, message: list[bytes]) -> None:
        self._received(message[0], message[1:], self._key)


class DealerSocket(ConnectingSocket):
    """Sends requests to a server, and receives its answers."""

    def send(self, frames: Frames) -> bool:
        """Send a request; False if there is no connection, or 64 messages are queued."""
        return self._send(frames)

    def reconnect(self, endpoint: str) -> None:
        """Send to another endpoint from now on, and close the connection to the previous one.
        Raises StartError if it is not an endpoint, and then nothing has changed.

        Does nothing if the endpoint is the same: a lost connection is restored anyway.
        """
        if self._closed or endpoint == self.endpoint:
            return
        self._connect(endpoint)
        self._disconnect()
        self.endpoint = endpoint
