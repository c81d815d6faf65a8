"""Distinguishes requests that another site's web page makes a browser send from those of clients.

    Host: 127.0.0.1:8085         cross-origin: the page must not write
    Origin: https://evil.example

    Host: evil.example:8085      same-origin, but only because that name now resolves to this
    Origin: http://evil.example:8085      machine (DNS rebinding)

Only browsers can be tricked like this, and a browser always sends `Host`, and `Origin` with a POST.
So a request without these headers comes from a program and is accepted.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address, ip_address

_AUTHORITY = re.compile(
    r"""(?: \[(?P<ipv6>[0-9a-f:.]+)(?:%[a-z0-9._~%-]+)?\]
    | (?P<name>[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)\.?)
    (?::(?P<port>[0-9]{0,5}))?""",
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)
_AUTHORITY_LENGTH_MAX = 300
_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*://([^/?#]*)", re.ASCII | re.IGNORECASE)
_ORIGIN = re.compile(r"(https?)://([^/?#]+)", re.ASCII | re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}

_UNREGISTRABLE = (".internal", ".local", ".lan", ".localdomain", ".home.arpa", ".test")
"""No name below these can be registered (`cluster.local` is covered by `local`)."""


@dataclass(frozen=True, slots=True)
class Authority:
    """A host (in lower case, without brackets, zone or trailing dot) and a port, if given."""

    host: str
    port: int | None


@dataclass(frozen=True, slots=True)
class RequestOrigin:
    """The parts of a request that show which page sent it, and to which name.

    host: the `Host` header, if there is one. target: from the request line.
    origins, fetch_sites: every value of `Origin` and of `Sec-Fetch-Site`.
    """

    host: str | None
    target: str = "/"
    origins: Sequence[str] = ()
    fetch_sites: Sequence[str] = ()

    @property
    def sent_to(self) -> str | None:
        """The authority the request was sent to.

        That of an absolute target overrides `Host` (RFC 9112, section 3.2.2).
        """
        absolute = _ABSOLUTE.match(self.target)
        return absolute[1] if absolute else self.host


@dataclass(frozen=True, slots=True)
class HostRule:
    """The names that this server answers to; `option` is where an operator adds one."""

    option: str
    names: frozenset[str]


def cross_origin(sender: RequestOrigin) -> str | None:
    """Why a request counts as cross-origin, or None if it does not.

    Schemes are not compared: behind a proxy that terminates TLS, only `Origin` says https.
    """
    own = parse_authority(sender.sent_to or "")
    if all(_is_own(origin, own) for origin in sender.origins) and all(
        site.strip().lower() in ("same-origin", "none") for site in sender.fetch_sites
    ):
        return None
    return "sent by a web page of another origin"


def untrusted_host(sender: RequestOrigin, rule: HostRule) -> str | None:
    """Why the name a request was sent to may be a stranger's, or None if it cannot be."""
    if sender.sent_to is None:
        return None
    authority = parse_authority(sender.sent_to)
    if authority is None:
        return "the Host header is malformed"
    host = authority.host
    if is_address(host) or "." not in host or host.endswith(_UNREGISTRABLE) or host in rule.names:
        return None
    return f"{host} is not a known name of this server; if it should be, add it to {rule.option}"


def parse_authority(text: str) -> Authority | None:
    """The parts of `HOST[:PORT]`, or None if it is malformed or has any other part."""
    found = _AUTHORITY.fullmatch(text) if len(text) <= _AUTHORITY_LENGTH_MAX else None
    if found is None:
        return None
    port = int(found["port"]) if found["port"] else None
    if found["ipv6"] is None:
        return Authority(found["name"].lower(), port)
    try:
        return Authority(IPv6Address(found["ipv6"]).compressed, port)
    except AddressValueError:
        return None


def is_address(host: str) -> bool:
    """Whether it is an IP address in its usual notation."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_own(origin: str, own: Authority | None) -> bool:
    found = _ORIGIN.fullmatch(origin.strip())
    theirs = parse_authority(found[2]) if found else None
    if found is None or theirs is None or own is None:
        return False
    default = _PORTS[found[1].lower()]
    return theirs.host == own.host and (theirs.port or default) == (own.port or default)
