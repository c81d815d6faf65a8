"""A request whose body is bounded: one that is too large, or does not fit on the disk, is refused.

The refusal is sent at once, for clients that read while they send. The rest of the body is read and
discarded, for clients that do not: if the connection were closed, they would never see the answer.
"""

import contextlib
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from io import BytesIO
from typing import IO, Any, Protocol, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.http import (
    BAD_REQUEST,
    INSUFFICIENT_STORAGE_SPACE,
    INTERNAL_SERVER_ERROR,
    REQUEST_ENTITY_TOO_LARGE,
    REQUEST_TIMEOUT,
    SERVICE_UNAVAILABLE,
)
from twisted.web.http_headers import Headers
from twisted.web.server import NOT_DONE_YET

from imagepipe.core.requests.client_timeouts import Phase
from imagepipe.core.requests.targets import origin_form
from imagepipe.errors import InternalError, quoted
from imagepipe.web.http.body_memory import LARGE_BODY_BYTES, BodyMemory
from imagepipe.web.http.refusal import (
    Authenticate,
    Denial,
    Refusal,
    refusal_headers,
    refuse_encoded,
    write_refusal,
)
from imagepipe.web.http.request_record import RequestRecord
from imagepipe.web.http.site_content import SiteContent

T = TypeVar("T")

REFUSED_BYTES_READ_MAX = 1 << 30
"""How much of a refused body is read and discarded."""

CHUNKS_MAX = 1000
"""How many chunks a body may consist of, plus one for each CHUNK_BYTES_MIN of it: parsing a chunk
takes 7 microseconds of the reactor's thread.
"""

CHUNK_BYTES_MIN = 64

_log = Logger()


class RequestSite(Protocol):
    """What a request needs of its site. seconds: a monotonic clock."""

    content: SiteContent
    refusal: Refusal
    memory: BodyMemory
    shows_stages: bool
    seconds: Callable[[], float]

    def find_room(self, request: "BoundedRequest", size: int) -> bool:
        """Count `size` more bytes of the body of `request`; False if there is no room for them."""
        ...

    def spool(self, change: int, of_request: int) -> bool:
        """Count a change of the bytes kept for a request that has `of_request`."""
        ...

    def log(self, request: Any) -> None:
        """Log a request that has been answered."""
        ...


class BoundedRequest(server.Request):
    """A request whose body is at most as large as the content of its site allows when it begins.

    `is_gone`: the client has disconnected, and nothing can be sent any more.
    `is_being_checked`: its password is being checked, and nothing has been done for it yet.
    """

    def __init__(self, channel: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(channel, *args, **kwargs)
        self.record = RequestRecord()
        self._site: RequestSite = channel.site
        self._body_bytes_max = 0
        self._declared_bytes = 0
        self._received_bytes = 0
        self._chunks = 0
        self._spooled_bytes = 0
        self._refused = 0
        self._keeps_body = True
        self._hung_up = False
        self._answers = 0  # running coroutines of `answer_with`
        self._began = 0.0
        self._content: SiteContent | None = None  # whose `unanswered` it is one of
        self.is_gone = False
        self.is_being_checked = False

    @property
    def client_host(self) -> str:
        """The client's address; a dash for a unix socket."""
        return getattr(self.getClientAddress(), "host", "-")

    @property
    def received_bytes(self) -> int:
        """The length of the body so far."""
        return self._received_bytes

    @property
    def awaited_bytes(self) -> int:
        """How much of a body of declared length is still to come."""
        return self._declared_bytes - self._received_bytes

    def gotLength(self, length: int | None) -> None:
        self._began = self._site.seconds()
        self._declared_bytes = length or 0
        if length != 0:
            cast(Any, self.channel).watch.enter(Phase.BODY)
        content = self._site.content
        self._body_bytes_max = content.body_bytes_max
        self.method, self.uri, version = cast(Any, self.channel).request_line
        self._keeps_body = self.method == b"POST"
        hosts = len(self.requestHeaders.getRawHeaders(b"host", ()))
        if hosts > 1 or (hosts == 0 and version == b"HTTP/1.1"):
            # RFC 9112, section 3.2
            self._refuse(BAD_REQUEST, "a request must have exactly one Host header")
        elif denied := content.guard(self):
            self._refuse(denied.status, denied.why)
        elif self._keeps_body and length is not None and length > self._body_bytes_max:
            self._refuse(REQUEST_ENTITY_TOO_LARGE)
        elif (
            self._keeps_body
            and length != 0
            and (denied := content.admit(self) or refuse_encoded(self))
        ):
            self._refuse(denied.status, denied.why)  # before the body takes any room
        elif self._keeps_body and length != 0 and content.authenticate:
            self._open_body_if_admitted(length, content.authenticate)
            return
        else:
            self._open_body(length)
        self._drop_body_if_refused()

    def handleContentChunk(self, data: bytes) -> None:
        self._received_bytes += len(data)
        self._chunks += 1
        cast(Any, self.channel).watch.received(len(data))
        if self._hung_up:
            return
        if self._chunks > CHUNKS_MAX + self._received_bytes // CHUNK_BYTES_MIN:
            if not self._refused:
                self._refuse(BAD_REQUEST)
            self._abort()
            return
        if self._refused or not self._keeps_body:
            if self._received_bytes > REFUSED_BYTES_READ_MAX:
                self._abort()
            return
        if self._received_bytes > self._body_bytes_max:
            self._refuse(REQUEST_ENTITY_TOO_LARGE)
            return
        if not self._site.find_room(self, len(data)):
            self._refuse(SERVICE_UNAVAILABLE)
            return
        self._spooled_bytes += len(data)
        try:
            super().handleContentChunk(data)
        except OSError as error:
            self._no_room(error)

    @property
    def spooled_bytes(self) -> int:
        """How many bytes of the body are stored."""
        return self._spooled_bytes

    def make_room(self) -> None:
        """Give up the body for that of a faster client."""
        self._refuse(SERVICE_UNAVAILABLE)
        self._abort()

    def time_out(self) -> None:
        """The body arrives too slowly: refuse it, unless it was refused already, and disconnect."""
        if not self._refused:
            self._refuse(REQUEST_TIMEOUT)
        self._abort()

    def connectionLost(self, reason: Any) -> None:
        self.is_gone = True
        self._release_spool()
        super().connectionLost(reason)
        self._is_answered()

    def finish(self) -> None:
        self._release_spool()
        super().finish()
        self._is_answered()

    def answer_with(self, answer: Coroutine[Any, Any, None]) -> int:
        """Let `answer` run and finish this request; returns what a resource's `render` must return.

        If it raises, or returns without finishing the request, the client gets HTTP 500, or a
        closed connection if an answer has begun.
        """
        self._answers += 1
        deferred = Deferred.fromCoroutine(answer).addBoth(self._answer_ended)
        deferred.addErrback(self.processingFailed)
        return NOT_DONE_YET

    def refuse(self, denied: Denial) -> None:
        """Answer with only a status and a sentence. Nothing may have been written yet."""
        status, refusal = HTTPStatus(denied.status), self._site.refusal
        body = refusal.body % denied.why.encode()
        self.record.path = self._shown_path
        self.record.result = denied.why
        self.responseHeaders = Headers()
        self.setResponseCode(status, status.phrase.encode())
        for name, value in refusal_headers(status, refusal, body):
            self.setHeader(name, value)
        self.write(b"" if self.method == b"HEAD" else body)
        self.finish()

    def processingFailed(self, reason: Failure) -> None:
        """Answer a request whose code failed. Twisted also calls it if `render` raises."""
        _log.failure("a request failed", reason)
        if self.is_gone or self.finished:
            return
        try:
            self._answer_failure()
        except Exception:  # nothing else is left to try
            _log.failure("cannot answer a request")
            self._break_off()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        if not self._refused:
            assert self.content is not None
            try:
                self.content.flush()  # a full disk may show only now
            except OSError as error:
                self._no_room(error)
        if self._refused:
            self.channel.loseConnection()
        else:
            super().requestReceived(command, path, version)

    def process(self) -> None:
        self.record.stages.add("receive", self.seconds)
        # "*" is not a page; Twisted would answer it itself, with an empty answer.
        self.path = origin_form(self.path) if self.path != b"*" else b"/*"
        self._content = self._site.content
        self._content.unanswered += 1
        super().process()

    def take_body(self) -> IO[bytes]:
        """The body, which the caller closes: it outlives the request, because the client may
        disconnect while a thread is still reading.
        """
        body: IO[bytes] | None = self.content
        assert body is not None
        self.content = None
        return body

    @property
    def shows_stages(self) -> bool:
        """Whether the log shows where the time went."""
        return self._site.shows_stages

    def log(self) -> None:
        """Log this request; `finish` does so for an answered one."""
        self._site.log(self)

    @property
    def seconds(self) -> float:
        """How long ago the request began."""
        return self._site.seconds() - self._began

    @property
    def _shown_path(self) -> str:
        return quoted(self.uri.partition(b"?")[0].decode("latin-1"), 200)

    def _is_answered(self) -> None:
        content, self._content = self._content, None
        if content:
            content.unanswered -= 1

    def _answer_ended(self, result: T) -> T:
        self._answers -= 1
        if result is None and not self._answers and not self.finished and not self.is_gone:
            raise RuntimeError("the request was not answered")
        return result

    def _answer_failure(self) -> None:
        error = InternalError()
        if self.startedWriting:
            self.code, self.record.result = error.http_status, str(error)
            self._break_off()
            self.log()
        else:
            self.refuse(Denial(error.http_status, str(error)))

    def _break_off(self) -> None:
        """Close the connection so that a truncated answer does not look complete."""
        if self.channel:
            cast(Any, self.channel).transport.abortConnection()

    def _open_body_if_admitted(self, length: int | None, authenticate: Authenticate) -> None:
        """Read nothing of the body until the client's credentials have been checked."""
        channel: Any = self.channel
        expects = [value.lower() for value in self.requestHeaders.getRawHeaders(b"expect", [])][
            :1
        ] == [b"100-continue"]
        self.requestHeaders.removeHeader(b"expect")
        channel.hold()

        def admitted(denied: Denial | None) -> None:
            if denied:
                self._refuse(denied.status, denied.why)
                return
            self._open_body(length)
            if expects and not self._refused:
                channel.ask_for_body()

        def failed(failure: Failure) -> None:
            if not self.is_gone:
                _log.failure("cannot check credentials", failure)
                self._refuse(INTERNAL_SERVER_ERROR)

        def go_on(_: object) -> None:
            if not self.is_gone:
                self._drop_body_if_refused()
                channel.release()

        def broken(failure: Failure) -> None:
            _log.failure("a connection failed", failure)
            self._break_off()

        checked = (
            Deferred.fromCoroutine(authenticate(self)).addCallback(admitted).addErrback(failed)
        )
        checked.addCallback(go_on).addErrback(broken)

    def _drop_body_if_refused(self) -> None:
        if self._refused:
            self.requestHeaders.removeHeader(b"expect")  # or Twisted would ask for the body
            super().gotLength(0)

    def _open_body(self, length: int | None) -> None:
        if length == 0:
            self.content = BytesIO()
            return
        if length is not None and (body := self._site.memory.body(length)):
            self.content = body
            if length > LARGE_BODY_BYTES:  # read it from its connection in pieces of this size
                cast(Any, self.channel).transport.bufferSize = LARGE_BODY_BYTES
            return
        try:
            super().gotLength(length)
        except OSError as error:
            self._no_room(error)

    def _no_room(self, error: OSError) -> None:
        _log.error("cannot store a request body: {error}", error=error)
        self._refuse(INSUFFICIENT_STORAGE_SPACE)

    def _abort(self) -> None:
        self._hung_up = True
        self.channel.loseConnection()

    def _release_spool(self) -> None:
        self._site.spool(-self._spooled_bytes, self._spooled_bytes)
        self._spooled_bytes = 0

    def _refuse(self, status: int, why: str = "") -> None:
        self._refused = self.code = status
        self._release_spool()
        body, self.content = self.content, BytesIO()
        if body:  # release its space now, not only when the client has sent the rest
            with contextlib.suppress(OSError):
                body.close()
        self.record.path = self._shown_path
        self.record.result = write_refusal(self.channel.transport, status, self._site.refusal, why)
        self._site.log(self)
