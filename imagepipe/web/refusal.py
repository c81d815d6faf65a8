"""Requests that are refused before a resource sees them: for their size, or because their client may not send a body."""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from twisted.web.http import UNAUTHORIZED, UNSUPPORTED_MEDIA_TYPE


@dataclass(frozen=True, slots=True)
class Refusal:
    """How an answer looks that is nothing but its status; `body` has a place for the reason."""

    media_type: bytes
    body: bytes


PLAIN_TEXT = Refusal(b"text/plain", b"%b\n")


def write_refusal(transport: Any, status: int, refusal: Refusal, why: str = "") -> str:
    """An answer of nothing but its status and a sentence, which is returned; the connection is closed after it."""
    reason = HTTPStatus(status).phrase
    body = refusal.body % (why or reason).encode("ascii")
    lines = [
        f"HTTP/1.1 {status} {reason}",
        *(['WWW-Authenticate: Basic realm="imagepipe"'] if status == UNAUTHORIZED else []),
        f"Content-Type: {refusal.media_type.decode()}",
        "X-Content-Type-Options: nosniff",
        "Cache-Control: no-store",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    transport.write("\r\n".join([*lines, "", ""]).encode() + body)
    return why or reason


@dataclass(frozen=True, slots=True)
class Denied:
    """Why a request or its body is not taken; `why` is in ASCII, and has no quotes."""

    status: int
    why: str


Admit = Callable[[Any], Denied | None]
"""A request whose headers have come -> why it, or its body, is not taken, if it is not."""


def admit_all(_request: Any) -> Denied | None:
    """An Admit for everyone."""
    return None


def needs_credentials(request: Any) -> Denied | None:
    """An Admit for a resource behind HTTP Basic."""
    return None if request.requestHeaders.hasHeader(b"authorization") else Denied(UNAUTHORIZED, "it needs the credentials of one of [network] users")


def refuse_encoded(request: Any) -> Denied | None:
    """An Admit for bodies that are sent as they are. A compressed one could be a bomb, and no client has to send it."""
    codings = b",".join(request.requestHeaders.getRawHeaders(b"content-encoding", ())).lower().split(b",")
    if all(coding.strip() in (b"", b"identity") for coding in codings):
        return None
    return Denied(UNSUPPORTED_MEDIA_TYPE, "a body with a Content-Encoding, such as gzip, is not accepted: send it uncompressed")
