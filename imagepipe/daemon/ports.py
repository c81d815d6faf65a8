"""The ports that the settings name, and listening on them: on others from one moment to the next,
without closing what is open.

`systemd:` endpoints are sockets that were handed over at the start (sd_listen_fds(3)). They stay
open as long as the process, whether they are listened on or not, because nobody hands them over
again; what waits in them, waits for the next process.
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
"""Connections that wait to be accepted. Where there is no more room, as with Twisted's 50, a client
tries again only after a second, then three, then seven.
"""


@dataclass(frozen=True, slots=True)
class Listener:
    """A port to listen on: its name, a server endpoint string of Twisted, and the scheme of its
    URL, with which it is the same port as with another.
    """

    name: str
    endpoint: str
    scheme: str = field(compare=False)


def listeners_of(settings: Settings) -> tuple[Listener, ...]:
    """What to listen on."""
    network, http = settings.network, settings.http
    methods = Listener(XML_RPC, _endpoint(network), "https" if network.is_encrypted else "http")
    pages = Listener(HTTP, _endpoint(http), "https" if http.is_encrypted else "http")
    return (methods, pages) if http.is_enabled else (methods,)


class Ports:
    """The ports that are listened on. `factories`: what each hands its connections to, by its name.
    On the reactor's thread.
    """

    def __init__(self, reactor: Reactor, factories: Mapping[str, Any]) -> None:
        self._reactor = reactor
        self._factories = factories
        self._ports: dict[Listener, Any] = {}  # IListeningPorts

    async def open(self, wanted: Sequence[Listener]) -> Sequence[Listener]:
        """Listen on those of `wanted` that are not listened on, and return them; or on none of
        them: StartError. Nothing is closed.
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
        """Listen on these alone, which are open. Connections that there are stay."""
        given_up = [listener for listener in self._ports if listener not in wanted]
        self._ports = {listener: self._ports[listener] for listener in (*wanted, *given_up)}
        await self.close(given_up)

    async def close(self, listeners: Iterable[Listener]) -> None:
        """Stop listening on these."""
        for listener in listeners:
            await self._ports.pop(listener).stopListening()

    async def close_all(self) -> None:
        """Stop listening."""
        await self.close(tuple(self._ports))

    def address(self, name: str) -> str | None:
        """The IP address that the port of this name listens on; None for a Unix socket."""
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
                    "no such socket was handed over (LISTEN_FDS, LISTEN_FDNAMES)"
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
        """Listen on another address of a port that is about to be closed, such as 0.0.0.0 instead
        of 127.0.0.1: Linux refuses that without SO_REUSEPORT.
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
        """Listen on a copy of a socket that was handed over; the endpoint itself would close it,
        and could not be opened a second time.
        """
        descriptor: int = endpoint.fileno
        os.set_blocking(descriptor, False)
        if endpoint.addressFamily != socket.AF_UNIX:
            return self._reactor.adoptStreamPort(descriptor, endpoint.addressFamily, factory)
        private: Any = unix.Port
        port = private._fromListeningDescriptor(self._reactor, descriptor, factory)
        # or it would change the mode of the manager's socket now, and remove it at the end
        port._bindPath = b"\0"
        port.backlog = BACKLOG
        port.startListening()
        return port


class _SharedPort(tcp.Port):
    """A port that can be bound beside another socket of this user that permits it."""

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
