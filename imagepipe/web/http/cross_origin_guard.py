"""Refuses requests that a web page of another origin makes a browser send (see
core/requests/cross_origin), as soon as their headers have arrived.
"""

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from twisted.web.http import FORBIDDEN, UNSUPPORTED_MEDIA_TYPE

from imagepipe.core.requests.cross_origin import (
    HostRule,
    RequestOrigin,
    cross_origin,
    untrusted_host,
)
from imagepipe.web.http.refusal import Denial

READING = (b"GET", b"HEAD", b"OPTIONS")
"""Methods that change nothing."""

_XML = (b"text/xml", b"application/xml")


def host_rule(option: str, hosts: Iterable[str]) -> HostRule:
    """Accepts `hosts`, the value of `option`, and this machine's host name."""
    return HostRule(option, frozenset((*hosts, socket.gethostname().lower().removesuffix("."))))


@dataclass(frozen=True, slots=True)
class CrossOriginGuard:
    """Each method is an Admit.

    rule: None where credentials are required, because a browser has none for a stranger's name.
    """

    rule: HostRule | None

    def admit_call(self, request: Any) -> Denial | None:
        """For the XML-RPC port."""
        if denied := self.admit_write(request):
            return denied
        media_types = request.requestHeaders.getRawHeaders(b"content-type", ())
        if request.method == b"POST" and not all(map(_is_xml, media_types)):
            return Denial(
                UNSUPPORTED_MEDIA_TYPE, "the Content-Type must be text/xml or application/xml"
            )
        return None

    def admit_write(self, request: Any) -> Denial | None:
        """For the image server: checks every request except read-only ones."""
        if request.method in READING:
            return None
        if why := cross_origin(_sender(request)):
            return Denial(FORBIDDEN, why)
        return self.admit_page(request)

    def admit_page(self, request: Any) -> Denial | None:
        """For the status pages."""
        why = untrusted_host(_sender(request), self.rule) if self.rule else None
        return Denial(FORBIDDEN, why) if why else None


def _sender(request: Any) -> RequestOrigin:
    def values(name: bytes) -> list[str]:
        return [value.decode("latin-1") for value in request.requestHeaders.getRawHeaders(name, ())]

    hosts = values(b"host")  # at most one: the request has been checked for that
    target = request.uri.decode("latin-1")
    return RequestOrigin(
        hosts[0] if hosts else None, target, values(b"origin"), values(b"sec-fetch-site")
    )


def _is_xml(media_type: bytes) -> bool:
    essence = media_type.partition(b";")[0].strip().lower()
    return not essence or essence in _XML
