"""Originals fetched over HTTP (docs/design/contract.md, "Originals from elsewhere"), from servers
that may be slow, broken, lying or hostile.

    rules: may this URL be fetched? -> connection: may its address be connected to? -> a redirect?
    the same again, at most 5 times -> check the status, the encoding and the declared length ->
    the body into a temporary file, counted as it arrives

Of treq, only `collect` is used: its client would pass cookies on, decompress bodies, and parse the
URL again. Nothing is decompressed here, and connections are not reused.
"""

import contextlib
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO, Any, cast

from treq import collect
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeoutError
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import BrowserLikePolicyForHTTPS, HostnameCachingHTTPSPolicy
from twisted.web.iweb import UNKNOWN_LENGTH

from imagepipe import __version__
from imagepipe.core.requests.source_urls import SourceRules, SourceUrl
from imagepipe.errors import (
    DiskFull,
    Forbidden,
    ImagepipeError,
    NotFound,
    Overloaded,
    SourceFailed,
    SourceTimeout,
    TooLarge,
    quoted,
)
from imagepipe.runtime.reactor import ResolvingReactor
from imagepipe.web.fetch.source_connection import SourceConnection

REDIRECTS_MAX = 5
MEMORY_BYTES_MAX = 1 << 20
"""A larger original is written to the disk."""

_OK = 200
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MISSING = frozenset({404, 410})

_log = Logger()


@dataclass(slots=True)
class _Record:
    """What is logged of one fetch; filled in while it runs."""

    url: SourceUrl
    bytes: int = 0
    result: str = "OK"


class SourceFetcher:
    """Fetches originals, at most `fetches_max` at once. On the reactor's thread.

    bytes_max, seconds_max: the limits for one original, including redirects. resolver: an
    IHostnameResolver, by default the reactor's own. https_policy: an IPolicyForHTTPS, by default
    one that trusts the system's authorities.
    """

    def __init__(
        self,
        reactor: ResolvingReactor,
        rules: SourceRules,
        *,
        bytes_max: int,
        seconds_max: float,
        fetches_max: int = 64,
        resolver: Any = None,
        https_policy: Any = None,
    ) -> None:
        self._fetches: set[Deferred[Any]] = set()
        self._ending = False
        self._reactor = reactor
        self._rules = rules
        self._bytes_max = bytes_max
        self._seconds_max = seconds_max
        self._fetches_max = fetches_max
        self._resolver = resolver
        # Cached by host: reading the system's authorities takes 6 ms of the reactor's thread.
        self._https_policy = https_policy or HostnameCachingHTTPSPolicy(
            cast(Any, BrowserLikePolicyForHTTPS())
        )

    @property
    def running(self) -> int:
        """How many fetches are under way."""
        return len(self._fetches)

    def abandon(self) -> None:
        """Cancel all fetches and refuse new ones: the server is stopping."""
        self._ending = True
        for fetch in tuple(self._fetches):
            fetch.cancel()

    @property
    def has_base(self) -> bool:
        """Whether there is a `source_base`."""
        return self._rules.base is not None

    async def fetch_image(self, path: str) -> IO[bytes]:
        """The original of the image at a clean path, from source_base: a file positioned at its
        beginning, which the caller closes.

        Raises NotFound, TooLarge, SourceFailed, SourceTimeout, Overloaded, DiskFull.
        """
        return await self._fetch(self._rules.of_image(path))

    async def fetch_named(self, url: str) -> IO[bytes]:
        """The original at a URL that a client named: a file positioned at its beginning, which the
        caller closes.

        Raises BadRequest or Forbidden if it may not be fetched, and what `fetch_image` raises.
        """
        return await self._fetch(self._rules.admit_named(url))

    async def _fetch(self, url: SourceUrl) -> IO[bytes]:
        if self.running >= self._fetches_max:
            raise Overloaded(f"already fetching {self.running} originals; try again")
        self._refuse_if_ending()
        record = _Record(url)
        began = self._reactor.seconds()
        fetch: Deferred[Any] = Deferred.fromCoroutine(self._follow(record))
        self._fetches.add(fetch)
        try:
            return await fetch.addTimeout(
                self._seconds_max, self._reactor, onTimeoutCancel=self._timed_out
            )
        except BaseException as error:
            record.result = _described(error)
            if isinstance(error, CancelledError):
                self._refuse_if_ending()
            raise
        finally:
            self._fetches.discard(fetch)
            _log.info(
                "fetched {url}: {bytes} bytes, {ms} ms: {result}",
                url=record.url.without_query,
                bytes=record.bytes,
                ms=round((self._reactor.seconds() - began) * 1000),
                result=record.result,
            )

    def _refuse_if_ending(self) -> None:
        if self._ending:
            raise Overloaded("the server is stopping: try again")

    def _timed_out(self, _result: object, _seconds: float) -> Failure:
        return Failure(
            SourceTimeout(f"the source did not send the image within {self._seconds_max:g} s")
        )

    async def _follow(self, record: _Record) -> IO[bytes]:
        """The file at the end of the redirects that begin at `record.url`."""
        for redirects in range(REDIRECTS_MAX + 1):
            location = b""
            connection = self._connection(record.url)
            try:
                response = await connection.get(f"imagepipe/{__version__}")
                if response.code not in _REDIRECTS:
                    return await self._receive(response, connection, record)
                location = _location(response)
            except ImagepipeError:
                raise
            except Exception as error:
                raise _translated(error, connection, named=redirects == 0) from error
            finally:
                connection.abort()
            record.url = self._rules.redirected(record.url, location)
        raise SourceFailed(f"the source redirected more than {REDIRECTS_MAX} times")

    def _connection(self, url: SourceUrl) -> SourceConnection:
        resolver = self._resolver or self._reactor.nameResolver
        return SourceConnection(
            self._reactor,
            url,
            resolver,
            self._https_policy,
            any_address=self._rules.any_address(url),
        )

    async def _receive(
        self, response: Any, connection: SourceConnection, record: _Record
    ) -> IO[bytes]:
        """The body of a response, if it is acceptable."""
        _check_status(response)
        if response.length is not UNKNOWN_LENGTH:
            self._check_length(response.length)
        # the caller's to close
        file: IO[bytes] = SpooledTemporaryFile(MEMORY_BYTES_MAX)  # noqa: SIM115

        def take(chunk: bytes) -> None:
            connection.body_bytes = record.bytes = record.bytes + len(chunk)
            self._check_length(record.bytes)
            file.write(chunk)

        try:
            await collect(response, take)
            _check_end(connection)
            file.seek(0)
        except BaseException as error:
            with contextlib.suppress(OSError):  # a full disk raises again
                file.close()
            if isinstance(error, OSError):
                raise DiskFull("there is no space for the image that the source sends") from error
            raise
        return file

    def _check_length(self, length: int) -> None:
        if length > self._bytes_max:
            raise TooLarge("source", f"has more than {self._bytes_max} bytes (max_bytes)")


def _check_status(response: Any) -> None:
    if response.code in _MISSING:
        raise NotFound("source", f"not found (status {response.code})")
    if response.code != _OK:
        raise SourceFailed(f"the source answered with status {str(response.code)[:9]}")
    encodings = response.headers.getRawHeaders(b"content-encoding", [])
    if any(encoding.strip().lower() not in (b"", b"identity") for encoding in encodings):
        raise SourceFailed(
            "the source sent the image with a Content-Encoding, which was not accepted"
        )


def _check_end(connection: SourceConnection) -> None:
    if connection.was_cut_off:  # a body without a length ends with the connection, but not so
        raise SourceFailed("the source closed the connection before the end of the image")
    if not connection.body_bytes:
        raise SourceFailed("the source sent an empty body")


def _location(response: Any) -> bytes:
    locations: list[bytes] = response.headers.getRawHeaders(b"location", [])
    if len(locations) != 1 or not locations[0]:
        raise SourceFailed("the source redirects without exactly one Location header")
    return locations[0]


def _translated(error: Exception, connection: SourceConnection, *, named: bool) -> Exception:
    """Translates Twisted's error into one of ours. It reveals nothing about the network to a
    client; the log has the rest.
    """
    if connection.address_refused:
        if named:
            return Forbidden("source", "fetching from the address of its server is not allowed")
        return SourceFailed("the source redirects to an address from which fetching is not allowed")
    if connection.exceeded_limit:
        return SourceFailed(
            "the source sends too many headers, or the body in pieces that are too small"
        )
    if isinstance(_innermost(error), CancelledError | ConnectingCancelledError):
        return CancelledError()
    if isinstance(error, DNSLookupError) and connection.resolving:
        return CancelledError()
    if isinstance(error, ConnectTimeoutError):
        return SourceTimeout("connecting to the source timed out")
    if isinstance(error, DNSLookupError | ConnectError):
        return SourceFailed("cannot connect to the source")
    return SourceFailed(
        "the source did not send a valid HTTP response, or closed the connection early"
    )


def _described(error: BaseException) -> str:
    """For the log: our error and its cause."""
    cause = (
        "" if error.__cause__ is None else f" ({quoted(repr(_innermost(error.__cause__)), 200)})"
    )
    return f"{type(error).__name__} {error}{cause}"


def _innermost(error: BaseException) -> BaseException:
    """The error that Twisted has wrapped, for instance in ResponseFailed."""
    reasons = getattr(error, "reasons", None)
    return _innermost(reasons[-1].value) if reasons else error
