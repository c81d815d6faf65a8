"""What an operator sees over HTTP (docs/design/contract.md, "What an operator sees"). Nothing here
waits for a thread: the pages work as long as the reactor does.

    /healthz      200 while the process can serve
    /readyz       200 while it takes writes, otherwise 503 and a line with the reason
    /status       a page for browsers; NodeStatus as text for other clients
    /status.json  NodeStatus as JSON, with the names of its fields; with ?since=TIME, also the
                  samples since then, for the charts
    /metrics      Prometheus' text format

They are read-only: GET and HEAD. They show internals and name the peers, so a proxy in front should
not pass them on, and they can be restricted to users.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from twisted.web.resource import IResource, Resource

from imagepipe.monitoring.samples import Series
from imagepipe.monitoring.status_reader import StatusReader
from imagepipe.web import status_html
from imagepipe.web.http.auth import AuthenticatedResource
from imagepipe.web.http.passwords import Passwords
from imagepipe.web.http.refusal import Denial
from imagepipe.web.http.request import BoundedRequest
from imagepipe.web.status_text import as_text

TEXT = "text/plain; charset=utf-8"
HTML = status_html.MEDIA_TYPE
JSON = "application/json"

OPEN = frozenset({b"healthz", b"readyz"})
"""The pages that never need credentials."""


@dataclass(frozen=True, slots=True)
class PageContent:
    """The content of an answer. headers: in addition to those of every page."""

    media_type: str
    body: bytes
    status: int = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)


class StatusPage(Resource):
    """One path, whose content is made for each request. It has no children."""

    methods: frozenset[bytes] = frozenset({b"GET", b"HEAD"})

    def __init__(self, name: str, content: Callable[[BoundedRequest], PageContent]) -> None:
        super().__init__()
        self._name = name
        self._content = content

    # Twisted's name
    def getChild(self, path: bytes, request: BoundedRequest) -> Resource:
        return _NotFoundPage(
            f"below {self._name}",
            lambda _: _refusal(HTTPStatus.NOT_FOUND, "there is nothing below this page"),
        )

    def render(self, request: BoundedRequest) -> bytes:
        """Answer a GET or HEAD."""
        request.record.call, request.record.path = "page", self._name
        if request.method in self.methods:
            content = self._content(request)
        else:
            request.setHeader(b"allow", b"GET, HEAD")
            content = _refusal(HTTPStatus.METHOD_NOT_ALLOWED, "this page allows only GET and HEAD")
        request.setResponseCode(content.status)
        request.record.result = HTTPStatus(content.status).phrase
        request.setHeader(b"content-type", content.media_type.encode())
        request.setHeader(b"content-length", b"%d" % len(content.body))
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"x-content-type-options", b"nosniff")
        for name, value in content.headers.items():
            request.setHeader(name.encode(), value.encode())
        return b"" if request.method == b"HEAD" else content.body


class _NotFoundPage(StatusPage):
    """What is not there, whatever is asked of it."""

    def render(self, request: BoundedRequest) -> bytes:
        self.methods = frozenset({request.method})
        return super().render(request)


def status_pages(
    reader: StatusReader, since: Callable[[float], Series], registry: CollectorRegistry
) -> Mapping[bytes, StatusPage]:
    """The pages by name. `since` returns the samples of the last hour since a given time;
    `registry` has the metrics.
    """

    def readyz(_: BoundedRequest) -> PageContent:
        why = reader.not_ready()
        return (
            PageContent(TEXT, b"ok\n")
            if why is None
            else PageContent(TEXT, f"{why}\n".encode(), HTTPStatus.SERVICE_UNAVAILABLE)
        )

    def status(request: BoundedRequest) -> PageContent:
        if wants_html(request):
            page = status_html.document()
            return PageContent(HTML, page.body, headers={**page.headers, "vary": "accept"})
        return PageContent(TEXT, as_text(reader.read()).encode(), headers={"vary": "accept"})

    def status_json(request: BoundedRequest) -> PageContent:
        [wanted] = (request.args or {}).get(b"since", [None])[:1]
        if wanted is None:
            return PageContent(
                JSON, msgspec.json.format(msgspec.json.encode(reader.read())) + b"\n"
            )
        time = _time(wanted)
        if time is None:
            return _refusal(HTTPStatus.BAD_REQUEST, "since: must be a time in seconds since 1970")
        return PageContent(
            JSON,
            msgspec.json.encode(msgspec.to_builtins(reader.read()) | {"recent": since(time)})
            + b"\n",
        )

    contents: dict[str, Callable[[BoundedRequest], PageContent]] = {
        "healthz": lambda _: PageContent(TEXT, b"ok\n"),
        "readyz": readyz,
        "status": status,
        "status.json": status_json,
        "metrics": lambda _: PageContent(CONTENT_TYPE_LATEST, generate_latest(registry)),
    }
    return {name.encode(): StatusPage(name, content) for name, content in contents.items()}


def protected(
    pages: Mapping[bytes, StatusPage], users: Passwords | None
) -> Mapping[bytes, IResource]:
    """The pages, restricted to `users` if there are any; except those for load balancers, which
    reveal next to nothing.
    """
    resources: Mapping[bytes, Any] = pages  # zope.interface has no types
    return {
        name: _guarded(page, users) if users and name not in OPEN else page
        for name, page in resources.items()
    }


def _guarded(page: StatusPage, users: Passwords) -> Any:
    return AuthenticatedResource(page, users)


def refusing(name: str, denied: Denial) -> StatusPage:
    """A replacement for the page of that name, for a client that must not see it."""
    return _NotFoundPage(name, lambda _: _refusal(HTTPStatus(denied.status), denied.why))


def wants_html(request: BoundedRequest) -> bool:
    """Whether the client names HTML, as browsers do; curl and monitoring accept anything, and get
    text.
    """
    return any(
        b"text/html" in value for value in request.requestHeaders.getRawHeaders(b"accept") or ()
    )


def _time(text: bytes) -> float | None:
    try:
        time = float(text)
    except ValueError:
        return None
    return time if math.isfinite(time) else None


def _refusal(status: HTTPStatus, why: str) -> PageContent:
    return PageContent(JSON, msgspec.json.encode({"error": why}) + b"\n", status)
