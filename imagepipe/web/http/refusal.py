"""Refuses requests before a resource sees them: because of their size, or because the client may
not send a body.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from twisted.web.http import SERVICE_UNAVAILABLE, UNAUTHORIZED, UNSUPPORTED_MEDIA_TYPE


@dataclass(frozen=True, slots=True)
class Refusal:
    """The format of an answer that is only a status; `body` has a placeholder for the reason."""

    media_type: bytes
    body: bytes


PLAIN_TEXT = Refusal(b"text/plain", b"%b\n")


def refusal_headers(status: int, refusal: Refusal, body: bytes) -> list[tuple[bytes, bytes]]:
    """The headers of a refusal."""
    return [
        *([(b"WWW-Authenticate", b'Basic realm="imagepipe"')] if status == UNAUTHORIZED else []),
        *([(b"Retry-After", b"1")] if status == SERVICE_UNAVAILABLE else []),
        (b"Content-Type", refusal.media_type),
        (b"X-Content-Type-Options", b"nosniff"),
        (b"Cache-Control", b"no-store"),
        (b"Content-Length", b"%d" % len(body)),
    ]


def write_refusal(transport: Any, status: int, refusal: Refusal, why: str = "") -> str:
    """Write an answer that is only a status and a sentence, and return the sentence. The connection
    is closed after it.
    """
    reason = HTTPStatus(status).phrase
    body = refusal.body % (why or reason).encode("ascii")
    headers = [*refusal_headers(status, refusal, body), (b"Connection", b"close")]
    lines = [
        b"HTTP/1.1 %d %b" % (status, reason.encode()),
        *(b"%b: %b" % header for header in headers),
    ]
    transport.write(b"\r\n".join([*lines, b"", body]))
    return why or reason


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a request or its body is refused; `why` is ASCII without quotes."""

    status: int
    why: str


Admit = Callable[[Any], Denial | None]
"""A request whose headers have arrived -> why it or its body is refused, or None."""

Authenticate = Callable[[Any], Coroutine[Any, Any, Denial | None]]
"""The same for its credentials, which take a while to check. Cancelled if the client disconnects.
"""


def admit_all(_request: Any) -> Denial | None:
    """An Admit that refuses nothing."""
    return None


def needs_credentials(request: Any) -> Denial | None:
    """An Admit for a resource behind HTTP Basic."""
    return (
        None
        if request.requestHeaders.hasHeader(b"authorization")
        else Denial(UNAUTHORIZED, "this requires the credentials of one of [network] users")
    )


def refuse_encoded(request: Any) -> Denial | None:
    """An Admit that refuses compressed bodies: one could be a bomb, and no client needs to send
    one.
    """
    codings = (
        b",".join(request.requestHeaders.getRawHeaders(b"content-encoding", ())).lower().split(b",")
    )
    if all(coding.strip() in (b"", b"identity") for coding in codings):
        return None
    return Denial(
        UNSUPPORTED_MEDIA_TYPE,
        "a body with a Content-Encoding, such as gzip, is not accepted: send it uncompressed",
    )
