"""The image server: GET and HEAD of stored files, renditions and facts, POST of originals
(docs/design/contract.md, "Images over HTTP").

    path -> target -> Lookup.get -> conditions and ranges -> headers, and the bytes a piece at a
    time POST -> credentials -> body, form or URL -> Originals.post -> the facts as JSON

Every error is a short JSON object {"error": ...} with its status.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.web.resource import Resource

from imagepipe.core.paths import clean
from imagepipe.core.rendering import renditions
from imagepipe.core.rendering.renditions import RenditionLimits, accepted_formats
from imagepipe.core.requests import signing
from imagepipe.core.requests.conditional import (
    NOT_MODIFIED,
    OK,
    PARTIAL_CONTENT,
    PRECONDITION_FAILED,
    RANGE_NOT_SATISFIABLE,
    Representation,
    evaluate,
    http_date,
)
from imagepipe.core.requests.targets import Target, parse_target
from imagepipe.errors import (
    BadRequest,
    Forbidden,
    ImagepipeError,
    InternalError,
    Unauthorized,
    quoted,
)
from imagepipe.monitoring.counters import Counters, note_failure
from imagepipe.usecases.lookup import FoundImage, Lookup
from imagepipe.usecases.originals import Originals
from imagepipe.web.http.auth import denial, log_in
from imagepipe.web.http.clients import client_of
from imagepipe.web.http.fast_path import FastAnswer, PlainGet, head_of
from imagepipe.web.http.file_sender import send
from imagepipe.web.http.passwords import Passwords
from imagepipe.web.http.refusal import Authenticate, Denial, Refusal, needs_credentials
from imagepipe.web.http.request import BoundedRequest
from imagepipe.web.public_facts import public_facts
from imagepipe.web.upload_forms import image_in

OnThread = Callable[[Callable[[], Any]], Deferred[Any]]

JSON_REFUSAL = Refusal(b"application/json", b'{"error": "%b"}\n')

METHODS = (b"GET", b"HEAD", b"POST")

_FOR_THIS_MACHINE = "is for this machine alone, unless [network] users is set"

_CONDITIONS = tuple(
    (name, name.encode())
    for name in (
        "if-match",
        "if-none-match",
        "if-modified-since",
        "if-unmodified-since",
        "if-range",
        "range",
    )
)

_CACHED = b"public, max-age=0, must-revalidate"
"""Whoever keeps a picture asks each time whether it is still the one: it may be replaced or deleted
at any moment.
"""

_NOSNIFF = (b"X-Content-Type-Options", b"nosniff")

_RESULTS = {OK: "OK", PARTIAL_CONTENT: "a part", NOT_MODIFIED: "not modified"}

_log = Logger()


@dataclass(frozen=True, slots=True)
class Access:
    """Who may do what. secrets: renditions need a signature with one of them. users: None where
    POST is for this machine alone.
    """

    secrets: tuple[str, ...]
    users: Passwords | None

    @property
    def authenticate(self) -> Authenticate | None:
        """A site's Authenticate, for bodies."""
        return partial(denial, passwords=self.users) if self.users else None

    def admit(self, request: BoundedRequest) -> Denial | None:
        """A site's Admit: a body is taken only from those who may POST."""
        if self.users:
            return needs_credentials(request)
        return (
            None
            if _is_local(request)
            else Denial(Forbidden.http_status, f"POST: {_FOR_THIS_MACHINE}")
        )

    async def check_post(self, request: BoundedRequest) -> None:
        """Raise Unauthorized or Forbidden if the client may not POST."""
        if self.users is None:
            if not _is_local(request):
                raise Forbidden("POST", _FOR_THIS_MACHINE)
            return
        await log_in(request, self.users)


class ImageResource(Resource):
    """All paths but those of the server's own pages. `now` is the Unix time."""

    isLeaf = True

    def __init__(
        self,
        on_thread: OnThread,
        lookup: Lookup,
        originals: Originals,
        access: Access,
        limits: RenditionLimits,
        counters: Counters,
        now: Callable[[], float],
    ) -> None:
        super().__init__()
        self._on_thread = on_thread
        self._lookup = lookup
        self._originals = originals
        self.access = access
        self._limits = limits
        self._counters = counters
        self._now = now

    def fast_path(self, asked: PlainGet) -> FastAnswer | None:
        """The answer, if all that it takes is in memory; what is wrong with the request, if
        anything is, `render` says.
        """
        if self.access.secrets:  # a signature is in the query, and here there is none
            return None
        try:
            target = parse_target(asked.path)
            found = (
                None
                if target.is_info or _is_auto(target)
                else self._lookup.at_hand(target, lambda: self._check(target))
            )
        except ImagepipeError:
            return None
        if found is None:
            return None
        image = found.image
        body = image.file.head
        image.file.close()
        representation = _representation(found)
        status = (
            OK
            if asked.none_match is None
            else evaluate("GET", {"if-none-match": asked.none_match}, representation).status
        )
        headers = [_NOSNIFF, *_validators(representation)]
        if status == OK:
            headers += [
                (b"Content-Type", image.media_type.encode()),
                (b"Content-Length", b"%d" % len(body)),
            ]
        call = "file" if found.row.entry.path == target.path else "rendition"
        head = head_of(status, headers, self._now())
        return FastAnswer(
            status,
            head,
            body if status == OK else b"",
            call,
            quoted(target.text, 200),
            _RESULTS[status],
        )

    def render(self, request: Any) -> int:
        """Answer one request."""
        return cast(BoundedRequest, request).answer_with(self._answer(request))

    async def _answer(self, request: BoundedRequest) -> None:
        request.setHeader(*_NOSNIFF)
        try:
            if request.method in (b"GET", b"HEAD"):
                await self._get(request)
            elif request.method == b"POST":
                await self._post(request)
            else:
                request.record.path, request.record.result = (
                    quoted(_path(request).decode("latin-1"), 200),
                    "no such method",
                )
                request.setHeader(b"allow", b", ".join(METHODS))
                _send_error(
                    request,
                    405,
                    f"{quoted(request.method.decode('ascii', 'replace'))} is none of"
                    f" {b', '.join(METHODS).decode()}",
                )
        except ImagepipeError as error:
            self._refuse(request, error)
        except CancelledError:
            pass  # the client went away while its password was checked
        # the last resort: whatever it is, the client gets an answer and the log the detail
        except Exception:
            _log.failure("a request failed")
            self._refuse(request, InternalError())
        if request.is_gone:
            request.record.result += " (the client was gone)"
            request.log()
        else:
            request.finish()

    async def _get(self, request: BoundedRequest) -> None:
        target = parse_target(_path(request))
        request.record.path = quoted(target.text, 200)
        request.record.call = (
            "info" if target.is_info else "file" if target.image is None else "rendition"
        )
        may_fetch = not self.access.secrets  # without a signature nobody makes this server work
        if target.is_info:
            info = await self._lookup.info(target, may_fetch=may_fetch)
            request.record.result = "OK"
            _send_json(request, OK, public_facts(info))
            return
        is_auto = _is_auto(target)
        accepted = accepted_formats(", ".join(_values(request, b"accept"))) if is_auto else ()
        found = await self._lookup.get(
            target,
            accepted,
            lambda: self._admit(request, target),
            client=client_of(request),
            may_fetch=may_fetch,
        )
        try:
            if found.row.entry.path == target.path:
                request.record.call = "file"
            if found.job:
                request.record.waited_seconds, request.record.ran_seconds = (
                    found.job.waited_seconds,
                    found.job.ran_seconds,
                )
                request.record.outputs = len(found.job.made)
            if is_auto and request.record.call == "rendition":
                request.setHeader(b"vary", b"Accept")
            if not request.is_gone:
                await self._send(request, found)
        finally:
            found.image.file.close()

    def _admit(self, request: BoundedRequest, target: Target) -> None:
        """Raise what is to be answered in place of the rendition, if it may not be made for this
        client.
        """
        if self.access.secrets:
            expires, signature = _argument(request, b"expires"), _argument(request, b"signature")
            signing.verify(
                self.access.secrets, target.text, expires or "", signature or "", self._now()
            )
        self._check(target)

    def _check(self, target: Target) -> None:
        assert target.rendition
        renditions.check(target.rendition, self._limits)

    async def _send(self, request: BoundedRequest, found: FoundImage) -> None:
        image = found.image
        representation = _representation(found)
        part = evaluate(request.method.decode(), _headers(request), representation)
        request.setResponseCode(part.status)
        request.record.result = _RESULTS.get(part.status, "refused")
        if part.status == PRECONDITION_FAILED:
            _send_error(
                request, part.status, "the image is another version than the one that is meant"
            )
            return
        for name, value in _validators(representation):
            request.setHeader(name, value)
        if part.status == NOT_MODIFIED:
            return
        if part.status == RANGE_NOT_SATISFIABLE:
            request.setHeader(b"content-range", f"bytes */{representation.size}".encode())
            _send_error(
                request,
                part.status,
                f"the file has {representation.size} bytes, and none in this range",
            )
            return
        request.setHeader(b"content-type", image.media_type.encode())
        request.setHeader(b"content-length", b"%d" % part.length)
        if part.status == PARTIAL_CONTENT:
            request.setHeader(
                b"content-range",
                f"bytes {part.start}-{part.start + part.length - 1}/{representation.size}".encode(),
            )
        if request.method == b"GET" and not await send(
            request, image.file, part.start, part.length, self._on_thread
        ):
            request.record.result = "broken off"

    async def _post(self, request: BoundedRequest) -> None:
        request.record.call = "post"
        body = request.take_body()
        try:
            target = parse_target(_path(request))
            request.record.path = quoted(target.text, 200)
            await self.access.check_post(request)
            path = target.path or clean(target.text)  # which says why there is none
            source = _argument(request, b"source") or None
            names = [
                name
                for value in _arguments(request, b"outputs")
                for name in value.split(",")
                if name
            ]
            image = (
                None
                if source is not None
                else await self._on_thread(
                    lambda: image_in(body, request.getHeader(b"content-type"))
                )
            )
            try:
                info, timed = await self._originals.post(path, image, source, names)
            finally:
                if image:
                    image.close()
        finally:
            body.close()
        request.record.outputs = len(names)
        request.record.waited_seconds, request.record.ran_seconds = (
            timed.waited_seconds,
            timed.ran_seconds,
        )
        request.record.result = "OK"
        _send_json(request, OK, public_facts(info))

    def _refuse(self, request: BoundedRequest, error: ImagepipeError) -> None:
        request.record.result = str(error)
        if request.method == b"GET":
            self._counters.image_request_fail()
        note_failure(self._counters, request.record.call, error)
        if isinstance(error, Unauthorized):
            scheme = b"Basic" if request.method == b"POST" else b"Signature"
            request.setHeader(b"www-authenticate", scheme + b' realm="imagepipe"')
        if error.http_status in (429, 503):
            request.setHeader(b"retry-after", b"1")
        _send_error(request, error.http_status, str(error))


def _is_auto(target: Target) -> bool:
    return target.rendition is not None and target.image is not None and target.rendition.is_auto


def _representation(found: FoundImage) -> Representation:
    return Representation(
        found.image.etag, found.modified_ms // 1000, found.image.file.size, found.is_dated
    )


def _validators(representation: Representation) -> tuple[tuple[bytes, bytes], ...]:
    """The headers that every answer about a picture has, whether it comes with it or not."""
    etag, modified = (
        f'"{representation.etag}"'.encode(),
        http_date(representation.modified).encode(),
    )
    return (
        (b"ETag", etag),
        (b"Last-Modified", modified),
        (b"Cache-Control", _CACHED),
        (b"Accept-Ranges", b"bytes"),
    )


def _send_error(request: Any, status: int, text: str) -> None:
    request.setHeader(b"cache-control", b"no-store")
    _send_json(request, status, {"error": text})


def _send_json(request: Any, status: int, value: object) -> None:
    if request.startedWriting:
        return
    request.setResponseCode(status, HTTPStatus(status).phrase.encode())
    if request.is_gone:
        return
    body = json.dumps(value).encode() + b"\n"
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"content-length", b"%d" % len(body))
    if status == OK:
        request.setHeader(b"cache-control", b"no-cache")
    request.write(body)


def _path(request: Any) -> bytes:
    path: bytes = request.uri.partition(b"?")[0]
    return path


def _headers(request: Any) -> dict[str, str]:
    """The headers that conditions and ranges are said with; one that is there twice, as one
    list.
    """
    found = {}
    for name, raw in _CONDITIONS:
        values = request.requestHeaders.getRawHeaders(raw)
        if values:
            found[name] = ", ".join(value.decode("latin-1") for value in values)
    return found


def _values(request: Any, name: bytes) -> list[str]:
    return [value.decode("latin-1") for value in request.requestHeaders.getRawHeaders(name, ())]


def _arguments(request: Any, name: bytes) -> list[str]:
    """The values of a query's argument. Raises BadRequest if one is not UTF-8."""
    try:
        return [value.decode() for value in request.args.get(name, ())]
    except UnicodeDecodeError:
        raise BadRequest(name.decode(), "is not UTF-8") from None


def _argument(request: Any, name: bytes) -> str | None:
    """The one value of a query's argument. Raises BadRequest if there are several."""
    values = _arguments(request, name)
    if len(values) > 1:
        raise BadRequest(name.decode(), "is given more than once")
    return values[0] if values else None


def _is_local(request: BoundedRequest) -> bool:
    """Whether a program on this machine asks for itself: neither a proxy for others, nor a browser
    for some page.
    """
    if any(
        request.requestHeaders.hasHeader(name)
        for name in (b"x-forwarded-for", b"forwarded", b"via", b"x-real-ip", b"origin")
    ):
        return False
    host = getattr(request.getClientAddress(), "host", None)
    if host is None:
        return False  # a unix socket: there is a proxy at the other end, as often as not
    address = ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
