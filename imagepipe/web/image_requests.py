"""What the images' resource reads of a request, and the JSON that it answers with."""

import json
from http import HTTPStatus
from typing import Any

from imagepipe.core.requests.conditional import OK
from imagepipe.errors import BadRequest

NOSNIFF = (b"X-Content-Type-Options", b"nosniff")

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


def raw_path(request: Any) -> bytes:
    """The path as it was sent, without the query."""
    path: bytes = request.uri.partition(b"?")[0]
    return path


def conditions(request: Any) -> dict[str, str]:
    """The headers for conditional requests and ranges; repeated headers are joined to one list."""
    found = {}
    for name, raw in _CONDITIONS:
        values = request.requestHeaders.getRawHeaders(raw)
        if values:
            found[name] = ", ".join(value.decode("latin-1") for value in values)
    return found


def header_values(request: Any, name: bytes) -> list[str]:
    """The values of a header that may be there several times."""
    return [value.decode("latin-1") for value in request.requestHeaders.getRawHeaders(name, ())]


def query_values(request: Any, name: bytes) -> list[str]:
    """The values of a query's argument. Raises BadRequest if one is not UTF-8."""
    try:
        return [value.decode() for value in request.args.get(name, ())]
    except UnicodeDecodeError:
        raise BadRequest(name.decode(), "is not UTF-8") from None


def query_value(request: Any, name: bytes) -> str | None:
    """The one value of a query's argument. Raises BadRequest if there are several."""
    values = query_values(request, name)
    if len(values) > 1:
        raise BadRequest(name.decode(), "is given more than once")
    return values[0] if values else None


def send_error(request: Any, status: int, text: str) -> None:
    """Answer {"error": text}."""
    request.setHeader(b"cache-control", b"no-store")
    send_json(request, status, {"error": text})


def send_json(request: Any, status: int, value: object) -> None:
    """Answer `value` as JSON, unless an answer has begun or the client is gone."""
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
