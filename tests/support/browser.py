"""A client of a site in memory: Twisted's own channel, on a transport and a clock that the tests
move.
"""

from typing import Any, cast

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import Resource

from imagepipe.web.http.refusal import Admit, admit_all
from imagepipe.web.http.site import LoggingSite
from imagepipe.web.http.site_content import SiteContent


class Turns(Clock):
    """A clock that advances as a reactor turns: calls made during a turn wait for the next one."""

    def advance(self, amount: float) -> None:
        """Let time pass, and take one turn."""
        self.rightNow += amount
        for call in [call for call in self.calls if call.getTime() <= self.rightNow]:
            if call.active():
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)


class Browser:
    """One connection to a site that serves `page`; `clock` is also the site's. `read_bytes`: what
    it has read.
    """

    def __init__(
        self,
        page: Resource,
        admit: Admit = admit_all,
        *,
        connect: bool = True,
        site: Any = None,
        host: str = "192.0.2.1",
        **options: Any,
    ) -> None:
        self.read_bytes = 0
        transport: Any = StringTransport(peerAddress=IPv4Address("TCP", host, 54321), lenient=True)
        transport.browser = self
        self.transport = transport
        self.site = site or _site(page, admit, options)
        self.clock: Clock = self.site.reactor
        self._channel: Any = self.site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 4))
        if connect:
            self.connect()

    def another(self, host: str = "192.0.2.1") -> "Browser":
        """Another connection to the same site, from this address."""
        return Browser(Resource(), site=self.site, host=host)

    def connect(self) -> None:
        """Make the connection."""
        self._channel.makeConnection(self.transport)

    def drain(self) -> list[None]:
        """Bring the site to an end; the list has something in it once there is no
        connection left.
        """
        drained: list[None] = []
        self.site.drain().addCallback(drained.append)
        return drained

    def serve(self, page: Resource, body_bytes_max: int = 1 << 20) -> None:
        """Replace what the site answers with."""
        self.site.serve(SiteContent(cast(Any, page), body_bytes_max))

    def ask(self, path: str = "/", times: int = 1) -> None:
        """Send GETs, all at once."""
        self.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * times)

    def send(self, said: bytes) -> None:
        """Send bytes."""
        self._channel.dataReceived(said)

    def be_full(self) -> None:
        """What the transport says when there is no more room in it."""
        self.transport.producer.pauseProducing()

    def be_empty(self) -> None:
        """What it says when all of it has gone."""
        self.transport.producer.resumeProducing()

    def wait(self, seconds: float) -> None:
        """Let that much time pass, turn by turn."""
        end = self.clock.seconds() + seconds
        while calls := [
            at for call in self.clock.getDelayedCalls() if (at := call.getTime()) <= end
        ]:
            self.clock.advance(max(0.0, min(calls) - self.clock.seconds()))
        self.clock.advance(end - self.clock.seconds())

    def take_turns(self) -> None:
        """Let the reactor turn until nothing is left to do at once."""
        while any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls()):
            self.clock.advance(0)

    def leave(self) -> None:
        """Close the connection."""
        self._channel.connectionLost(Failure(ConnectionLost()))

    @property
    def is_closed(self) -> bool:
        """Whether the site has closed the connection, or will once the rest is read."""
        return bool(self.transport.disconnecting or self.transport.disconnected)

    @property
    def heard(self) -> bytes:
        """All that came."""
        heard: bytes = self.transport.value()
        return heard

    @property
    def body(self) -> bytes:
        """The body of the first answer, and all that came after it."""
        return self.heard.partition(b"\r\n\r\n")[2]


def _site(page: Resource, admit: Admit, options: Any) -> Any:
    # An IResource and an IReactorTime; zope.interface has no types.
    clock = Turns()
    content = SiteContent(cast(Any, page), 1 << 20, admit, options.pop("authenticate", None))
    site = cast(
        Any,
        LoggingSite(
            content,
            clock.seconds,
            acknowledged=lambda transport: transport.browser.read_bytes,
            **options,
        ),
    )
    site.reactor = clock
    return site
