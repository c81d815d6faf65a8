"""The node's ZeroMQ sockets in Twisted's reactor: the only module that knows txZMQ, and where it is mended.

    publisher    PUB      binds       -> every subscriber that keeps up
    subscriber   SUB      connects    <- everything
    server       ROUTER   binds       <- requests of many clients, -> answers, by the client's identity
    client       DEALER   connects    -> requests, <- answers

Nothing here is reliable: `send` says False for what was certainly dropped, and True is no promise. Every queue is bounded and nothing blocks:
what does not fit is dropped. All calls and callbacks are on the reactor thread; txZMQ knows the global reactor alone.

What must be kept in mind of ZeroMQ's file descriptor: it is an edge, not a level. Whoever touches the socket (send, connect, ...) may take the edge that
announced a message, so that each touch must be followed by a read; and a read must go on until there is nothing left, or come back by itself.
"""

import contextlib
import os
import secrets
import threading
from collections.abc import Callable, Sequence
from typing import Any

import zmq
from twisted.logger import Logger
from txzmq import ZmqConnection, ZmqFactory
from zmq.utils.monitor import parse_monitor_message

from imagepipe.errors import StartError
from imagepipe.replication import binding
from imagepipe.replication.gate import Gate
from imagepipe.replication.keys import NodeKeys
from imagepipe.replication.seldom import Seldom
from imagepipe.replication.zap import DOMAIN, Gatekeeper
from imagepipe.replication.zmtp import Bounds

Frames = Sequence[bytes]
"""One message: at least one frame."""

READS_PER_TURN_MAX = 64
"""Messages that one socket may deliver before the reactor's other events have their turn."""

REQUEST_BYTES_MAX = 64 << 10
"""The size of a frame that whoever connects may send us; without keys, of a message."""

ANSWER_BYTES_MAX = 1 << 20
"""The size of a frame in an answer."""

_READ_AGAIN_SECONDS = 0.1
_CLOSING_SECONDS_MAX = 1.0
_PUBLISHED_MAX = 1000
_REQUESTS_MAX = 64
_ANSWERS_MAX = 16  # a peer has nine requests under way; one that does not read costs their answers' size times this
_SUBSCRIPTIONS_MAX = 16

_RENEWAL_SECONDS = 5.0

_REFUSED = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
_GIVEN_UP = _REFUSED | zmq.EVENT_DISCONNECTED
_GOES_ON = zmq.EVENT_CONNECT_RETRIED | zmq.EVENT_HANDSHAKE_SUCCEEDED

_Options = Sequence[tuple[int, Any]]

_log = Logger()


class Sockets:
    """All ZeroMQ sockets of a node, in one context. With `keys` every one of them is CURVE, and only authorised keys get in; without, those that
    listen on TCP do so behind a gate.

    Make it in startService, not before: threads do not survive the fork of a daemon. `reconnect_seconds_max`: how long at most between two attempts
    to reach a peer that is away.
    """

    def __init__(self, keys: NodeKeys | None, reconnect_seconds_max: float = 30.0) -> None:
        self._keys = keys
        self._factory = _Factory()
        self._closed = False
        self._common: _Options = (
            (zmq.HEARTBEAT_IVL, 5000),
            (zmq.HEARTBEAT_TIMEOUT, 15000),
            (zmq.HEARTBEAT_TTL, 15000),
            (zmq.HANDSHAKE_IVL, 5000),
            (zmq.CONNECT_TIMEOUT, 10000),
            (zmq.RECONNECT_IVL, 100),
            (zmq.RECONNECT_IVL_MAX, int(reconnect_seconds_max * 1000)),
        )
        self._gatekeeper = None if keys is None else Gatekeeper(self._factory.context, keys)

    def publisher(self, endpoint: str) -> "Publisher":
        """A PUB that listens there; port 0 or * is any free one. StartError if it cannot."""
        options = [(zmq.SNDHWM, _PUBLISHED_MAX), (zmq.MAXMSGSIZE, REQUEST_BYTES_MAX)]
        return Publisher(self._factory, zmq.PUB, [*self._serving(endpoint), *options], endpoint, self._bounds(_SUBSCRIPTIONS_MAX))

    def subscriber(self, endpoint: str, peer_key: bytes | None, received: Callable[[Frames], None]) -> "Subscriber":
        """A SUB that hears everything published there; the peer need not be there yet. `received` gets the frames of one message."""
        options = [(zmq.RCVHWM, _PUBLISHED_MAX), (zmq.MAXMSGSIZE, REQUEST_BYTES_MAX), (zmq.SUBSCRIBE, b"")]
        return Subscriber(self._factory, zmq.SUB, [*self._calling(peer_key), *options], endpoint, received)

    def server(self, endpoint: str, received: Callable[[bytes, Frames], None]) -> "Server":
        """A ROUTER that listens there. `received` gets the identity of a client's connection, to answer by, and the frames of one message."""
        options = [(zmq.ROUTER_MANDATORY, 1), (zmq.SNDHWM, _ANSWERS_MAX), (zmq.RCVHWM, _REQUESTS_MAX), (zmq.MAXMSGSIZE, REQUEST_BYTES_MAX)]
        return Server(self._factory, zmq.ROUTER, [*self._serving(endpoint), *options], endpoint, self._bounds(), received)

    def client(self, endpoint: str, peer_key: bytes | None, received: Callable[[Frames], None]) -> "Client":
        """A DEALER that sends there while it is connected, and only then."""
        options = [(zmq.IMMEDIATE, 1), (zmq.SNDHWM, _REQUESTS_MAX), (zmq.RCVHWM, _REQUESTS_MAX), (zmq.MAXMSGSIZE, ANSWER_BYTES_MAX)]
        return Client(self._factory, zmq.DEALER, [*self._calling(peer_key), *options], endpoint, received)

    def reload_keys(self, keys: NodeKeys) -> None:
        """Admit the peers of `keys` from now on. Open connections stay, and so does this node's own pair."""
        if self._gatekeeper is None:
            raise StartError("this node was started without keys: restart it to use them")
        self._gatekeeper.admit(keys)

    def close(self) -> None:
        """End every socket; nothing is called back after it. May be called twice, and blocks for a second at most."""
        if self._closed:
            return
        self._closed = True
        for connection in tuple(self._factory.connections):
            connection.close()
        if self._gatekeeper:
            self._gatekeeper.stop()
        # The context ends once its threads have let go of everything: at once, but for one that waits for a name server. The process then ends
        # without it.
        ending = threading.Thread(target=self._factory.context.term, daemon=True)
        ending.start()
        ending.join(_CLOSING_SECONDS_MAX)

    def _serving(self, endpoint: str) -> _Options:
        binding.make_way(endpoint)
        if self._keys is None:
            return self._common
        # Enforced: were nobody there to ask who may connect, everybody might.
        allowed = ((zmq.CURVE_SERVER, 1), (zmq.ZAP_DOMAIN, DOMAIN.encode()), (zmq.ZAP_ENFORCE_DOMAIN, 1))
        return (*self._common, (zmq.CURVE_PUBLICKEY, self._keys.public), (zmq.CURVE_SECRETKEY, self._keys.secret), *allowed)

    def _bounds(self, messages_max: int | None = None) -> Bounds | None:
        """What a stranger may send; None where nobody is a stranger."""
        return Bounds(REQUEST_BYTES_MAX, messages_max) if self._keys is None else None

    def _calling(self, peer_key: bytes | None) -> _Options:
        if self._keys is None:
            return self._common
        assert peer_key is not None
        return (
            *self._common,
            (zmq.CURVE_PUBLICKEY, self._keys.public),
            (zmq.CURVE_SECRETKEY, self._keys.secret),
            (zmq.CURVE_SERVERKEY, peer_key),
        )


class _Factory(ZmqFactory):  # type: ignore[misc]  # txZMQ has no types
    """One context. Two threads: the one that serves is not held up by the other, which looks up peers' names, and waits for it."""

    ioThreads = 2  # noqa: N815 - txZMQ's names
    lingerPeriod = 0  # noqa: N815


class _Connection(ZmqConnection):  # type: ignore[misc]
    """txZMQ's connection, mended. Invariant: while it is open, a read is scheduled or ZeroMQ will signal the next message."""

    def __init__(self, factory: _Factory, kind: int, options: _Options, endpoint: str) -> None:
        self.socketType = kind
        self.endpoint = endpoint
        self._closed = False
        self._complaints = Seldom(_log, factory.reactor.seconds)
        self.read_scheduled: Any
        try:
            super().__init__(factory)  # without an endpoint: the options come first
        except zmq.ZMQError as error:
            raise binding.cannot("make a socket for", endpoint, error) from None
        for option, value in options:
            self.socket.set(option, value)

    def close(self) -> None:
        """End it; nothing is called back after it. May be called twice."""
        self.shutdown()

    def shutdown(self) -> None:
        if not self._closed:
            self._closed = True
            super().shutdown()

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        self._unschedule()
        seconds = 0.0
        try:
            for _ in range(READS_PER_TURN_MAX):
                if self._closed:
                    return
                self.messageReceived(self._readMultipart())
        except zmq.Again:  # nothing left, and the next one will be signalled
            return
        except zmq.ZMQError as error:
            self._complaints.warn("cannot read from {endpoint}: {error}", endpoint=self.endpoint, error=error)
            self.recv_parts: list[bytes] = []
            seconds = _READ_AGAIN_SECONDS
        self._read_soon(seconds)

    def messageReceived(self, message: list[bytes]) -> None:  # noqa: N802 - txZMQ's name
        try:
            self._deliver(message)
        except Exception:  # noqa: BLE001 - whatever it is, the next message is read
            self._complaints.failure("a message of {endpoint} could not be handled", endpoint=self.endpoint)

    def _deliver(self, message: list[bytes]) -> None:
        """Hand a message to who waits for it; a PUB has none."""

    def _send(self, frames: Frames) -> bool:
        if self._closed:
            return False
        whole = True
        try:
            for number, frame in enumerate(frames, 1):
                try:
                    self.socket.send(frame, zmq.DONTWAIT | (zmq.SNDMORE if number < len(frames) else 0))
                except zmq.ZMQError:
                    # Full, or nobody there. At the first frame nothing has been sent. Later, when the connection is lost between two frames, libzmq
                    # takes back those before and drops those that follow up to the last: it must get them, or it would drop the next message.
                    if number == 1:
                        return False
                    whole = False
        finally:
            self._read_soon()
        return whole

    def _read_soon(self, seconds: float = 0.0) -> None:
        if self.read_scheduled is None and not self._closed:
            self.read_scheduled = self.factory.reactor.callLater(seconds, self.doRead)

    def _unschedule(self) -> None:
        scheduled, self.read_scheduled = self.read_scheduled, None
        if scheduled is not None and scheduled.active():
            scheduled.cancel()


class _Bound(_Connection):
    """One that listens; `endpoint` is where, with the port that the system chose. With `bounds`, a gate stands before TCP."""

    def __init__(self, factory: _Factory, kind: int, options: _Options, endpoint: str, bounds: Bounds | None) -> None:
        super().__init__(factory, kind, [(zmq.AFFINITY, 0b01), (zmq.IPV6, "[" in endpoint), *options], endpoint)
        self._file: binding.SocketFile | None = None
        self._gate: Gate | None = None
        try:
            if bounds is not None and endpoint.startswith("tcp:"):
                self._bind_behind_gate(endpoint, bounds)
            else:
                self._bind(endpoint)
        except StartError:
            self.close()
            raise
        self._read_soon()

    def shutdown(self) -> None:
        if not self._closed:
            if self._gate is not None:
                self._gate.close()
            if self._file is not None:
                self._file.remove()
        super().shutdown()

    def _bind(self, endpoint: str) -> None:
        try:
            self.socket.bind(endpoint)
        except zmq.ZMQError as error:
            raise binding.cannot("bind", endpoint, error) from None
        self.endpoint: str = self.socket.get(zmq.LAST_ENDPOINT).decode()
        self._file = binding.bound(self.endpoint)

    def _bind_behind_gate(self, endpoint: str, bounds: Bounds) -> None:
        name = f"imagepipe-{secrets.token_hex(16)}"  # an abstract socket: no file, and nobody but this process gets in
        self.socket.set(zmq.IPC_FILTER_PID, os.getpid())
        self._bind(f"ipc://@{name}")
        self._gate = Gate(self.factory.reactor, endpoint, f"\0{name}", bounds)
        self.endpoint = self._gate.endpoint


class _Connected(_Connection):
    """One that calls, again and again: it never gives up."""

    def __init__(self, factory: _Factory, kind: int, options: _Options, endpoint: str, received: Callable[[Frames], None]) -> None:
        super().__init__(factory, kind, [(zmq.AFFINITY, 0b10), *options], endpoint)
        self._received = received
        self._renewal: Any = None
        self._renewal_seconds = min(_RENEWAL_SECONDS, self.socket.get(zmq.RECONNECT_IVL_MAX) / 1000)
        events = f"inproc://events-{id(self)}"
        self.socket.monitor(events, _GIVEN_UP | _GOES_ON)
        self._monitor = _Monitor(factory, events, self._happened)
        try:
            self._connect(endpoint)
        except StartError:
            self.close()
            raise

    def shutdown(self) -> None:
        if not self._closed:
            self._goes_on()
            self._monitor.close()
        super().shutdown()

    def _connect(self, endpoint: str) -> None:
        try:
            self.socket.set(zmq.IPV6, "[" in endpoint)
            self.socket.connect(endpoint)
        except zmq.ZMQError as error:
            raise binding.cannot("connect to", endpoint, error) from None
        finally:
            self._read_soon()

    def _disconnect(self) -> None:
        with contextlib.suppress(zmq.ZMQError):  # libzmq has forgotten it already
            self.socket.disconnect(self.endpoint)
        self._read_soon()

    def _happened(self, event: int) -> None:
        """Go on where libzmq does not.

        It connects again when a connection is lost, but never to a peer that once said something wrong: one that did not know our key yet, a stranger on
        its port, or itself by way of a cable that flips bits.
        """
        if event & _GOES_ON:
            self._goes_on()
        elif self._renewal is None:
            self._renewal = self.factory.reactor.callLater(self._renewal_seconds, self._renew)
        if event & _REFUSED:
            self._complaints.warn("no understanding with {endpoint}: are the keys right, on both sides, and is it imagepipe?", endpoint=self.endpoint)

    def _renew(self) -> None:
        self._renewal = None
        self._disconnect()
        self._connect(self.endpoint)

    def _goes_on(self) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            self._renewal = None

    def _deliver(self, message: list[bytes]) -> None:
        self._received(message)


class _Monitor(_Connection):
    """Hears what happens to the connection of another socket."""

    def __init__(self, factory: _Factory, endpoint: str, happened: Callable[[int], None]) -> None:
        self._happened = happened
        super().__init__(factory, zmq.PAIR, [], endpoint)
        self.socket.connect(endpoint)
        self._read_soon()

    def _deliver(self, message: list[bytes]) -> None:
        self._happened(parse_monitor_message(message)["event"])


class Publisher(_Bound):
    """Sends to whoever listens and keeps up."""

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        self._unschedule()
        if not self._closed:
            self.socket.get(zmq.EVENTS)  # there is nothing to read; but this is when libzmq takes subscriptions in

    def send(self, frames: Frames) -> bool:
        """Send to all; a subscriber with 1000 messages waiting misses this one."""
        return self._send(frames)


class Subscriber(_Connected):
    """Hears a publisher."""


class Server(_Bound):
    """Answers clients."""

    def __init__(
        self, factory: _Factory, kind: int, options: _Options, endpoint: str, bounds: Bounds | None, received: Callable[[bytes, Frames], None]
    ) -> None:
        self._received = received
        super().__init__(factory, kind, options, endpoint, bounds)

    def send(self, client: bytes, frames: Frames) -> bool:
        """Send to one client; False if it is gone, or 16 messages wait for it."""
        return self._send((client, *frames))

    def _deliver(self, message: list[bytes]) -> None:
        self._received(message[0], message[1:])


class Client(_Connected):
    """Calls a server, and hears its answers."""

    def send(self, frames: Frames) -> bool:
        """Send it; False if there is no connection, or 64 messages wait for it."""
        return self._send(frames)

    def reconnect(self, endpoint: str) -> None:
        """Call there from now on, and drop the connection to the endpoint before; StartError, and nothing has changed, if it is none.

        Nothing happens if it is the same: a connection that is lost comes back by itself.
        """
        if self._closed or endpoint == self.endpoint:
            return
        self._connect(endpoint)
        self._disconnect()
        self.endpoint = endpoint
