"""The gate in front of a listening TCP socket: Twisted listens, inspects what comes in (zmtp,
curve), and passes it on to libzmq.

    client --TCP--> gate --abstract unix socket, for this process only--> libzmq
           <----------------------- unchanged --------------------------

With keys, libzmq checks who may connect; but it would accept any number of connections from clients
that have not proved a key.
"""

import fcntl
import os
import re
import socket
import struct
from collections import Counter
from typing import Any, cast

import zmq
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.logger import Logger

from imagepipe.errors import StartError
from imagepipe.replication.zmq.curve import CurveInspection, is_worth_a_warning
from imagepipe.replication.zmq.endpoint_errors import endpoint_error
from imagepipe.replication.zmq.zmtp import Inspection, InspectionLimits, ProtocolViolation
from imagepipe.runtime.rate_limited_log import RateLimitedLog
from imagepipe.runtime.reactor import NetworkReactor

CONNECTIONS_MAX = 100
"""Each takes three file descriptors, of which a process often has only a thousand."""

_ENDPOINT = re.compile(
    r"tcp://(?:\[(?P<v6>[^]]+)\]|(?P<host>[^:\[\]]+)):(?P<port>\d{1,5}|\*)", re.ASCII
)
_SIOCGIFADDR = 0x8915
_INTERFACE_NAME_MAX = 15  # IFNAMSIZ, less the zero at its end

_log = Logger()


class Gate(Factory):
    """Listens at `endpoint` for the ZeroMQ socket that is bound to `inner`, until `close`.
    Invariant: at most CONNECTIONS_MAX connections.

    When it is full, a new connection replaces the oldest that has not sent READY; if there is none,
    the oldest from the address with the most connections, if that address has at least two more
    than the new one. Otherwise the new connection is refused.
    """

    noisy = False

    def __init__(
        self, reactor: NetworkReactor, endpoint: str, inner: str, limits: InspectionLimits
    ) -> None:
        self.reactor = reactor
        self.inner = inner
        self.limits = limits
        self.connections: dict[_ClientSide, None] = {}
        self._rate_limited_log = RateLimitedLog(_log, reactor.seconds)
        host, port = _address(endpoint)
        try:
            # a tcp.Port, which can do more than its interface says
            self._port = cast(
                Any, reactor.listenTCP(port, cast(Any, self), backlog=128, interface=host)
            )
        except CannotListenError as error:
            raise endpoint_error("bind", endpoint, error.socketError) from None
        shown = f"[{host}]" if ":" in host else host
        self.endpoint = f"tcp://{shown}:{self._port.getHost().port}"

    def close(self) -> None:
        """Stop listening and close every connection, at once."""
        self._port.stopReading()
        # stopListening would take a turn of the reactor: the port is free when this returns
        self._port.connectionLost(None)
        for connection in tuple(self.connections):
            connection.end()

    def buildProtocol(self, addr: Any) -> Protocol | None:
        if len(self.connections) >= CONNECTIONS_MAX:
            leaving = next(
                (connection for connection in self.connections if not connection.inspection.ready),
                None,
            ) or self._oldest_of_busiest_host(addr.host)
            if leaving is None:
                self._rate_limited_log.warn(
                    "refused a connection from {host}: {count} peers are connected already",
                    host=addr.host,
                    count=len(self.connections),
                )
                return None
            leaving.end()
        return _ClientSide(self, addr.host)

    def _oldest_of_busiest_host(self, newcomer: str) -> "_ClientSide | None":
        """The oldest connection of the address that has the most; None if the address `newcomer`
        has about as many.
        """
        counts = Counter(connection.host for connection in self.connections)
        host, most = counts.most_common(1)[0]
        if most < counts[newcomer] + 2:
            return None
        return next(connection for connection in self.connections if connection.host == host)

    def complain(self, host: str, why: str) -> None:
        """Log, at a limited rate, that a connection was closed."""
        self._rate_limited_log.warn("closed the connection from {host}: {why}", host=host, why=why)


class _ClientSide(Protocol):
    """A connection from a client, and the connection to libzmq that belongs to it. Both end
    together.
    """

    transport: Any

    def __init__(self, gate: Gate, host: str) -> None:
        self.inspection = (
            CurveInspection(gate.limits) if gate.limits.has_keys else Inspection(gate.limits)
        )
        self._gate = gate
        self.host = host
        self._began = gate.reactor.seconds()
        self._libzmq_side = _LibzmqSide(self)
        gate.connections[self] = None

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.transport.pauseProducing()  # until there is a connection to libzmq
        self._gate.reactor.connectUNIX(
            self._gate.inner, _LibzmqSideFactory(self._libzmq_side, self.end)
        )

    def joined(self) -> None:
        """The connection to libzmq is open: from now on each side reads no faster than the other
        can be written to.
        """
        if self not in self._gate.connections:
            self._libzmq_side.transport.abortConnection()
            return
        self.transport.registerProducer(self._libzmq_side.transport, True)
        self._libzmq_side.transport.registerProducer(self.transport, True)
        self.transport.resumeProducing()

    def dataReceived(self, data: bytes) -> None:
        try:
            passed = self.inspection.feed(data)
        except ProtocolViolation as why:
            if is_worth_a_warning(why, self._gate.reactor.seconds() - self._began):
                self._gate.complain(self.host, str(why))
            self.end()
        else:
            self._libzmq_side.transport.write(passed)

    def connectionLost(self, reason: Any = None) -> None:
        self.end()

    def end(self) -> None:
        """Close both connections; may be called twice."""
        if self in self._gate.connections:
            del self._gate.connections[self]
            for transport in (self.transport, self._libzmq_side.transport):
                if transport is not None:
                    transport.abortConnection()


class _LibzmqSide(Protocol):
    """The connection to libzmq."""

    transport: Any

    def __init__(self, client_side: _ClientSide) -> None:
        self.transport = None
        self._client_side = client_side

    def connectionMade(self) -> None:
        self._client_side.joined()

    def dataReceived(self, data: bytes) -> None:
        self._client_side.inspection.note_answer(data)
        self._client_side.transport.write(data)

    def connectionLost(self, reason: Any = None) -> None:
        self._client_side.end()


class _LibzmqSideFactory(ClientFactory):
    noisy = False

    def __init__(self, libzmq_side: _LibzmqSide, failed: Any) -> None:
        self._libzmq_side = libzmq_side
        self._failed = failed

    def buildProtocol(self, addr: Any) -> Protocol:
        return self._libzmq_side

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        self._failed()


def _address(endpoint: str) -> tuple[str, int]:
    """The address and port to listen on. As in libzmq, the host may be *, an address, a host name
    or the name of a network interface.
    """
    match = _ENDPOINT.fullmatch(endpoint)
    if match is None:
        raise endpoint_error("bind", endpoint, zmq.ZMQError(zmq.EINVAL))
    port = 0 if match["port"] == "*" else int(match["port"])
    if match["v6"]:
        return match["v6"], port
    if match["host"] == "*":
        return "0.0.0.0", port
    return _interface_address(match["host"]) or _resolved(match["host"], endpoint), port


def _interface_address(name: str) -> str | None:
    """The IPv4 address of an interface. Asked of an ordinary socket, because a sandbox around the
    daemon may forbid netlink, which socket.if_nameindex uses.
    """
    if len(os.fsencode(name)) > _INTERFACE_NAME_MAX:
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            answer = fcntl.ioctl(any_socket, _SIOCGIFADDR, struct.pack("256s", os.fsencode(name)))
        except OSError:  # no such interface, or it has no address
            return None
    return socket.inet_ntoa(answer[20:24])


def _resolved(host: str, endpoint: str) -> str:
    try:
        [(*_, address), *_] = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        raise StartError(f"cannot bind {endpoint}: this machine has no such address") from None
    return str(address[0])
