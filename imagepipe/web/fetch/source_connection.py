"""The connection that fetches one URL from an untrusted server.

Addresses are checked when they are resolved, and exactly these addresses are connected to: the name
cannot point elsewhere in between, and all spellings of 127.0.0.1 are caught. A name is refused if
any of its addresses is not allowed.

Everything received besides the body (status line, headers, 1xx answers, chunk lengths, trailers) is
bounded in proportion to the body: Twisted's parser stores any number of headers, and is slow with
chunks of one byte.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from imagepipe.core.requests.addresses import is_public
from imagepipe.core.requests.source_urls import SourceUrl
from imagepipe.runtime.reactor import ResolvingReactor

CONNECT_SECONDS_MAX = 10.0

ADDRESSES_MAX = 8
"""How many addresses of a name are tried."""

FRAMING_BYTES_MAX = 16 << 10
"""How much may arrive besides the body, plus a sixteenth of the body: a chunk of 100 bytes has 6
bytes of framing.
"""

_SLICE_BYTES = 4 << 10
"""Data is parsed and counted in slices: otherwise 64 KiB of short lines would take 50 ms of the
reactor's thread before anything is counted, instead of 15 ms.
"""


class SourceConnection:
    """One request to one server. The reader of the body adds to `body_bytes`."""

    def __init__(
        self,
        reactor: ResolvingReactor,
        url: SourceUrl,
        resolver: Any,
        https_policy: Any,
        *,
        any_address: bool,
    ) -> None:
        self.body_bytes = 0
        self._reactor = reactor
        self._url = url
        self._resolver = _CheckedResolver(
            resolver, url.host, (lambda _: True) if any_address else is_public
        )
        self._endpoints = _Endpoints(reactor, url, self._resolver, https_policy, self)
        self._wire: _BoundedProtocol | None = None

    @property
    def address_refused(self) -> bool:
        """Whether it was refused because of an address."""
        return self._resolver.refused

    @property
    def resolving(self) -> bool:
        """Whether the name is still being resolved: when that is cancelled, HostnameEndpoint
        reports an error of the name.
        """
        return not self._resolver.complete

    @property
    def exceeded_limit(self) -> bool:
        """Whether it was aborted because too much arrived besides the body."""
        return self._wire is not None and self._wire.exceeded_limit

    @property
    def was_cut_off(self) -> bool:
        """Whether the server or the network ended it without an orderly close."""
        return self._wire is not None and self._wire.was_cut_off

    async def get(self, user_agent: str) -> Any:
        """The IResponse, once its headers have arrived. Fails as Twisted's Agent does."""
        agent = Agent.usingEndpointFactory(self._reactor, self._endpoints)
        headers = {
            "Host": self._url.authority,
            "User-Agent": user_agent,
            "Accept": "*/*",
            "Accept-Encoding": "identity",
        }
        return await agent.request(
            b"GET",
            self._url.url.encode(),
            Headers({name: [value] for name, value in headers.items()}),
        )

    def connected(self, wire: "_BoundedProtocol") -> None:
        """Called by the endpoint."""
        self._wire = wire

    def abort(self) -> None:
        """End it now, without waiting for the server. Nothing is received afterwards."""
        if self._wire is not None:
            self._wire.abort()


@implementer(IAgentEndpointFactory)
class _Endpoints:
    """The one endpoint of a connection, as Agent wants it."""

    def __init__(
        self,
        reactor: ResolvingReactor,
        url: SourceUrl,
        resolver: "_CheckedResolver",
        https_policy: Any,
        connection: SourceConnection,
    ) -> None:
        self._reactor = reactor
        self._url = url
        self._resolver = resolver
        self._https_policy = https_policy
        self._connection = connection

    def endpointForURI(self, uri: URI) -> "_Endpoints":
        # Agent has parsed the URL itself. If the result differs from what was checked, nothing is
        # sent.
        url = self._url
        if (uri.scheme, uri.host, uri.port, uri.originForm) != (
            url.scheme.encode(),
            url.host.encode(),
            url.port,
            url.resource.encode(),
        ):
            raise ValueError(f"Twisted reads {url.without_query} in another way")
        return self

    def connect(self, factory: Any) -> Deferred[Protocol]:
        factory.noisy = False
        url = self._url
        # The resolver knows the name. HostnameEndpoint does not accept names like my_service, which
        # containers have.
        endpoint: Any = HostnameEndpoint(
            _ResolvingReactor(self._reactor, self._resolver),
            "source",
            url.port,
            timeout=CONNECT_SECONDS_MAX,
        )
        if url.scheme == "https":
            endpoint = wrapClientTLS(
                self._https_policy.creatorForNetloc(url.host.encode(), url.port), endpoint
            )
        return cast(
            Deferred[Protocol],
            endpoint.connect(_BoundedFactory(factory, self._connection)).addCallback(
                self._connected
            ),
        )

    def _connected(self, wire: "_BoundedProtocol") -> Protocol:
        self._connection.connected(wire)
        return cast(Protocol, wire.wrappedProtocol)


@implementer(IReactorPluggableNameResolver)
class _ResolvingReactor:
    """The reactor with another resolver: HostnameEndpoint always uses that of its reactor."""

    def __init__(self, reactor: ResolvingReactor, resolver: Any) -> None:
        self._reactor = reactor
        self.nameResolver = resolver

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


@implementer(IHostnameResolver, IResolutionReceiver)
class _CheckedResolver:
    """Resolves one name once: passes on the addresses from another resolver if all of them are
    permitted, otherwise none.
    """

    def __init__(
        self, resolver: IHostnameResolver, name: str, permitted: Callable[[str], bool]
    ) -> None:
        self.complete = False
        self.refused = False
        self._resolver = resolver
        self._name = name
        self._permitted = permitted
        self._found: list[Any] = []
        self._receiver: Any = None

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        self._receiver = resolutionReceiver
        return self._resolver.resolveHostName(
            self, self._name, portNumber, addressTypes, transportSemantics
        )

    def resolutionBegan(self, resolution: Any) -> None:
        self._receiver.resolutionBegan(resolution)

    def addressResolved(self, address: Any) -> None:
        self._found.append(address)

    def resolutionComplete(self) -> None:
        self.complete = True
        self.refused = not all(self._permitted(address.host) for address in self._found)
        for address in [] if self.refused else self._found[:ADDRESSES_MAX]:
            self._receiver.addressResolved(address)
        self._receiver.resolutionComplete()


class _BoundedProtocol(ProtocolWrapper):
    """Sits between the socket, or TLS, and Twisted's HTTP."""

    def __init__(self, factory: "_BoundedFactory", wrapped: Any) -> None:
        super().__init__(cast(Any, factory), wrapped)
        self.exceeded_limit = False
        self.was_cut_off = False
        self._connection = factory.connection
        self._received_bytes = 0
        self._aborted = False

    def dataReceived(self, data: bytes) -> None:
        for start in range(0, len(data), _SLICE_BYTES):
            if self._aborted:
                return
            piece = data[start : start + _SLICE_BYTES]
            self._received_bytes += len(piece)
            super().dataReceived(piece)
            # up to date: the body is consumed at once
            body_bytes = self._connection.body_bytes
            if (
                not self._aborted
                and self._received_bytes - body_bytes > FRAMING_BYTES_MAX + body_bytes // 16
            ):
                self.exceeded_limit = True
                self.abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.was_cut_off = not reason.check(ConnectionDone)
        super().connectionLost(reason)

    def abort(self) -> None:
        self._aborted = True
        cast(Any, self.transport).abortConnection()


class _BoundedFactory(WrappingFactory):
    protocol = _BoundedProtocol
    noisy = False

    def __init__(self, wrapped: Any, connection: SourceConnection) -> None:
        super().__init__(wrapped)
        self.connection = connection
