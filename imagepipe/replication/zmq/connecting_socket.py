"""ZeroMQ sockets that connect to a peer and never give up: where libzmq would, they notice and
connect again.

libzmq buffers a message whose last frame never comes, without limit. So the kernel is asked how
many bytes a TCP connection has received, and if that is far more than was delivered, the connection
is closed.
"""

import contextlib
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

import zmq
from zmq.utils.monitor import parse_monitor_message

from imagepipe.errors import StartError
from imagepipe.replication.zmq.endpoint_errors import endpoint_error
from imagepipe.replication.zmq.zmq_socket import Factory, Frames, Options, ZmqSocket

_RENEWAL_SECONDS = 5.0

UNDELIVERED_BYTES_MAX = 16 << 20
"""How many bytes may have been received and not delivered: a message, the messages that wait for
the reactor, and half a year of heartbeats.
"""

_CHECK_SECONDS = 0.5
_BYTES_RECEIVED = 128
"""The offset of tcpi_bytes_received, 64 bits, in struct tcp_info (linux/tcp.h)."""

_FRAME_BYTES = 64
"""The most that a frame takes on the wire beside its body."""

_REFUSED = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)
_FAILED = _REFUSED | zmq.EVENT_DISCONNECTED
_RETRYING = zmq.EVENT_CONNECT_RETRIED | zmq.EVENT_HANDSHAKE_SUCCEEDED


class ConnectingSocket(ZmqSocket):
    """A socket that connects, again and again: it never gives up."""

    def __init__(
        self,
        factory: Factory,
        kind: int,
        options: Options,
        endpoint: str,
        received: Callable[[Frames], None],
    ) -> None:
        super().__init__(factory, kind, [(zmq.AFFINITY, 0b10), *options], endpoint)
        self._received = received
        self._renewal: Any = None
        self._check: Any = None
        self._descriptor = -1  # of libzmq's connection
        self._delivered = 0
        self._renewal_seconds = min(_RENEWAL_SECONDS, self.socket.get(zmq.RECONNECT_IVL_MAX) / 1000)
        events = f"inproc://events-{id(self)}"
        self.socket.monitor(events, _FAILED | _RETRYING | zmq.EVENT_CONNECTED)
        self._monitor = _Monitor(factory, events, self._on_event)
        try:
            self._connect(endpoint)
        except StartError:
            self.close()
            raise

    def shutdown(self) -> None:
        if not self._closed:
            self._cancel_renewal()
            self._cancel_check()
            self._monitor.close()
        super().shutdown()

    def _connect(self, endpoint: str) -> None:
        try:
            self.socket.set(zmq.IPV6, "[" in endpoint)
            self.socket.connect(endpoint)
        except zmq.ZMQError as error:
            raise endpoint_error("connect to", endpoint, error) from None
        finally:
            self._read_soon()

    def _disconnect(self) -> None:
        with contextlib.suppress(zmq.ZMQError):  # libzmq has dropped it already
            self.socket.disconnect(self.endpoint)
        self._read_soon()

    def _on_event(self, event: int, value: int) -> None:
        """Reconnect where libzmq does not.

        It reconnects when a connection is lost, but never to a peer that once violated the
        protocol: one that did not have our key yet, another program on its port, or the peer itself
        over a cable that flips bits.
        """
        self._cancel_check()
        if event & _FAILED:
            self._descriptor = -1
        if event & zmq.EVENT_CONNECTED:
            self._descriptor, self._delivered = value, 0
        if event & (zmq.EVENT_CONNECTED | _RETRYING) and self._descriptor >= 0:
            self._check = self.factory.reactor.callLater(_CHECK_SECONDS, self._check_bytes)
        if event & zmq.EVENT_CONNECTED:
            return
        if event & _RETRYING:
            self._cancel_renewal()
        elif self._renewal is None:
            self._renewal = self.factory.reactor.callLater(self._renewal_seconds, self._renew)
        if event & _REFUSED:
            self._rate_limited_log.warn(
                "the handshake with {endpoint} failed; check the keys on both sides, and that it is"
                " imagepipe that listens there",
                endpoint=self.endpoint,
            )

    def _check_bytes(self) -> None:
        """Close the connection if it receives bytes that are never delivered."""
        self._check = None
        if _received_bytes(self._descriptor) - self._delivered > UNDELIVERED_BYTES_MAX:
            self._rate_limited_log.warn(
                "closed the connection to {endpoint}: it sent a message that is too large",
                endpoint=self.endpoint,
            )
            self._descriptor = -1
            self._disconnect()
            if self._renewal is None:
                self._renewal = self.factory.reactor.callLater(self._renewal_seconds, self._renew)
        else:
            self._check = self.factory.reactor.callLater(_CHECK_SECONDS, self._check_bytes)

    def _cancel_check(self) -> None:
        if self._check is not None:
            self._check.cancel()
            self._check = None

    def _renew(self) -> None:
        self._renewal = None
        self._disconnect()
        self._connect(self.endpoint)

    def _cancel_renewal(self) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            self._renewal = None

    def _deliver(self, message: list[bytes]) -> None:
        self._delivered += sum(map(len, message)) + _FRAME_BYTES * len(message)
        self._received(message)


class _Monitor(ZmqSocket):
    """Receives the events of another socket's connection."""

    def __init__(
        self, factory: Factory, endpoint: str, on_event: Callable[[int, int], None]
    ) -> None:
        self._on_event = on_event
        super().__init__(factory, zmq.PAIR, [], endpoint)
        self.socket.connect(endpoint)
        self._read_soon()

    def _deliver(self, message: list[bytes]) -> None:
        event = parse_monitor_message(message)
        self._on_event(event["event"], event["value"])


def _received_bytes(descriptor: int) -> int:
    """How many bytes a TCP connection has received; 0 if it is gone, or of another kind."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as connection:
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED + 8)
    except OSError:
        return 0
    return (
        int(struct.unpack_from("Q", info, _BYTES_RECEIVED)[0])
        if len(info) == _BYTES_RECEIVED + 8
        else 0
    )
