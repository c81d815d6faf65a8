"""A connection of a client: pipelined requests, turns between connections, and closing.

While a client does not read its answers, no further requests are read from it: the answers would
fill the memory.
"""

from collections.abc import Callable
from typing import Any, Protocol, cast

from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import BAD_REQUEST, REQUEST_TIMEOUT, SERVICE_UNAVAILABLE, HTTPChannel

from imagepipe.core.requests.client_timeouts import Phase, PhaseWait
from imagepipe.web.http.clients import network_of
from imagepipe.web.http.connections import Connections
from imagepipe.web.http.fast_path import FastAnswer, plain_get
from imagepipe.web.http.refusal import write_refusal
from imagepipe.web.http.request import BoundedRequest, RequestSite
from imagepipe.web.http.request_record import RequestRecord
from imagepipe.web.http.timeouts import Watchdog

REQUEST_HEADER_FIELDS_TOO_LARGE = 431

SLICE_BYTES = 8 << 10

BUFFERED_BYTES_MAX = 64 << 10
"""How much of a body is buffered while the client's credentials are checked."""

ANSWERS_IN_A_TURN_MAX = 16
"""How many requests of one connection are answered before other connections get their turn."""

SILENCE_SECONDS = 2.0
"""A connection of a site that is being drained is closed after this long without traffic: a client
that has just connected, or keeps using it, loses nothing.
"""

_log = Logger()


class ChannelSite(RequestSite, Protocol):
    """What a connection needs of its site. acknowledged: the bytes that a transport's client has
    received.
    """

    connections: Connections
    draining: bool
    acknowledged: Callable[[Any], int]

    def channel_opened(self, channel: "BoundedChannel") -> None:
        """Count it among the open connections."""
        ...

    def channel_closed(self, channel: "BoundedChannel") -> None:
        """Forget it."""
        ...


class BoundedChannel(HTTPChannel):
    """A connection that gets an answer even where Twisted would only close it, and on which a
    request begins only when there is room for the answers before it.

    When its site is drained it is closed: by the next answer, which announces it, or when nothing
    has arrived for SILENCE_SECONDS.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_full = False
        self._answers = 0  # since data arrived, or since the last turn of the reactor
        self._going_on = False
        self._turn: Any = None  # an IDelayedCall: the next turn
        self._answered: BoundedRequest | None = None
        # the data so far ends like a request without a body, so no half request is buffered
        self._ends_well = True
        self._client: str | None = None
        self._network: str | None = None
        self._used = 0.0  # when it was opened, data arrived, or an answer was finished
        self._silence: Any = None  # an IDelayedCall: checks whether it is silent
        self._has_begun = False  # whether anything has arrived
        self.watch = cast(Watchdog, None)  # from connectionMade on

    @property
    def request_line(self) -> tuple[bytes, bytes, bytes]:
        """The method, target and version of the request whose headers arrived last."""
        private: Any = self
        # Twisted passes them to the request only when its body has arrived
        return private._command, private._path, private._version

    def connectionMade(self) -> None:
        site = self._our_site
        site.channel_opened(self)
        self._used = site.seconds()
        self.watch = Watchdog(
            site.seconds, self.callLater, lambda: site.acknowledged(self.transport), self._expired
        )
        super().connectionMade()
        if not site.connections.add(self, self._used):
            self._reject()
        elif site.draining:
            self.drain()

    @property
    def wait(self) -> PhaseWait:
        """What the server is waiting for on this connection."""
        return self.watch.wait

    @property
    def body_started(self) -> BoundedRequest | None:
        """The request whose body is arriving."""
        if self.wait.phase is not Phase.BODY:
            return None
        return cast(BoundedRequest, self.requests[-1])

    @property
    def network(self) -> str:
        """The network of the client; all unix sockets count as one."""
        if self._network is None:
            self._network = network_of(getattr(self.getPeer(), "host", None) or "127.0.0.1")
        return self._network

    @property
    def is_read_only(self) -> bool:
        """Whether the request under way changes nothing, at least until its password is checked."""
        if not self.requests:
            return False
        request = cast(BoundedRequest, self.requests[0])
        return request.is_being_checked or request.method in (b"GET", b"HEAD")

    def hold(self) -> None:
        """Stop reading the current request, but notice if the client disconnects."""
        self.watch.enter(Phase.WORK)
        self.paused = True

    def release(self) -> None:
        """Continue reading the request's body."""
        self.watch.enter(Phase.BODY)
        self.paused = False
        if not self._is_full:
            cast(Any, self)._networkProducer.resumeProducing()
        super().dataReceived(b"")

    def ask_for_body(self) -> None:
        """Answer `Expect: 100-continue`."""
        private: Any = self
        if private._version == b"HTTP/1.1":
            private._send100Continue()

    def make_room(self) -> None:
        """Close the connection now, because its descriptor is needed."""
        cast(Any, self.transport).abortConnection()

    def drain(self) -> None:
        """Close the connection: with the answer under way if that can still announce it, with the
        next one, or when nothing arrives.
        """
        if self.requests and not self.requests[0].startedWriting:
            self.persistent = False
            self.requests[0].responseHeaders.setRawHeaders(b"connection", [b"close"])
        elif not self._silence:
            self._close_if_silent()

    def checkPersistence(self, request: Any, version: bytes) -> bool:
        persists: bool = super().checkPersistence(request, version)
        if persists and self._our_site.draining:
            request.responseHeaders.setRawHeaders(b"connection", [b"close"])
            return False
        return persists

    def dataReceived(self, data: bytes) -> None:
        self._used = self._our_site.seconds()
        self._has_begun = True
        if (
            not self._going_on
        ):  # the data has just arrived, and was not buffered since the last answer
            self._answers = 0
            if self._is_between_requests and self._take_fast_path(data):
                return
            self._ends_well = data.endswith(b"\r\n\r\n")
            if self.wait.phase is Phase.IDLE:
                self.watch.enter(Phase.HEAD)
        if self.requests and len(data) <= cast(BoundedRequest, self.requests[-1]).awaited_bytes:
            self._take(data)
            return
        # In slices, because a connection that is closing reads no more: 64 KiB of one-byte chunks
        # would take 70 ms of the reactor's thread before that.
        for start in range(0, len(data), SLICE_BYTES):
            if cast(Any, self.transport).disconnecting:
                return
            self._take(data[start : start + SLICE_BYTES])

    def _take(self, data: bytes) -> None:
        super().dataReceived(data)
        self._stop_reading_if_full()

    def _stop_reading_if_full(self) -> None:
        private: Any = self
        if self.paused and len(private._buffer) > BUFFERED_BYTES_MAX:
            private._networkProducer.pauseProducing()

    @property
    def _is_between_requests(self) -> bool:
        """Whether the next data is a new request, which the fast path may answer."""
        return (
            not (self.requests or self._is_full or self._our_site.draining)
            and self._ends_well
            and not cast(Any, self.transport).disconnecting
        )

    def _take_fast_path(self, data: bytes) -> bool:
        site = self._our_site
        fast_path = site.content.fast_path
        asked = plain_get(data) if fast_path else None
        answer = fast_path(asked) if fast_path and asked else None
        if answer is None:
            return False
        self.watch.enter(Phase.IDLE)
        cast(Any, self.transport).writeSequence((answer.head, answer.body))
        if self._client is None:
            self._client = getattr(self.getPeer(), "host", "-")
        site.log(_FastResponse(self._client, answer, site.seconds() - self._used))
        return True

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        for call in (self._turn, self._silence):
            if call:
                call.cancel()
        self.watch.stop()
        super().connectionLost(reason)
        self._our_site.channel_closed(self)

    def loseConnection(self) -> None:
        self.watch.close()
        super().loseConnection()

    def allContentReceived(self) -> None:
        self.watch.enter(Phase.WORK)
        super().allContentReceived()

    def pauseProducing(self) -> None:
        self._is_full = True
        self.watch.block()
        super().pauseProducing()

    def resumeProducing(self) -> None:
        self._is_full = False
        self.watch.unblock()
        super().resumeProducing()
        self._stop_reading_if_full()
        self._begin_next()

    def requestDone(self, request: BoundedRequest) -> None:
        self._used = self._our_site.seconds()
        self._answers += 1
        if self.persistent and (self._is_full or self._answers >= ANSWERS_IN_A_TURN_MAX):
            self._answered = request
            self._turn = self._turn or self.callLater(0, self._next_turn)
        else:
            self._go_on_after(request)

    def _next_turn(self) -> None:
        self._answers, self._turn = 0, None
        self._begin_next()

    def _begin_next(self) -> None:
        """Continue with the requests after the last answered one, if they were held back and need
        not be any longer.
        """
        if not self._is_full and self._answered:
            answered, self._answered = self._answered, None
            self._go_on_after(answered)

    def _go_on_after(self, request: BoundedRequest) -> None:
        has_more = bool(cast(Any, self)._dataBuffer)  # of the next request
        self.watch.enter(Phase.HEAD if has_more else Phase.IDLE)
        was_going_on, self._going_on = self._going_on, True
        try:
            super().requestDone(request)
        # from the requests after it, whose client would wait for ever
        except Exception:
            _log.failure("a connection failed")
            cast(Any, self.transport).abortConnection()
        finally:
            self._going_on = was_going_on
        if self.persistent and self._our_site.draining:
            self.drain()

    @property
    def _our_site(self) -> ChannelSite:
        return cast(ChannelSite, cast(Any, self).site)

    def _close_if_silent(self) -> None:
        self._silence = None
        if self.requests:
            return  # its answer closes the connection
        remaining = self._used + SILENCE_SECONDS - self._our_site.seconds()
        if remaining > 0:
            self._silence = self.callLater(remaining, self._close_if_silent)
            return
        self.loseConnection()
        # TLS would wait for the client, which may not look at its idle connections
        if self.isSecure():
            cast(Any, self.transport).transport.loseConnection()

    def _reject(self) -> None:
        if self.isSecure():  # a refusal would have to wait for the handshake
            self.make_room()
        else:
            self._refuse(SERVICE_UNAVAILABLE)

    def _expired(self, phase: Phase) -> None:
        """The client has kept the server waiting too long."""
        if phase is Phase.ANSWER or not self._has_begun:
            cast(Any, self.transport).abortConnection()
        elif phase is Phase.IDLE:
            self.loseConnection()
        elif phase is Phase.BODY:
            cast(BoundedRequest, self.requests[-1]).time_out()
        else:
            self._refuse(REQUEST_TIMEOUT)

    def lineLengthExceeded(self, line: bytes) -> None:
        self._refuse(REQUEST_HEADER_FIELDS_TOO_LARGE)

    # Twisted's own answer has no body
    def _respondToBadRequestAndDisconnect(self) -> None:
        self._refuse(BAD_REQUEST)

    def _refuse(self, status: int) -> None:
        why = write_refusal(self.transport, status, self._our_site.refusal)
        _log.info(
            "{client} was refused before its request could be read: {status} {why}",
            client=self.getPeer().host,
            status=status,
            why=why,
        )
        self.loseConnection()


class _FastResponse:
    """A request that the fast path answered, for the log."""

    def __init__(self, client: str, answer: FastAnswer, seconds: float) -> None:
        self.client_host = client
        self.method = b"GET"
        self.code = answer.status
        self.received_bytes = 0
        self.sentLength = len(answer.body)
        self.seconds = seconds
        self.record = RequestRecord(answer.call, answer.path, result=answer.result)
