"""What an operator sees over HTTP (design.md, section 7). Nothing here waits for a thread: the pages are there while the reactor turns.

    /healthz      200 while the process can serve
    /readyz       200 while it takes writes, else 503 and a line that says why
    /status       NodeStatus as text; /status.json as JSON, in the names of its fields
    /metrics      Prometheus' text format

They are read and nothing else: GET and HEAD. They show what goes on inside and name the peers: a server in front should not pass them on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from twisted.web.resource import Resource

from imagepipe.monitoring.status import StatusReader
from imagepipe.web.site import BoundedRequest
from imagepipe.web.status_text import as_text

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Content:
    """What a page answers with."""

    media_type: str
    body: bytes
    status: int = HTTPStatus.OK


class Page(Resource):
    """One path, made anew for each request; below it there is nothing."""

    methods: frozenset[bytes] = frozenset({b"GET", b"HEAD"})

    def __init__(self, name: str, content: Callable[[], Content]) -> None:
        super().__init__()
        self._name = name
        self._content = content

    def getChild(self, path: bytes, request: BoundedRequest) -> Resource:  # noqa: N802, ARG002 - Twisted's name
        return _Nothing(f"below {self._name}", lambda: _refusal(HTTPStatus.NOT_FOUND, "there is nothing below this page"))

    def render(self, request: BoundedRequest) -> bytes:
        """Answer a GET or HEAD."""
        request.record.call, request.record.path = "page", self._name
        if request.method in self.methods:
            content = self._content()
        else:
            request.setHeader(b"allow", b"GET, HEAD")
            content = _refusal(HTTPStatus.METHOD_NOT_ALLOWED, "this page is for GET and HEAD")
        request.setResponseCode(content.status)
        request.record.result = HTTPStatus(content.status).phrase
        request.setHeader(b"content-type", content.media_type.encode())
        request.setHeader(b"content-length", b"%d" % len(content.body))
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"x-content-type-options", b"nosniff")
        return b"" if request.method == b"HEAD" else content.body


class _Nothing(Page):
    """What is not there, whatever is asked of it."""

    def render(self, request: BoundedRequest) -> bytes:
        self.methods = frozenset({request.method})
        return super().render(request)


def status_pages(reader: StatusReader, registry: CollectorRegistry) -> Mapping[bytes, Page]:
    """The pages by their paths' only component; `registry` has the metrics."""

    def readyz() -> Content:
        why = reader.not_ready()
        return Content(TEXT, b"ok\n") if why is None else Content(TEXT, f"{why}\n".encode(), HTTPStatus.SERVICE_UNAVAILABLE)

    contents: dict[str, Callable[[], Content]] = {
        "healthz": lambda: Content(TEXT, b"ok\n"),
        "readyz": readyz,
        "status": lambda: Content(TEXT, as_text(reader.read()).encode()),
        "status.json": lambda: Content(JSON, msgspec.json.format(msgspec.json.encode(reader.read())) + b"\n"),
        "metrics": lambda: Content(CONTENT_TYPE_LATEST, generate_latest(registry)),
    }
    return {name.encode(): Page(name, content) for name, content in contents.items()}


def _refusal(status: HTTPStatus, why: str) -> Content:
    return Content(JSON, msgspec.json.encode({"error": why}) + b"\n", status)
