"""Conditional requests and ranges (RFC 9110, sections 13 and 14): which bytes of a file to send, if
any.

What is looked at, in this order; several ranges at once get the whole, which is allowed:

    If-Match, If-Unmodified-Since     412 if the client meant another version
    If-None-Match, If-Modified-Since  304 if it has this one
    Range, If-Range                   206 and a part, 416 if there is no such part
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate, mktime_tz, parsedate_tz
from functools import lru_cache

OK = 200
PARTIAL_CONTENT = 206
NOT_MODIFIED = 304
PRECONDITION_FAILED = 412
RANGE_NOT_SATISFIABLE = 416

_RANGE = re.compile(
    r"bytes\s*=\s*"
    r"(?:(?P<first>[0-9]{1,18})\s*-\s*(?P<last>[0-9]{1,18})?|-\s*(?P<suffix>[0-9]{1,18}))\s*",
    re.ASCII | re.IGNORECASE,
)
_ETAG = re.compile(r'(?:W/)?"([^"]*)"')


@dataclass(frozen=True, slots=True)
class Representation:
    """What there is. etag: without its quotes, and strong. modified: Unix time in whole seconds.
    is_dated: whether that time tells this version from others.
    """

    etag: str
    modified: int
    size: int
    is_dated: bool = True


@dataclass(frozen=True, slots=True)
class ByteRange:
    """The status, and which bytes go with it: `length` of them from `start`."""

    status: int
    start: int = 0
    length: int = 0


def evaluate(method: str, headers: Mapping[str, str], representation: Representation) -> ByteRange:
    """How to answer a GET or HEAD with these headers, whose names are in lower case."""
    if not _preconditions_hold(headers, representation):
        return ByteRange(PRECONDITION_FAILED)
    if _client_has_it(headers, representation):
        return ByteRange(NOT_MODIFIED)
    whole = ByteRange(OK, 0, representation.size)
    wanted = headers.get("range")
    if wanted is None or method != "GET" or not _if_range_holds(headers, representation):
        return whole
    found = _RANGE.fullmatch(wanted.strip())
    if not found:
        return whole
    if found["suffix"]:
        start, end = max(0, representation.size - int(found["suffix"])), representation.size
        if not int(found["suffix"]):
            return ByteRange(RANGE_NOT_SATISFIABLE)
    else:
        start = int(found["first"])
        end = (
            min(int(found["last"]) + 1, representation.size)
            if found["last"]
            else representation.size
        )
        if found["last"] and int(found["last"]) < start:
            return whole  # malformed, so it does not count
    if start >= representation.size:
        return ByteRange(RANGE_NOT_SATISFIABLE)
    return ByteRange(PARTIAL_CONTENT, start, end - start)


@lru_cache(maxsize=1024)
def http_date(seconds: int) -> str:
    """A Unix time as headers have it."""
    return formatdate(seconds, usegmt=True)


def _preconditions_hold(headers: Mapping[str, str], representation: Representation) -> bool:
    if (match := headers.get("if-match")) is not None:
        return match.strip() == "*" or any(
            not tag.startswith("W/") and tag[1:-1] == representation.etag for tag in _tags(match)
        )
    if (date := _date(headers.get("if-unmodified-since"))) is not None:
        return representation.modified <= date
    return True


def _client_has_it(headers: Mapping[str, str], representation: Representation) -> bool:
    if (none_match := headers.get("if-none-match")) is not None:
        return none_match.strip() == "*" or any(
            tag.removeprefix("W/")[1:-1] == representation.etag for tag in _tags(none_match)
        )
    if (date := _date(headers.get("if-modified-since"))) is not None:
        return representation.is_dated and representation.modified <= date
    return False


def _if_range_holds(headers: Mapping[str, str], representation: Representation) -> bool:
    condition = headers.get("if-range")
    if condition is None:
        return True
    if '"' in condition:
        return condition.strip() == f'"{representation.etag}"'
    return representation.is_dated and _date(condition) == representation.modified


def _tags(header: str) -> list[str]:
    return [found[0] for found in _ETAG.finditer(header)]


def _date(header: str | None) -> int | None:
    """A Unix time, from any of the forms that HTTP knows; None if it is none: then the header does
    not count.
    """
    if header is None:
        return None
    try:
        parsed = parsedate_tz(header[:64])
        return mktime_tz(parsed) if parsed else None
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
