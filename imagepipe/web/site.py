"""HTTP with bounds: a request body that is too large, or that does not fit on the disk, is answered, not stored; every request is one log line.

A refused body is answered at once, for a client that listens while it sends, and read on without keeping it, for one that does not: closing
the connection on it would cost it the answer.

A client that asks and does not listen is not asked what else it wants: its answers would fill the memory.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import IO, Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.http import (
    BAD_REQUEST,
    INSUFFICIENT_STORAGE_SPACE,
    REQUEST_ENTITY_TOO_LARGE,
    SERVICE_UNAVAILABLE,
    HTTPChannel,
)
from twisted.web.resource import IResource

from imagepipe.core.targets import origin_form
from imagepipe.errors import shown
from imagepipe.stages import Stages
from imagepipe.web.at_once import AnswerAtOnce, Immediate, plain_get
from imagepipe.web.bodies import BodyMemory
from imagepipe.web.refusal import PLAIN_TEXT, Admit, Refusal, admit_all, write_refusal

REQUEST_HEADER_FIELDS_TOO_LARGE = 431

REFUSED_BYTES_READ_MAX = 1 << 30
"""How much of a body that was refused is read on."""

SPOOLED_BYTES_MAX = 2 << 30
"""What the bodies of all requests of a site may take together; there is always room for one."""

CONNECTIONS_MAX = 10_000
"""Of a site; one more is answered and closed."""

CHUNKS_MAX = 1000
"""How many chunks a body may come in, and one more for each CHUNK_BYTES_MIN of it: taking one apart takes the reactor's thread 7 microseconds."""

CHUNK_BYTES_MIN = 64

SLICE_BYTES = 8 << 10

LARGE_BODY_BYTES = 256 << 10
"""Of a body that has more, as much is read from its connection at a time."""

METHOD_LENGTH_MAX = 20
"""Of what the log says."""

ANSWERS_IN_A_TURN_MAX = 16
"""How many requests of one connection are answered before it is another's turn."""

SILENCE_SECONDS = 2.0
"""After so long without a word a connection of a site that is drained is closed: who has just connected, or uses it again and again, loses nothing."""

_log = Logger()


@dataclass(slots=True)
class RequestRecord:
    """What the log says of one request; filled in while it runs."""

    call: str = "-"
    path: str = "-"
    outputs: int = 0
    waited_seconds: float = 0.0
    ran_seconds: float = 0.0
    result: str = ""
    stages: Stages = field(default_factory=Stages)


class BoundedRequest(server.Request):
    """A request whose body has at most as many bytes as its site's content takes; that it is at its beginning which counts.

    `is_gone`: its client is, and nothing can be sent any more.
    """

    def __init__(self, channel: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(channel, *args, **kwargs)
        self.record = RequestRecord()
        self._site: LoggingSite = channel.site
        self._body_bytes_max = 0
        self._declared_bytes = 0
        self._received_bytes = 0
        self._chunks = 0
        self._spooled_bytes = 0
        self._refused = 0
        self._keeps_body = True
        self._hung_up = False
        self._began = 0.0
        self._content: SiteContent | None = None  # whose `unanswered` it is one of
        self.is_gone = False

    @property
    def client_host(self) -> str:
        """The address that it came from; a dash for that of a unix socket."""
        return getattr(self.getClientAddress(), "host", "-")

    @property
    def received_bytes(self) -> int:
        """The length of the body so far."""
        return self._received_bytes

    @property
    def awaited_bytes(self) -> int:
        """How much of a body of declared length is still to come."""
        return self._declared_bytes - self._received_bytes

    def gotLength(self, length: int | None) -> None:  # noqa: N802 - Twisted's name
        self._began = self._site.seconds()
        self._declared_bytes = length or 0
        content = self._site.content
        self._body_bytes_max = content.body_bytes_max
        self.method, self.uri = cast(Any, self.channel).request_line
        self._keeps_body = self.method == b"POST"
        if self._keeps_body and length is not None and length > self._body_bytes_max:
            self._refuse(REQUEST_ENTITY_TOO_LARGE)
        elif self._keeps_body and length != 0 and (denied := content.admit(self)):
            self._refuse(denied.status, denied.why)  # before the body takes any room
        else:
            self._open_body(length)
        if self._refused:
            self.requestHeaders.removeHeader(b"expect")  # or Twisted would ask for the body
            super().gotLength(0)

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802
        self._received_bytes += len(data)
        self._chunks += 1
        if self._hung_up:
            return
        if self._chunks > CHUNKS_MAX + self._received_bytes // CHUNK_BYTES_MIN:
            if not self._refused:
                self._refuse(BAD_REQUEST)
            self._hang_up()
            return
        if self._refused:
            if self._received_bytes > REFUSED_BYTES_READ_MAX:
                self._hang_up()
            return
        if not self._keeps_body:
            if self._received_bytes > REFUSED_BYTES_READ_MAX:
                self._hang_up()
            return
        if self._received_bytes > self._body_bytes_max:
            self._refuse(REQUEST_ENTITY_TOO_LARGE)
            return
        if not self._site.spool(len(data), self._spooled_bytes):
            self._refuse(SERVICE_UNAVAILABLE)
            return
        self._spooled_bytes += len(data)
        try:
            super().handleContentChunk(data)
        except OSError as error:
            self._no_room(error)

    def connectionLost(self, reason: Any) -> None:  # noqa: N802
        self.is_gone = True
        self._release_spool()
        super().connectionLost(reason)
        self._is_answered()

    def finish(self) -> None:
        self._release_spool()
        super().finish()
        self._is_answered()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:  # noqa: N802
        if not self._refused:
            assert self.content is not None
            try:
                self.content.flush()  # what does not fit on the disk may show only now
            except OSError as error:
                self._no_room(error)
        if self._refused:
            self.channel.loseConnection()
        else:
            super().requestReceived(command, path, version)

    def process(self) -> None:
        self.record.stages.add("receive", self.seconds)
        # A request for "*" is one for no page; Twisted would answer it itself, with nothing.
        self.path = origin_form(self.path) if self.path != b"*" else b"/*"
        self._content = self._site.content
        self._content.unanswered += 1
        super().process()

    def take_body(self) -> IO[bytes]:
        """The body, the caller's to close: it outlives the request, whose client may go away while a thread still reads."""
        body: IO[bytes] | None = self.content
        assert body is not None
        self.content = None
        return body

    @property
    def shows_stages(self) -> bool:
        """Whether the log tells where its time went."""
        return self._site.shows_stages

    def log(self) -> None:
        """Write this request's line; `finish` does it for one that is answered."""
        self._site.log(self)

    @property
    def seconds(self) -> float:
        """For how long the request has been there."""
        return self._site.seconds() - self._began

    def _is_answered(self) -> None:
        content, self._content = self._content, None
        if content:
            content.unanswered -= 1

    def _open_body(self, length: int | None) -> None:
        if length == 0:
            self.content = BytesIO()
            return
        if length is not None and (body := self._site.memory.body(length)):
            self.content = body
            if length > LARGE_BODY_BYTES:
                cast(Any, self.channel).transport.bufferSize = LARGE_BODY_BYTES
            return
        try:
            super().gotLength(length)
        except OSError as error:
            self._no_room(error)

    def _no_room(self, error: OSError) -> None:
        _log.error("cannot keep a request body: {error}", error=error)
        self._refuse(INSUFFICIENT_STORAGE_SPACE)

    def _hang_up(self) -> None:
        self._hung_up = True
        self.channel.loseConnection()

    def _release_spool(self) -> None:
        self._site.spool(-self._spooled_bytes, self._spooled_bytes)
        self._spooled_bytes = 0

    def _refuse(self, status: int, why: str = "") -> None:
        self._refused = self.code = status
        self._release_spool()
        self.record.path = shown(self.uri.partition(b"?")[0].decode("latin-1"), 200)
        self.record.result = write_refusal(self.channel.transport, status, self._site.refusal, why)
        self._site.log(self)


class _Answered:
    """A request that was answered at once, for the log."""

    def __init__(self, client: str, answer: Immediate, seconds: float) -> None:
        self.client_host = client
        self.method = b"GET"
        self.code = answer.status
        self.received_bytes = 0
        self.sentLength = len(answer.body)
        self.seconds = seconds
        self.record = RequestRecord(answer.call, answer.path, result=answer.result)


class BoundedChannel(HTTPChannel):
    """A connection that is answered even where Twisted would only close it, and on which a request begins when the answers before it have room.

    Once its site is drained it is closed: by the next answer, which says so, or when nothing has come for SILENCE_SECONDS.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_full = False
        self._answers = 0  # since something came, or a turn of the reactor was waited for
        self._going_on = False
        self._turn: Any = None  # an IDelayedCall: the next turn
        self._answered: BoundedRequest | None = None
        self._ends_well = True  # what has come so far, as a request does that has no body: then no half of one is kept
        self._client: str | None = None
        self._used = 0.0  # when the connection was made, something came, or an answer was done
        self._silence: Any = None  # an IDelayedCall: look whether it is silent

    @property
    def request_line(self) -> tuple[bytes, bytes]:
        """The method and the target of the request whose headers have come last."""
        private: Any = self
        return private._command, private._path  # noqa: SLF001 - Twisted tells a request only when its body is there

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        site = self._our_site
        site.channels.add(self)
        self._used = site.seconds()
        super().connectionMade()
        if len(site.channels) > CONNECTIONS_MAX:
            self._refuse(SERVICE_UNAVAILABLE)
        elif site.draining:
            self.drain()

    def drain(self) -> None:
        """Close it: by the answer that is under way, if that can still say so, by the next one, or when nothing comes."""
        if self.requests and not self.requests[0].startedWriting:
            self.persistent = False
            self.requests[0].responseHeaders.setRawHeaders(b"connection", [b"close"])
        elif not self._silence:
            self._close_if_silent()

    def checkPersistence(self, request: Any, version: bytes) -> bool:  # noqa: N802
        persists: bool = super().checkPersistence(request, version)
        if persists and self._our_site.draining:
            request.responseHeaders.setRawHeaders(b"connection", [b"close"])
            return False
        return persists

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        self._used = self._our_site.seconds()
        if not self._going_on:  # then it has come just now, and was not kept since the last answer
            self._answers = 0
            if self._is_at_a_beginning and self._answer_at_once(data):
                return
            self._ends_well = data.endswith(b"\r\n\r\n")
        if self.requests and len(data) <= cast(BoundedRequest, self.requests[-1]).awaited_bytes:
            super().dataReceived(data)
            return
        # In slices: one that has hung up takes no more, and 64 KiB of chunks of one byte would take the reactor's thread 70 ms before it does.
        for start in range(0, len(data), SLICE_BYTES):
            if cast(Any, self.transport).disconnecting:
                return
            super().dataReceived(data[start : start + SLICE_BYTES])

    @property
    def _is_at_a_beginning(self) -> bool:
        """Whether what comes now is a new request, which may be answered at once."""
        return not (self.requests or self._is_full or self._our_site.draining) and self._ends_well and not cast(Any, self.transport).disconnecting

    def _answer_at_once(self, data: bytes) -> bool:
        site = self._our_site
        answer_at_once = site.content.at_once
        asked = plain_get(data) if answer_at_once else None
        immediate = answer_at_once(asked) if answer_at_once and asked else None
        if immediate is None:
            return False
        self.resetTimeout()
        cast(Any, self.transport).writeSequence((immediate.head, immediate.body))
        if self._client is None:
            self._client = getattr(self.getPeer(), "host", "-")
        site.log(_Answered(self._client, immediate, site.seconds() - self._used))
        return True

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802
        for call in (self._turn, self._silence):
            if call:
                call.cancel()
        super().connectionLost(reason)
        self._our_site.channel_closed(self)

    def pauseProducing(self) -> None:  # noqa: N802
        self._is_full = True
        super().pauseProducing()

    def resumeProducing(self) -> None:  # noqa: N802
        self._is_full = False
        super().resumeProducing()
        self._begin_next()

    def requestDone(self, request: BoundedRequest) -> None:  # noqa: N802
        self._used = self._our_site.seconds()
        self._answers += 1
        if self.persistent and (self._is_full or self._answers >= ANSWERS_IN_A_TURN_MAX):
            self._answered = request
            self._turn = self._turn or self.callLater(0, self._next_turn)
            self.setTimeout(self._our_site.timeOut)
        else:
            self._go_on_after(request)

    def _next_turn(self) -> None:
        self._answers, self._turn = 0, None
        self._begin_next()

    def _begin_next(self) -> None:
        """Take up the requests behind the last that was answered, if they were held back, and need not be any more."""
        if not self._is_full and self._answered:
            answered, self._answered = self._answered, None
            self._go_on_after(answered)

    def _go_on_after(self, request: BoundedRequest) -> None:
        was_going_on, self._going_on = self._going_on, True
        try:
            super().requestDone(request)
        finally:
            self._going_on = was_going_on
        if self.persistent and self._our_site.draining:
            self.drain()

    @property
    def _our_site(self) -> "LoggingSite":
        return cast("LoggingSite", cast(Any, self).site)

    def _close_if_silent(self) -> None:
        self._silence = None
        if self.requests:
            return  # its answer closes the connection
        remaining = self._used + SILENCE_SECONDS - self._our_site.seconds()
        if remaining > 0:
            self._silence = self.callLater(remaining, self._close_if_silent)
            return
        self.loseConnection()
        if self.isSecure():  # TLS would wait for the client to agree, which need not look at its idle connections
            cast(Any, self.transport).transport.loseConnection()

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: N802, ARG002
        self._refuse(REQUEST_HEADER_FIELDS_TOO_LARGE)

    def _respondToBadRequestAndDisconnect(self) -> None:  # noqa: N802 - Twisted's own answer has no body
        self._refuse(BAD_REQUEST)

    def _refuse(self, status: int) -> None:
        why = write_refusal(self.transport, status, self._our_site.refusal)
        _log.info("{client} was refused before its request could be read: {status} {why}", client=self.getPeer().host, status=status, why=why)
        self.loseConnection()


@dataclass(slots=True, eq=False)
class SiteContent:
    """What a site answers with: `resource`, for requests whose body has at most `body_bytes_max` bytes and is admitted. `unanswered`: how many wait.

    at_once: asked before `resource` is, for plain GETs.
    """

    resource: IResource
    body_bytes_max: int
    admit: Admit = admit_all
    at_once: AnswerAtOnce | None = None
    unanswered: int = 0


class LoggingSite(server.Site):
    """A site that logs by twisted.logger, whose content can be replaced while it serves, and that can be brought to an end."""

    noisy = False  # the daemon says itself what it listens on
    protocol = cast(Any, BoundedChannel)

    def __init__(
        self,
        content: SiteContent,
        seconds: Callable[[], float],
        *,
        refusal: Refusal = PLAIN_TEXT,
        on_answered: Callable[[Any], None] = lambda _: None,
        shows_stages: bool = False,
    ) -> None:
        super().__init__(content.resource, requestFactory=BoundedRequest, parsePOSTFormSubmission=False)
        self.displayTracebacks = False
        self.content = content
        self.refusal = refusal
        self._on_answered = on_answered
        self.shows_stages = shows_stages
        self.seconds = seconds
        self.channels: set[BoundedChannel] = set()
        self.draining = False
        self.memory = BodyMemory()
        self._spooled_bytes = 0
        self._empty: list[Deferred[None]] = []

    def serve(self, content: SiteContent) -> None:
        """Answer with this from now on: requests that are whole already are still answered with what there was before."""
        self.content, self.resource = content, content.resource
        self.draining = False

    def drain(self) -> "Deferred[None]":
        """Close every connection as soon as that loses no request; fires when there is none left.

        A request that has begun, or begins now, is answered, and its answer says that the connection is closed.
        """
        self.draining = True
        for channel in tuple(self.channels):
            channel.drain()
        deferred: Deferred[None] = Deferred()
        self._empty.append(deferred)
        self._tell_if_empty()
        return deferred

    def channel_closed(self, channel: BoundedChannel) -> None:
        """It is no more."""
        self.channels.discard(channel)
        self._tell_if_empty()

    def _tell_if_empty(self) -> None:
        if not self.channels:
            waiting, self._empty = self._empty, []
            for deferred in waiting:
                deferred.callback(None)

    def spool(self, change: int, of_request: int) -> bool:
        """Note that a request whose body takes `of_request` bytes takes so many more, or fewer; False, and it is not noted, if there is no room for all."""
        together = self._spooled_bytes + change
        if change > 0 and together > SPOOLED_BYTES_MAX and self._spooled_bytes > of_request:
            return False
        self._spooled_bytes = together
        return True

    def log(self, request: Any) -> None:
        """One line a request; never its body or its headers."""
        record: RequestRecord = request.record
        self._on_answered(request)
        total_seconds = request.seconds
        _log.info(
            "{client} {method} {call} {path} {bytes} bytes, {outputs} outputs, waited {waited} ms, ran {ran} ms, {total} ms in all: {status} {result}",
            client=request.client_host,
            method=request.method.decode("ascii", "replace")[:METHOD_LENGTH_MAX],
            call=record.call,
            path=record.path,
            bytes=request.received_bytes,
            outputs=record.outputs,
            waited=round(record.waited_seconds * 1000),
            ran=round(record.ran_seconds * 1000),
            total=round(total_seconds * 1000),
            status=request.code,
            result=record.result,
        )
        if self.shows_stages:
            _log.info("{call} {path} took {stages} ms", call=record.call, path=record.path, stages=record.stages.text(total_seconds))
