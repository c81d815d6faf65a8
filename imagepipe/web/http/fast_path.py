"""The fast path: plain GETs that are answered from memory at once, without the state that Twisted
keeps for a request that may take a while.

    GET /a/b.jpg HTTP/1.1      the received bytes are exactly one complete request, and no header
    Host: ...                  changes its answer
      -> PlainGet              its path, and the ETags that the client has
      -> FastAnswer            the whole answer, and what to log

Everything else is left to Twisted unchanged: `plain_get` recognises only what it is sure of. The
answers are the same as Twisted's.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus

from twisted.web.http import datetimeToString
from twisted.web.server import version

REQUEST_BYTES_MAX = 4096
HEADERS_MAX = 64

_PLAIN = re.compile(rb"GET (/[!->@-~]*) HTTP/1\.1\r\n((?:[A-Za-z0-9-]+:[ -~]*\r\n)*)\r\n")
"""Without a query, and without folded header lines."""

_MATTERS = re.compile(
    rb"^(?:content-length|transfer-encoding|expect|upgrade|range"
    rb"|if-match|if-modified-since|if-unmodified-since|if-range"
    rb"|connection(?!: *keep-alive *\r)):",
    re.IGNORECASE | re.MULTILINE,
)
_HOST = re.compile(rb"^host:", re.IGNORECASE | re.MULTILINE)
_NONE_MATCH = re.compile(rb"^if-none-match: *([ -~]*?) *\r", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PlainGet:
    """The path, and the value of If-None-Match if there is one."""

    path: bytes
    none_match: str | None


@dataclass(frozen=True, slots=True)
class FastAnswer:
    """A complete answer. call, path, result: for the log."""

    status: int
    head: bytes
    body: bytes
    call: str
    path: str
    result: str


FastPath = Callable[[PlainGet], FastAnswer | None]
"""None: leave the request to Twisted."""


def plain_get(data: bytes) -> PlainGet | None:
    """The request in `data`, or None if it is not a plain GET."""
    if len(data) > REQUEST_BYTES_MAX:
        return None
    found = _PLAIN.fullmatch(data)
    if not found:
        return None
    path, headers = found.groups()
    if (
        _MATTERS.search(headers)
        or headers.count(b"\n") > HEADERS_MAX
        or len(_HOST.findall(headers)) != 1
    ):
        return None
    said = _NONE_MATCH.findall(headers)
    if len(said) > 1:
        return None
    return PlainGet(path, said[0].decode("ascii") if said else None)


def head_of(status: int, headers: Sequence[tuple[bytes, bytes]], now: float) -> bytes:
    """The head of an answer, with the headers that Twisted always adds; `now` is the Unix time."""
    return (
        _beginning(status, int(now))
        + b"".join([b"%b: %b\r\n" % header for header in headers])
        + b"\r\n"
    )


@lru_cache(maxsize=8)
def _beginning(status: int, second: int) -> bytes:
    phrase = HTTPStatus(status).phrase.encode()
    return b"HTTP/1.1 %d %b\r\nServer: %b\r\nDate: %b\r\n" % (
        status,
        phrase,
        version,
        datetimeToString(second),
    )
