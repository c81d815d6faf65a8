"""Refuses what a stranger's web page makes a browser send: core/strangers, for the requests of Twisted.

A request that may change something is refused with its headers, before its body takes any room; a status page when it is asked for.
"""

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from twisted.web.http import FORBIDDEN, UNSUPPORTED_MEDIA_TYPE

from imagepipe.core.strangers import HostRule, Sender, cross_origin, untrusted_host
from imagepipe.web.refusal import Denied

READING = (b"GET", b"HEAD", b"OPTIONS")
"""The methods that change nothing."""

_XML = (b"text/xml", b"application/xml")


def host_rule(option: str, hosts: Iterable[str]) -> HostRule:
    """The names that `option` has, and this machine's own."""
    return HostRule(option, frozenset((*hosts, socket.gethostname().lower().removesuffix("."))))


@dataclass(frozen=True, slots=True)
class Strangers:
    """Admits requests, or says why not: its methods are Admits.

    rule: None where credentials are needed, because a browser has none to send to a stranger's name.
    """

    rule: HostRule | None

    def admit_call(self, request: Any) -> Denied | None:
        """For the port of XML-RPC, on which everything that is posted is a call."""
        if denied := self.admit_write(request):
            return denied
        if request.method == b"POST" and not all(map(_is_xml, request.requestHeaders.getRawHeaders(b"content-type", ()))):
            return Denied(UNSUPPORTED_MEDIA_TYPE, "an XML-RPC call has Content-Type text/xml or application/xml")
        return None

    def admit_write(self, request: Any) -> Denied | None:
        """For the image server: whatever does not merely read."""
        if request.method in READING:
            return None
        if why := cross_origin(_sender(request)):
            return Denied(FORBIDDEN, why)
        return self.admit_page(request)

    def admit_page(self, request: Any) -> Denied | None:
        """For pages that tell what goes on inside."""
        why = untrusted_host(_sender(request), self.rule) if self.rule else None
        return Denied(FORBIDDEN, why) if why else None


def _sender(request: Any) -> Sender:
    def values(name: bytes) -> list[str]:
        return [value.decode("latin-1") for value in request.requestHeaders.getRawHeaders(name, ())]

    hosts = values(b"host")  # several, or none in HTTP/1.1, are refused before this is asked
    return Sender(hosts[0] if hosts else None, request.uri.decode("latin-1"), values(b"origin"), values(b"sec-fetch-site"))


def _is_xml(media_type: bytes) -> bool:
    essence = media_type.partition(b";")[0].strip().lower()
    return not essence or essence in _XML
