"""ZeroMQ sockets that call a peer, and never give up: where libzmq would, they notice, and connect again."""

import contextlib
from collections.abc import Callable
from typing import Any

import zmq
from zmq.utils.monitor import parse_monitor_message

from imagepipe.errors import StartError
from imagepipe.replication import binding
from imagepipe.replication.connection import Connection, Factory, Frames, Options

_RENEWAL_SECONDS = 5.0

_REFUSED = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
_GIVEN_UP = _REFUSED | zmq.EVENT_DISCONNECTED
_GOES_ON = zmq.EVENT_CONNECT_RETRIED | zmq.EVENT_HANDSHAKE_SUCCEEDED


class Connected(Connection):
    """One that calls, again and again: it never gives up."""

    def __init__(self, factory: Factory, kind: int, options: Options, endpoint: str, received: Callable[[Frames], None]) -> None:
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


class _Monitor(Connection):
    """Hears what happens to the connection of another socket."""

    def __init__(self, factory: Factory, endpoint: str, happened: Callable[[int], None]) -> None:
        self._happened = happened
        super().__init__(factory, zmq.PAIR, [], endpoint)
        self.socket.connect(endpoint)
        self._read_soon()

    def _deliver(self, message: list[bytes]) -> None:
        self._happened(parse_monitor_message(message)["event"])
