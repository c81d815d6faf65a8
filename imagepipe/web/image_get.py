"""GET and HEAD of stored files, renditions and facts.

path -> target -> Lookup -> conditions and ranges -> headers, and the bytes a piece at a time
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

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
from imagepipe.errors import ImagepipeError, quoted
from imagepipe.usecases.lookup import FoundImage, Lookup
from imagepipe.web.http.clients import client_of
from imagepipe.web.http.fast_path import FastAnswer, PlainGet, head_of
from imagepipe.web.http.file_sender import send
from imagepipe.web.http.request import BoundedRequest
from imagepipe.web.image_requests import (
    NOSNIFF,
    conditions,
    header_values,
    query_value,
    raw_path,
    send_error,
    send_json,
)
from imagepipe.web.public_facts import public_facts

OnThread = Callable[[Callable[[], Any]], Deferred[Any]]

_CACHED = b"public, max-age=0, must-revalidate"
"""A cached image must be revalidated each time: it may be replaced or deleted at any moment."""

_RESULTS = {OK: "OK", PARTIAL_CONTENT: "partial", NOT_MODIFIED: "not modified"}


class ImageGet:
    """Answers GET and HEAD. secrets: renditions need a signature with one of them; `now` is the
    Unix time.
    """

    def __init__(
        self,
        on_thread: OnThread,
        lookup: Lookup,
        secrets: tuple[str, ...],
        limits: RenditionLimits,
        now: Callable[[], float],
    ) -> None:
        self._on_thread = on_thread
        self._lookup = lookup
        self._secrets = secrets
        self._limits = limits
        self._now = now

    def fast_path(self, asked: PlainGet) -> FastAnswer | None:
        """The answer, if everything needed is in memory; None otherwise, and for requests that are
        wrong, which `answer` refuses.
        """
        if self._secrets:  # a signature is in the query, which a plain GET does not have
            return None
        try:
            target = parse_target(asked.path)
            found = (
                None
                if target.is_info or _is_auto(target)
                else self._lookup.in_memory(target, lambda: self._check(target))
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
        headers = [NOSNIFF, *_validators(representation)]
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

    async def answer(self, request: BoundedRequest) -> None:
        target = parse_target(raw_path(request))
        request.record.path = quoted(target.text, 200)
        request.record.call = (
            "info" if target.is_info else "file" if target.image is None else "rendition"
        )
        may_fetch = not self._secrets  # without a signature, a client must not cause work
        if target.is_info:
            info = await self._lookup.info(target, may_fetch=may_fetch)
            request.record.result = "OK"
            send_json(request, OK, public_facts(info))
            return
        is_auto = _is_auto(target)
        accepted = accepted_formats(", ".join(header_values(request, b"accept"))) if is_auto else ()
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
        """Raise the error to answer with if the rendition may not be made for this client."""
        if self._secrets:
            expires, signature = (
                query_value(request, b"expires"),
                query_value(request, b"signature"),
            )
            signing.verify(self._secrets, target.text, expires or "", signature or "", self._now())
        self._check(target)

    def _check(self, target: Target) -> None:
        assert target.rendition
        renditions.check(target.rendition, self._limits)

    async def _send(self, request: BoundedRequest, found: FoundImage) -> None:
        image = found.image
        representation = _representation(found)
        part = evaluate(request.method.decode(), conditions(request), representation)
        request.setResponseCode(part.status)
        request.record.result = _RESULTS.get(part.status, "refused")
        if part.status == PRECONDITION_FAILED:
            send_error(
                request, part.status, "the image is not the version that the request requires"
            )
            return
        for name, value in _validators(representation):
            request.setHeader(name, value)
        if part.status == NOT_MODIFIED:
            return
        if part.status == RANGE_NOT_SATISFIABLE:
            request.setHeader(b"content-range", f"bytes */{representation.size}".encode())
            send_error(
                request,
                part.status,
                f"the range lies outside the file, which has {representation.size} bytes",
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
            request.record.result = "aborted"


def _is_auto(target: Target) -> bool:
    return target.rendition is not None and target.image is not None and target.rendition.is_auto


def _representation(found: FoundImage) -> Representation:
    return Representation(
        found.image.etag, found.modified_ms // 1000, found.image.file.size, found.is_dated
    )


def _validators(representation: Representation) -> tuple[tuple[bytes, bytes], ...]:
    """The headers of every answer about an image, with or without its bytes."""
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
