"""A site: its content, which can be replaced while it serves, the limits for all its requests
together, and a log line for each.
"""

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.web import server

from imagepipe.core.requests.client_timeouts import slowest_body
from imagepipe.web.http.body_memory import BodyMemory
from imagepipe.web.http.channel import BoundedChannel
from imagepipe.web.http.connections import Connections
from imagepipe.web.http.refusal import PLAIN_TEXT, Refusal
from imagepipe.web.http.request import BoundedRequest
from imagepipe.web.http.request_record import RequestRecord
from imagepipe.web.http.site_content import SiteContent
from imagepipe.web.http.timeouts import acknowledged_bytes

SPOOLED_BYTES_MAX = 2 << 30
"""The limit for the bodies of all requests of a site together; one body always fits."""

METHOD_LENGTH_MAX = 20
"""In the log."""

_log = Logger()


class LoggingSite(server.Site):
    """A site that logs with twisted.logger, can be drained, and whose content can be replaced while
    it serves.

    connections: shared with the other sites of the process. acknowledged: the bytes that a
    transport's client has received.
    """

    noisy = False  # the daemon logs what it listens on
    protocol = cast(Any, BoundedChannel)

    def __init__(
        self,
        content: SiteContent,
        seconds: Callable[[], float],
        *,
        connections: Connections | None = None,
        acknowledged: Callable[[Any], int] = acknowledged_bytes,
        refusal: Refusal = PLAIN_TEXT,
        on_answered: Callable[[Any], None] = lambda _: None,
        shows_stages: bool = False,
    ) -> None:
        super().__init__(
            content.resource, requestFactory=BoundedRequest, parsePOSTFormSubmission=False
        )
        self.timeOut = None  # of Twisted's own: each connection has a Watchdog
        self.connections = connections or Connections()
        self.acknowledged = acknowledged
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

    def acceptableProtocols(self) -> list[bytes]:
        """Only HTTP/1.1: if the package h2 is installed, Twisted would offer HTTP/2, which
        BoundedChannel does not support.
        """
        return [b"http/1.1"]

    def serve(self, content: SiteContent) -> None:
        """Answer with `content` from now on; requests that have been received completely are still
        answered with the old one.
        """
        self.content, self.resource = content, content.resource
        self.draining = False

    def drain(self) -> "Deferred[None]":
        """Close every connection as soon as no request is lost by it; fires when none are left.

        A request that has begun, or begins now, is answered, and its answer announces that the
        connection will be closed.
        """
        self.draining = True
        for channel in tuple(self.channels):
            channel.drain()
        deferred: Deferred[None] = Deferred()
        self._empty.append(deferred)
        self._fire_if_drained()
        return deferred

    def channel_opened(self, channel: BoundedChannel) -> None:
        """Count it among the open connections."""
        self.channels.add(channel)

    def channel_closed(self, channel: BoundedChannel) -> None:
        """Forget it."""
        self.channels.discard(channel)
        self.connections.remove(channel)
        self._fire_if_drained()

    def _fire_if_drained(self) -> None:
        if not self.channels:
            waiting, self._empty = self._empty, []
            for deferred in waiting:
                deferred.callback(None)

    def spool(self, change: int, of_request: int) -> bool:
        """Count a change in the size of a body that takes `of_request` bytes; False, and not
        counted, if there is no room for all bodies.
        """
        together = self._spooled_bytes + change
        if change > 0 and together > SPOOLED_BYTES_MAX and self._spooled_bytes > of_request:
            return False
        self._spooled_bytes = together
        return True

    def find_room(self, request: BoundedRequest, size: int) -> bool:
        """Count `size` more bytes for `request`, giving up slower bodies if necessary; False if
        there is no room.
        """
        while not self.spool(size, request.spooled_bytes):
            bodies = [one for channel in self.channels if (one := channel.body_started)]
            kept = ((one, one.received_bytes, one.seconds) for one in bodies if one.spooled_bytes)
            slowest = slowest_body(kept)
            if slowest is None or slowest is request:
                return False
            slowest.make_room()
        return True

    def log(self, request: Any) -> None:
        """Log one line per request; never its body or its headers."""
        record: RequestRecord = request.record
        self._on_answered(request)
        total_seconds = request.seconds
        _log.info(
            "{client} {method} {call} {path} {bytes} bytes, {outputs} outputs, waited {waited} ms,"
            " ran {ran} ms, {total} ms in all: {status} {result}",
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
            _log.info(
                "{call} {path} took {stages} ms",
                call=record.call,
                path=record.path,
                stages=record.stages.text(total_seconds),
            )
