"""Which URLs an original may be fetched from (docs/design/contract.md, "Originals from elsewhere").

    source_base = http://storage/originals      GET of user/1, not stored     ->
        http://storage/originals/user/1
    sources = https://example.org/photos        source=https://example.org/photos/a.jpg

A URL that passes is taken apart here, once, by a strict pattern, and what is fetched is put
together from these parts: no other parser can find another host in it. A URL below source_base is
the operator's: the address that its name leads to is not checked (`exempt`). A redirect leads there
only from there, so that no other server gets at what only this one can reach.
"""

import re
from dataclasses import dataclass, field, replace
from ipaddress import AddressValueError, IPv6Address
from urllib.parse import quote, unquote, urljoin

from imagepipe.core.paths import has_control
from imagepipe.errors import BadRequest, ConfigError, Forbidden, NotFound, SourceFailed

URL_LENGTH_MAX = 8192

_PORTS = {"http": 80, "https": 443}
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
_LABEL = "[a-z0-9_][a-z0-9_-]{0,62}"
_URL = re.compile(
    rf"""(?P<scheme>https?)://
    (?:(?P<name>{_LABEL}(?:\.{_LABEL})*)\.? | \[(?P<address>[0-9a-f:.]+)\])
    (?::(?P<port>[1-9][0-9]{{0,4}})?)?
    (?P<path>/[^?]*)?
    (?P<query>\?.*)?""",
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)
_HOST_LENGTH_MAX = 253


@dataclass(frozen=True, slots=True)
class SourceUrl:
    """A URL that may be fetched, in parts. host: lower case, without a final dot or brackets. path:
    from its slash. query: from its `?`, or empty.

    exempt: it is below source_base; its address is not checked.
    """

    scheme: str
    host: str
    port: int
    path: str
    query: str
    exempt: bool = False

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def resource(self) -> str:
        """What the request line asks for."""
        return self.path + self.query

    @property
    def url(self) -> str:
        """The whole."""
        return self.without_query + self.query

    @property
    def without_query(self) -> str:
        """For the log: a query may hold a secret."""
        return f"{self.scheme}://{self.authority}{self.path}"


@dataclass(frozen=True, slots=True)
class SourceRules:
    """What the operator allows. Raises ConfigError where `base` or one of `prefixes` is no URL that
    could be fetched.
    """

    base: str | None
    prefixes: tuple[str, ...]
    allow_private: bool
    _base: SourceUrl | None = field(init=False, repr=False)
    _prefixes: tuple[SourceUrl, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "_base", None if self.base is None else _configured("source_base", self.base)
        )
        object.__setattr__(
            self, "_prefixes", tuple(_configured("sources", prefix) for prefix in self.prefixes)
        )

    def of_image(self, path: str) -> SourceUrl:
        """Where the original of the image at a clean path is: below source_base, whose query, if it
        has one, stays at the end.

        A query that ends in `=` (http://storage/get?name=) is waiting for the path, and gets it.
        """
        if self._base is None:
            raise NotFound("path", "there is no such image")
        if self._base.query.endswith("="):
            return replace(self._base, query=self._base.query + quote(path, safe=""), exempt=True)
        return replace(self._base, path=f"{self._base.path.rstrip('/')}/{quote(path)}", exempt=True)

    def admit_named(self, url: str) -> SourceUrl:
        """The URL that a client named; raises BadRequest if it is malformed, Forbidden if it is not
        below one of `sources`.
        """
        try:
            parts = _parse(url)
        except ValueError as error:
            raise BadRequest("source", str(error)) from None
        if not self._among_prefixes(parts):
            raise Forbidden("source", "is not below any of the URLs that [http] sources lists")
        return replace(parts, exempt=self._below_base(parts))

    def redirected(self, redirecting: SourceUrl, location: bytes) -> SourceUrl:
        """Where a redirect leads that `redirecting` answered with; raises SourceFailed if nothing
        may be fetched there.
        """
        try:
            # A fragment is the browser's business (RFC 9110, section 10.2.2).
            parts = _parse(location.partition(b"#")[0].decode(), relative_to=redirecting.url)
        except ValueError:
            raise SourceFailed("the source redirects to what is no URL to fetch from") from None
        if redirecting.exempt and self._below_base(parts):
            return replace(parts, exempt=True)
        if not self._among_prefixes(parts):
            raise SourceFailed(
                "the source redirects to an address from which fetching is not allowed"
            )
        return parts

    def any_address(self, url: SourceUrl) -> bool:
        """Whether this URL may lead to any address, and not to public ones only."""
        return url.exempt or self.allow_private

    def _below_base(self, url: SourceUrl) -> bool:
        return self._base is not None and _below(url, self._base)

    def _among_prefixes(self, url: SourceUrl) -> bool:
        return any(_below(url, prefix) for prefix in self._prefixes)


def is_fetchable(url: str) -> bool:
    """Whether this is a URL that could be fetched, if the rules let it."""
    try:
        _parse(url)
    except ValueError:
        return False
    return True


def _configured(option: str, url: str) -> SourceUrl:
    try:
        return _parse(url)
    except ValueError as error:
        raise ConfigError([f"[http] {option} = {url}: {error}"]) from None


def _parse(text: str, relative_to: str | None = None) -> SourceUrl:
    """The parts of a URL; of one that is `relative_to` another, once it is resolved. Raises
    ValueError, with a text that follows "source: ".
    """
    if len(text) > URL_LENGTH_MAX or len(encoded := _encode(text)) > URL_LENGTH_MAX:
        raise ValueError(f"is longer than {URL_LENGTH_MAX} bytes")
    whole = encoded if relative_to is None else urljoin(relative_to, encoded)
    found = _URL.fullmatch(whole)
    port = int(found["port"] or _PORTS[found["scheme"].lower()]) if found else 0
    if not found or port > 65535 or len(whole) > URL_LENGTH_MAX:
        raise ValueError(
            "is not a URL to fetch from: write http:// or https://, a host in ASCII and a path,"
            " without user or password"
        )
    path = found["path"] or "/"
    if path.startswith("//"):
        raise ValueError("its path begins with two slashes")
    query = found["query"] or ""
    return SourceUrl(
        found["scheme"].lower(),
        _host(found["name"], found["address"]),
        port,
        path,
        "" if query == "?" else query,
    )


def _encode(text: str) -> str:
    """The text in printable ASCII, as browsers make it: spaces and letters of other alphabets are
    percent-encoded.
    """
    if has_control(text) or "\\" in text or "#" in text:
        raise ValueError("may not contain control characters, backslashes or a fragment")
    try:
        return quote(text, safe=_PRINTABLE)
    except UnicodeEncodeError:
        raise ValueError("is not valid Unicode") from None


def _host(name: str | None, address: str | None) -> str:
    if name is not None:
        if len(name) > _HOST_LENGTH_MAX:
            raise ValueError(f"its host is longer than {_HOST_LENGTH_MAX} characters")
        return name.lower()
    try:
        return IPv6Address(address or "").compressed
    except AddressValueError:
        raise ValueError("its host is not an IPv6 address") from None


def _below(url: SourceUrl, prefix: SourceUrl) -> bool:
    """Whether a URL is a prefix or below it, by whole segments of the path; one that might lead up
    again is not.
    """
    top = prefix.path.rstrip("/")
    same_server = (url.scheme, url.host, url.port) == (prefix.scheme, prefix.host, prefix.port)
    return (
        same_server
        and (url.path == top or url.path.startswith(top + "/"))
        and not any(map(_leads_up, url.path[len(top) :].split("/")))
    )


def _leads_up(segment: str) -> bool:
    """Whether any server might take this segment for `.` or `..`, or for several.

    Servers are known to decode twice, to take a backslash for a slash, and to drop what follows a
    semicolon before they look.
    """
    decoded = unquote(unquote(segment))
    return decoded.partition(";")[0] in (".", "..") or not {"/", "\\", "\0"}.isdisjoint(decoded)
