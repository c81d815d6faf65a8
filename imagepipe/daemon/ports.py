"""The ports named in the settings. Listens on them, and switches to others in a single step without
closing open connections.

`systemd:` endpoints are sockets passed in at the start (sd_listen_fds(3)). They stay open for the
life of the process, even when it does not listen on them, because they are not passed in again;
connections still queued in them wait for the next process.
"""

import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.endpoints import (
    AdoptedStreamServerEndpoint,
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    serverFromString,
)
from twisted.internet.error import CannotListenError

from imagepipe.config.settings import HttpSettings, NetworkSettings, Settings
from imagepipe.errors import StartError
from imagepipe.runtime.reactor import Reactor

XML_RPC = "XML-RPC"
HTTP = "HTTP"

BACKLOG = 1024
"""Connections that may wait to be accepted. When the queue is full, which happens quickly with
Twisted's default of 50, a client retries only after one second, then three, then seven.
"""


@dataclass(frozen=True, slots=True)
class Listener:
    """A port to listen on: its name, a Twisted server endpoint string, and the scheme of its URL,
    which is ignored when listeners are compared.
    """

    name: str
    endpoint: str
    scheme: str = field(compare=False)


def listeners_of(settings: Settings) -> tuple[Listener, ...]:
    """The listeners for these settings."""
    network, http = settings.network, settings.http
    methods = Listener(XML_RPC, _endpoint(network), "https" if network.is_encrypted else "http")
    pages = Listener(HTTP, _endpoint(http), "https" if http.is_encrypted else "http")
    return (methods, pages) if http.is_enabled else (methods,)


class Ports:
    """The open ports. `factories`: the protocol factory of each port, by the port's name. Runs on
    the reactor's thread.
    """

    def __init__(self, reactor: Reactor, factories: Mapping[str, Any]) -> None:
        self._reactor = reactor
        self._factories = factories
        self._ports: dict[Listener, Any] = {}  # IListeningPorts

    async def open(self, wanted: Sequence[Listener]) -> Sequence[Listener]:
        """Listen on those of `wanted` that are not open yet, and return them. If one fails, opens
        none and raises StartError. Closes no other port.
        """
        opened: list[Listener] = []
        leaving = [
            port
            for listener, port in self._ports.items()
            if listener not in wanted and listener.endpoint.startswith("tcp:")
        ]
        for listener in wanted:
            if listener not in self._ports:
                try:
                    self._ports[listener] = await self._listen(listener, leaving)
                except Exception as error:
                    await self.close(opened)
                    raise StartError(f"cannot listen on {listener.endpoint}: {error}") from error
                opened.append(listener)
        return opened

    async def keep(self, wanted: Sequence[Listener]) -> None:
        """Keep these, which must be open, and close all others. Existing connections stay."""
        given_up = [listener for listener in self._ports if listener not in wanted]
        self._ports = {listener: self._ports[listener] for listener in (*wanted, *given_up)}
        await self.close(given_up)

    async def close(self, listeners: Iterable[Listener]) -> None:
        """Stop listening on these."""
        for listener in listeners:
            await self._ports.pop(listener).stopListening()

    async def close_all(self) -> None:
        """Stop listening on all ports."""
        await self.close(tuple(self._ports))

    def address(self, name: str) -> str | None:
        """The IP address of the port with this name; None for a Unix socket."""
        [port] = [port for listener, port in self._ports.items() if listener.name == name]
        return getattr(port.getHost(), "host", None)

    def __str__(self) -> str:
        return " and ".join(
            f"{listener.name} on {_address(listener, port)}"
            for listener, port in self._ports.items()
        )

    async def _listen(self, listener: Listener, leaving: Sequence[Any]) -> Any:
        try:
            endpoint: Any = serverFromString(self._reactor, listener.endpoint)
        except LookupError:
            if listener.endpoint.startswith("systemd:"):
                raise ValueError(
                    "no such socket was passed in (LISTEN_FDS, LISTEN_FDNAMES)"
                ) from None
            raise
        factory = self._factories[listener.name]
        if isinstance(endpoint, AdoptedStreamServerEndpoint):
            return self._adopt(endpoint, factory)
        try:
            return await endpoint.listen(factory)
        except CannotListenError:
            if not isinstance(endpoint, TCP4ServerEndpoint | TCP6ServerEndpoint):
                raise
            beside = [port for port in leaving if port.getHost().port == endpoint._port]
            if not beside:
                raise
            return self._share(endpoint, beside, factory)

    def _share(self, endpoint: Any, beside: Sequence[Any], factory: Any) -> Any:
        """Listen on the port number of a port that is about to be closed, but on another address,
        such as 0.0.0.0 instead of 127.0.0.1. Linux refuses this without SO_REUSEPORT.
        """
        for leaving in beside:
            leaving.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        port = _SharedPort(
            endpoint._port,
            factory,
            endpoint._backlog,
            endpoint._interface,
            self._reactor,
        )
        port.startListening()
        return port

    def _adopt(self, endpoint: Any, factory: Any) -> Any:
        """Listen on a copy of a socket that was passed in. The endpoint itself would close it and
        could not be opened a second time.
        """
        descriptor: int = endpoint.fileno
        os.set_blocking(descriptor, False)
        if endpoint.addressFamily != socket.AF_UNIX:
            return self._reactor.adoptStreamPort(descriptor, endpoint.addressFamily, factory)
        private: Any = unix.Port
        port = private._fromListeningDescriptor(self._reactor, descriptor, factory)
        # otherwise it would change the mode of the manager's socket now and remove it at the end
        port._bindPath = b"\0"
        port.backlog = BACKLOG
        port.startListening()
        return port


class _SharedPort(tcp.Port):
    """A port that shares its number with another socket of this user that has SO_REUSEPORT."""

    def createInternetSocket(self) -> socket.socket:
        created: socket.socket = super().createInternetSocket()
        created.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        return created


def _address(listener: Listener, port: Any) -> str:
    host = port.getHost()
    if not hasattr(host, "port"):
        return listener.endpoint
    name = f"[{host.host}]" if ":" in host.host else host.host
    return f"{listener.scheme}://{name}:{host.port}/"


def _endpoint(listener: NetworkSettings | HttpSettings) -> str:
    interface = listener.interface.replace(":", "\\:")
    return listener.endpoint or f"tcp:{listener.port}:interface={interface}:backlog={BACKLOG}"
