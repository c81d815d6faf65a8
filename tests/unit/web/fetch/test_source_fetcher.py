"""Originals fetched over real sockets, from servers that do what servers should not."""

import gzip
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
)
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.web.client import BrowserLikePolicyForHTTPS
from zope.interface import implementer

import imagepipe
from imagepipe.core.requests.source_urls import SourceRules
from imagepipe.errors import (
    BadRequest,
    DiskFull,
    Forbidden,
    NotFound,
    Overloaded,
    SourceFailed,
    SourceTimeout,
    TooLarge,
)
from imagepipe.web.fetch.source_fetcher import MEMORY_BYTES_MAX, REDIRECTS_MAX, SourceFetcher
from tests.support.hostile_server import Exchange, HostileServer, tls_server
from tests.support.reactor_thread import PATIENCE_SECONDS, on_reactor, reactor

BYTES_MAX = 4 << 20
IMAGE = bytes(range(256)) * 8

KERNEL_BYTES = 12 << 20
"""What two kernels may hold of a connection (net.ipv4.tcp_rmem and tcp_wmem), so that a server can
have sent more than was received.
"""


def head(status: str = "200 OK", *headers: str) -> bytes:
    """The head of a response."""
    return "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *headers, "")).encode()


def declared(body: bytes, *headers: str) -> bytes:
    """A response with its length."""
    return head("200 OK", f"Content-Length: {len(body)}", *headers) + body


def chunk(piece: bytes) -> bytes:
    """A piece of a chunked body."""
    return f"{len(piece):x}\r\n".encode() + piece + b"\r\n"


CHUNKED = head("200 OK", "Transfer-Encoding: chunked")

WHOLE = declared(IMAGE)


def sending(*pieces: bytes) -> Callable[[Exchange], None]:
    """Sends this and closes."""
    return lambda exchange: exchange.send(*pieces)


def sending_for_ever(begin: bytes, piece: bytes) -> Callable[[Exchange], None]:
    """Sends this, and the same again and again."""

    def answer(exchange: Exchange) -> None:
        exchange.send(begin)
        exchange.send_for_ever(piece)

    return answer


def holding(begin: bytes) -> Callable[[Exchange], None]:
    """Sends this and falls silent."""

    def answer(exchange: Exchange) -> None:
        exchange.send(begin)
        exchange.hold()

    return answer


def redirecting(location: str, status: str = "302 Found") -> bytes:
    """A response that leads elsewhere."""
    return head(status, f"Location: {location}", "Content-Length: 0")


@implementer(IHostResolution)
class Resolution:
    """The search for the addresses of a name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """It holds nothing."""


@implementer(IHostnameResolver)
class FixedResolver:
    """A resolver that answers with chosen addresses: the names of the network's own resolver are
    not the test's to choose. None: it never answers.
    """

    def __init__(self, addresses: Sequence[str] | None) -> None:
        self.names: list[str] = []
        self._addresses = addresses

    # Twisted's names
    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        self.names.append(hostName)
        resolution = Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        if self._addresses is not None:
            for address in self._addresses:
                resolutionReceiver.addressResolved(
                    (IPv6Address if ":" in address else IPv4Address)("TCP", address, portNumber)
                )
            resolutionReceiver.resolutionComplete()
        return resolution


class Fetching:
    """A SourceFetcher on the reactor's thread, asked from the test's."""

    def __init__(
        self,
        base: str | None = None,
        named: Sequence[str] = (),
        *,
        allow_private: bool = False,
        seconds_max: float = PATIENCE_SECONDS,
        **more: Any,
    ) -> None:
        rules = SourceRules(base, tuple(named), allow_private=allow_private)
        self.sources = SourceFetcher(
            reactor, rules, **{"bytes_max": BYTES_MAX, "seconds_max": seconds_max, **more}
        )

    def image(self, path: str = "a.jpg") -> bytes:
        """What source_base has at a path."""
        return self._read(
            on_reactor(lambda: Deferred.fromCoroutine(self.sources.fetch_image(path)))
        )

    def named(self, url: str) -> bytes:
        """What a client has named."""
        return self._read(on_reactor(lambda: Deferred.fromCoroutine(self.sources.fetch_named(url))))

    def begin(self, path: str = "a.jpg") -> tuple["Deferred[IO[bytes]]", "Future[Any]"]:
        """A fetch from source_base that is under way, and what will come of it: a file or a
        Failure.
        """
        outcome: Future[Any] = Future()

        def start() -> "list[Deferred[IO[bytes]]]":
            fetch = Deferred.fromCoroutine(self.sources.fetch_image(path))
            fetch.addBoth(outcome.set_result)
            return [fetch]  # in a list, or it would be waited for

        [fetch] = on_reactor(start)
        return fetch, outcome

    @property
    def running(self) -> int:
        """How many fetches are under way."""
        return on_reactor(lambda: self.sources.running)

    @staticmethod
    def _read(file: Any) -> bytes:
        with file:
            assert file.tell() == 0
            content: bytes = file.read()
        return content


@contextmanager
def serving(
    answer: Callable[[Exchange], None], **more: Any
) -> Iterator[tuple[HostileServer, Fetching]]:
    """A server, and sources whose source_base it is; no fetch is left over afterwards."""
    with HostileServer(answer) as server:
        fetching = Fetching(f"http://{server.netloc}", **more)
        yield server, fetching
        assert fetching.running == 0


@contextmanager
def logged(*namespaces: str) -> Iterator[list[LogEvent]]:
    """What is logged meanwhile in these namespaces."""
    events: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if str(event.get("log_namespace", "")).startswith(namespaces):
            events.append(event)

    observer: Any = observe
    globalLogPublisher.addObserver(observer)
    try:
        yield events
    finally:
        globalLogPublisher.removeObserver(observer)


class FetchingTests:
    """What a good server gives."""

    @pytest.mark.parametrize(
        "answer",
        [
            WHOLE,
            CHUNKED + chunk(IMAGE[:1000]) + chunk(IMAGE[1000:]) + b"0\r\n\r\n",
            CHUNKED
            + b"".join(chunk(IMAGE[at : at + 100]) for at in range(0, len(IMAGE), 100))
            + b"0\r\nTrailer: 1\r\n\r\n",
            head() + IMAGE,  # ends with the connection
            b"HTTP/1.0 200 OK\nContent-Length: %d\n\n" % len(IMAGE) + IMAGE,
            head("103 Early Hints", "Link: </a>") + head("100 Continue") + WHOLE,
            declared(
                IMAGE, "Content-Encoding: identity", "Content-Type: text/html", "Set-Cookie: a=b"
            ),
            WHOLE + b"more than was declared",
        ],
    )
    def test_the_body_comes_whole_in_each_framing(self, answer: bytes) -> None:
        with serving(sending(answer)) as (_, fetching):
            assert fetching.image() == IMAGE

    def test_it_comes_whole_byte_by_byte(self) -> None:
        answer = CHUNKED + chunk(IMAGE) + b"0\r\n\r\n"
        with serving(sending(*(answer[at : at + 1] for at in range(len(answer))))) as (_, fetching):
            assert fetching.image() == IMAGE

    def test_a_large_body_comes_whole(self) -> None:
        large = bytes(range(251)) * (BYTES_MAX // 251)
        assert len(large) > MEMORY_BYTES_MAX
        with serving(sending(declared(large))) as (_, fetching):
            assert fetching.image() == large

    def test_the_path_is_asked_for_below_source_base(self) -> None:
        with HostileServer(sending(WHOLE)) as server:
            assert (
                Fetching(f"http://{server.netloc}/originals/?key=1").image("user/blå 1.jpg")
                == IMAGE
            )
            assert server.requests[0].startswith(
                b"GET /originals/user/bl%C3%A5%201.jpg?key=1 HTTP/1.1\r\n"
            )

    def test_the_request_says_no_more_than_it_must(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        with serving(sending(WHOLE)) as (server, fetching):
            fetching.image()
        assert sorted(server.requests[0].decode().strip().split("\r\n")) == sorted(
            [
                "GET /a.jpg HTTP/1.1",
                f"Host: {server.netloc}",
                f"User-Agent: imagepipe/{imagepipe.__version__}",
                "Accept: */*",
                "Accept-Encoding: identity",
                "Connection: close",
            ]
        )

    def test_the_connection_is_ended_though_the_server_would_keep_it(self) -> None:
        with serving(holding(WHOLE)) as (server, fetching):
            assert fetching.image() == IMAGE
            server.wait_for(server.ended)

    def test_a_client_may_name_what_is_below_a_source(self) -> None:
        with HostileServer(sending(WHOLE)) as server:
            fetching = Fetching(named=[f"http://{server.netloc}/photos"], allow_private=True)
            assert fetching.named(f"http://{server.netloc}/photos/a.jpg?x=1") == IMAGE
            assert server.requests[0].startswith(b"GET /photos/a.jpg?x=1 HTTP/1.1\r\n")

    def test_what_may_not_be_named_is_not_asked_for(self) -> None:
        with HostileServer(sending(WHOLE)) as server:
            fetching = Fetching(named=[f"http://{server.netloc}/photos"], allow_private=True)
            for url, error in (
                (f"http://{server.netloc}/private", Forbidden),
                (f"http://user@{server.netloc}/photos/a", BadRequest),
            ):
                with pytest.raises(error):
                    fetching.named(url)
            assert server.untouched()

    def test_without_source_base_there_is_no_such_image(self) -> None:
        fetching = Fetching()
        assert not fetching.sources.has_base
        with pytest.raises(NotFound):
            fetching.image()

    def test_a_url_that_twisted_reads_in_another_way_is_not_fetched(self) -> None:
        with HostileServer(sending(WHOLE)) as server:
            with pytest.raises(SourceFailed):
                Fetching(named=[f"http://{server.netloc}/"], allow_private=True).named(
                    f"http://{server.netloc}/a;"
                )
            assert server.untouched()

    def test_each_fetch_is_one_line_of_the_log_without_the_query(self) -> None:
        with logged("imagepipe", "twisted.web") as events, HostileServer(sending(WHOLE)) as server:
            Fetching(named=[f"http://{server.netloc}/"], allow_private=True).named(
                f"http://{server.netloc}/a?token=secret"
            )
            with pytest.raises(NotFound):
                Fetching().image()
        [line] = [formatEvent(event) for event in events]
        assert line.startswith(f"fetched http://{server.netloc}/a: {len(IMAGE)} bytes, ")
        assert line.endswith(" ms: OK")

    def test_the_log_knows_more_about_a_failure_than_the_client(self) -> None:
        with (
            logged("imagepipe") as events,
            serving(sending(b"SSH-2.0-OpenSSH_9.2\r\n")) as (_, fetching),
            pytest.raises(SourceFailed) as caught,
        ):
            fetching.image()
        [line] = [formatEvent(event) for event in events]
        assert "SSH-2.0" in line
        assert "SSH" not in str(caught.value)


class AnswersTests:
    """What a source may answer besides."""

    @pytest.mark.parametrize("status", ["404 Not Found", "410 Gone"])
    def test_what_is_not_there_is_not_found(self, status: str) -> None:
        with (
            serving(sending(head(status, "Content-Length: 4") + b"gone")) as (_, fetching),
            pytest.raises(NotFound, match=r"^source: "),
        ):
            fetching.image()

    @pytest.mark.parametrize(
        "status",
        [201, 204, 206, 300, 304, 305, 400, 401, 403, 429, 500, 503, 600, 999, -200, 10**30],
    )
    def test_any_other_status_is_a_failure_that_names_it(self, status: int) -> None:
        with (
            serving(sending(head(f"{status} X") + IMAGE)) as (_, fetching),
            pytest.raises(SourceFailed, match=f"status {str(status)[:9]}$"),
        ):
            fetching.image()

    @pytest.mark.parametrize("answer", [declared(b""), head(), CHUNKED + b"0\r\n\r\n"])
    def test_an_empty_body_is_a_failure(self, answer: bytes) -> None:
        with (
            serving(sending(answer)) as (_, fetching),
            pytest.raises(SourceFailed, match="empty body"),
        ):
            fetching.image()

    @pytest.mark.parametrize(
        "encoding", ["gzip", "deflate", "br", "x-gzip", "identity, gzip", "GZIP"]
    )
    def test_an_encoded_body_is_refused_unread(self, encoding: str) -> None:
        bomb = gzip.compress(bytes(64 << 20))
        encoded = (
            head("200 OK", f"Content-Encoding: {encoding}", f"Content-Length: {len(bomb)}") + bomb
        )
        with (
            serving(sending(encoded)) as (_, fetching),
            pytest.raises(SourceFailed, match="Content-Encoding"),
        ):
            fetching.image()

    @pytest.mark.parametrize(
        "answer",
        [
            b"",
            b"\r\n",
            b"\x00\xff\x16\x03\x01" * 100,
            b"not HTTP at all\r\n\r\n",
            b"<html>HTTP/0.9</html>",
            b"HTTP/1.1\r\n\r\n",
            b"HTTP/x.y 200 OK\r\n\r\n" + IMAGE,
            b"HTTP/1.1 OK 200\r\n\r\n" + IMAGE,
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n" + IMAGE,
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Le",
            head("200 OK", "Content-Length: -1") + IMAGE,
            head("200 OK", "Content-Length: +2048") + IMAGE,
            head("200 OK", "Content-Length: x") + IMAGE,
            head("200 OK", f"Content-Length: {len(IMAGE)}", "Content-Length: 7") + IMAGE,
            head("200 OK", "Transfer-Encoding: gzip, chunked") + chunk(IMAGE) + b"0\r\n\r\n",
            head("200 OK", f"Content-Length: {len(IMAGE) + 1}") + IMAGE,
            CHUNKED,
            CHUNKED + chunk(IMAGE),
            CHUNKED + chunk(IMAGE) + b"0\r\n",
            CHUNKED + f"{len(IMAGE):x}\r\n".encode() + IMAGE + b"no line break",
            CHUNKED + b"-8\r\n" + IMAGE,
            CHUNKED + b"0x10\r\n" + IMAGE,
            CHUNKED + IMAGE,
            head("100 Continue"),
        ],
    )
    def test_what_is_broken_off_or_no_http_is_a_failure(self, answer: bytes) -> None:
        with serving(sending(answer)) as (_, fetching), pytest.raises(SourceFailed) as caught:
            fetching.image()
        assert not isinstance(caught.value, SourceTimeout)

    @pytest.mark.parametrize(
        "begin",
        [
            b"",
            b"HTTP/1.1 20",
            head() + IMAGE,
            head("200 OK", "Content-Length: 9999") + IMAGE,
            CHUNKED + chunk(IMAGE),
        ],
    )
    def test_a_connection_that_is_reset_is_a_failure_even_where_no_length_was_declared(
        self, begin: bytes
    ) -> None:
        def answer(exchange: Exchange) -> None:
            exchange.send(begin)
            exchange.reset()

        with serving(answer) as (_, fetching), pytest.raises(SourceFailed):
            fetching.image()

    def test_where_nobody_listens_is_a_failure(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        with pytest.raises(SourceFailed, match=r"^cannot connect to the source$"):
            Fetching(f"http://127.0.0.1:{port}").image()

    def test_a_name_that_leads_nowhere_is_the_same_failure(self) -> None:
        with pytest.raises(SourceFailed, match=r"^cannot connect to the source$"):
            Fetching("http://nowhere.example", resolver=FixedResolver([])).image()


class BoundsTests:
    """How much of its bytes and time a server can take."""

    def test_a_declared_length_over_the_bound_is_refused_at_once(self) -> None:
        with serving(holding(head("200 OK", f"Content-Length: {BYTES_MAX + 1}"))) as (
            server,
            fetching,
        ):
            with pytest.raises(TooLarge, match=r"^source: "):
                fetching.image()
            server.wait_for(server.ended)

    def test_a_body_as_large_as_may_be_is_taken(self) -> None:
        with serving(sending(CHUNKED, chunk(bytes(BYTES_MAX)), b"0\r\n\r\n")) as (_, fetching):
            assert len(fetching.image()) == BYTES_MAX

    @pytest.mark.parametrize(
        ("begin", "piece"),
        [
            (CHUNKED, chunk(bytes(1 << 16))),
            (CHUNKED + b"7fffffffffff\r\n", bytes(1 << 16)),
            (head(), bytes(1 << 16)),
        ],
    )
    def test_an_endless_body_is_counted_as_it_comes(self, begin: bytes, piece: bytes) -> None:
        with serving(sending_for_ever(begin, piece)) as (server, fetching):
            with pytest.raises(TooLarge, match=r"^source: "):
                fetching.image()
            server.wait_for(server.ended)
            assert server.sent_bytes <= BYTES_MAX + KERNEL_BYTES

    @pytest.mark.parametrize(
        ("begin", "piece"),
        [
            (b"", b"HTTP"),
            (b"HTTP/1.1 200 ", b"OK"),
            (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
            (b"HTTP/1.1 200 OK\r\n", b"a:\n"),
            (b"HTTP/1.1 200 OK\r\n", b"Set-Cookie: " + b"c" * 4000 + b"\r\n"),
            (b"HTTP/1.1 200 OK\r\nA: ", b"b"),
            (b"HTTP/1.1 200 OK\r\nA: b\r\n", b" more of it\r\n"),
            (b"", head("100 Continue")),
            (b"", b"HTTP/1.1 100\n\n"),
            (CHUNKED, b"1\r\na\r\n"),
            (CHUNKED, b"1;" + b"x" * 1000 + b"\r\na\r\n"),
            (CHUNKED, b"000000000"),
            (CHUNKED + chunk(IMAGE) + b"0\r\n", b"A: b\r\n"),
            (CHUNKED + chunk(IMAGE) + b"0\r\nA: ", b"b"),
        ],
    )
    def test_endless_framing_is_cut_off(self, begin: bytes, piece: bytes) -> None:
        with serving(sending_for_ever(begin, piece * (65536 // len(piece)))) as (server, fetching):
            with pytest.raises(SourceFailed) as caught:
                fetching.image()
            assert not isinstance(caught.value, SourceTimeout)
            server.wait_for(server.ended)
            assert server.sent_bytes <= KERNEL_BYTES

    @pytest.mark.parametrize(
        "begin",
        [
            b"",
            b"HTTP/1.1 200 OK\r\nA: b",
            head("200 OK", "Content-Length: 9999") + IMAGE,
            head() + IMAGE,
            CHUNKED + chunk(IMAGE),
        ],
    )
    def test_a_server_that_falls_silent_has_until_the_deadline(self, begin: bytes) -> None:
        with serving(holding(begin), seconds_max=0.2) as (server, fetching):
            with pytest.raises(SourceTimeout, match=r"within 0\.2 s"):
                fetching.image()
            server.wait_for(server.ended)

    @pytest.mark.parametrize(
        "begin", [b"", b"HTTP/1.1 200 OK\r\nA: b", CHUNKED + b"ffff\r\n", head()]
    )
    def test_so_has_one_that_drips(self, begin: bytes) -> None:
        def answer(exchange: Exchange) -> None:
            exchange.send(begin)
            exchange.drip(b"x")

        with serving(answer, seconds_max=0.2) as (server, fetching):
            with pytest.raises(SourceTimeout):
                fetching.image()
            server.wait_for(server.ended)

    def test_redirects_share_one_deadline(self) -> None:
        def answer(exchange: Exchange) -> None:
            if exchange.path.endswith("2"):
                exchange.hold()
            exchange.send(redirecting(exchange.path + "2"))

        with serving(answer, seconds_max=0.2) as (server, fetching):
            with pytest.raises(SourceTimeout):
                fetching.image("1")
            assert len(server.requests) == 2

    def test_a_name_that_is_never_resolved_has_until_the_deadline(self) -> None:
        with pytest.raises(SourceTimeout):
            Fetching("http://slow.example", seconds_max=0.2, resolver=FixedResolver(None)).image()

    def test_only_a_limited_number_is_fetched_at_once(self) -> None:
        with serving(holding(b""), fetches_max=2) as (server, fetching):
            begun = [fetching.begin() for _ in range(2)]
            assert fetching.running == 2
            with pytest.raises(Overloaded):
                fetching.image()
            server.wait_for(server.requested)
            for fetch, outcome in begun:
                on_reactor(fetch.cancel)
                assert outcome.result(PATIENCE_SECONDS).check(CancelledError)
            assert fetching.running == 0
            server.wait_for(server.ended)

    @pytest.mark.parametrize(
        "begin", [b"", b"HTTP/1.1 200 OK\r\nA: b", head() + IMAGE, CHUNKED + chunk(IMAGE)]
    )
    def test_a_fetch_that_is_cancelled_ends_its_connection(self, begin: bytes) -> None:
        with serving(holding(begin)) as (server, fetching):
            fetch, outcome = fetching.begin()
            server.wait_for(server.requested)
            assert not outcome.done()
            on_reactor(fetch.cancel)
            assert outcome.result(PATIENCE_SECONDS).check(CancelledError)
            server.wait_for(server.ended)

    def test_one_that_is_cancelled_before_its_name_is_resolved_never_connects(self) -> None:
        fetching = Fetching("http://slow.example", resolver=FixedResolver(None))
        fetch, outcome = fetching.begin()
        on_reactor(fetch.cancel)
        assert outcome.result(PATIENCE_SECONDS).check(CancelledError)
        assert fetching.running == 0

    def test_a_server_that_stops_ends_them_and_begins_none(self) -> None:
        with serving(holding(head() + IMAGE)) as (server, fetching):
            _, outcome = fetching.begin()
            server.wait_for(server.requested)
            on_reactor(fetching.sources.abandon)
            assert outcome.result(PATIENCE_SECONDS).check(Overloaded)
            server.wait_for(server.ended)
            with pytest.raises(Overloaded):
                fetching.image()

    def test_a_full_disk_is_none_of_the_sources_doing(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
        with (
            serving(sending(declared(bytes(MEMORY_BYTES_MAX + 1)))) as (_, fetching),
            pytest.raises(DiskFull),
        ):
            fetching.image()


class RedirectsTests:
    """Where a source may lead, and where not."""

    @pytest.mark.parametrize(
        "status",
        [
            "301 Moved Permanently",
            "302 Found",
            "303 See Other",
            "307 Temporary Redirect",
            "308 Permanent Redirect",
        ],
    )
    def test_each_kind_is_followed(self, status: str) -> None:
        def answer(exchange: Exchange) -> None:
            exchange.send(
                WHOLE if exchange.path == "/b.jpg?x=1" else redirecting("b.jpg?x=1", status)
            )

        with serving(answer) as (_, fetching):
            assert fetching.image() == IMAGE

    def test_cookies_are_not_sent_on(self) -> None:
        def answer(exchange: Exchange) -> None:
            exchange.send(
                WHOLE
                if exchange.path == "/b"
                else head(
                    "302 Found", "Location: /b", "Set-Cookie: a=b; Path=/", "Content-Length: 0"
                )
            )

        with serving(answer) as (server, fetching):
            assert fetching.image() == IMAGE
        assert [
            request.lower().count(b"cookie") + request.lower().count(b"referer")
            for request in server.requests
        ] == [0, 0]

    @pytest.mark.parametrize("redirects", [REDIRECTS_MAX, REDIRECTS_MAX + 1])
    def test_a_limited_number_of_redirects_is_followed(self, redirects: int) -> None:
        def answer(exchange: Exchange) -> None:
            at = int(exchange.path.removeprefix("/"))
            exchange.send(WHOLE if at == redirects else redirecting(f"/{at + 1}"))

        with serving(answer) as (server, fetching):
            if redirects <= REDIRECTS_MAX:
                assert fetching.image("0") == IMAGE
            else:
                with pytest.raises(SourceFailed, match="more than 5 times"):
                    fetching.image("0")
            assert len(server.requests) == REDIRECTS_MAX + 1

    def test_a_loop_ends(self) -> None:
        with serving(lambda exchange: exchange.send(redirecting(exchange.path))) as (
            server,
            fetching,
        ):
            with pytest.raises(SourceFailed, match="more than 5 times"):
                fetching.image()
            assert len(server.requests) == REDIRECTS_MAX + 1

    @pytest.mark.parametrize("headers", [(), ("Location:",), ("Location: /b", "Location: /c")])
    def test_one_that_leads_nowhere_in_particular_is_a_failure(
        self, headers: tuple[str, ...]
    ) -> None:
        with (
            serving(sending(head("302 Found", *headers, "Content-Length: 0"))) as (_, fetching),
            pytest.raises(SourceFailed, match="exactly one Location"),
        ):
            fetching.image()

    def test_its_body_is_not_read(self) -> None:
        def answer(exchange: Exchange) -> None:
            if exchange.path == "/b":
                exchange.send(WHOLE)
            else:
                exchange.send(head("302 Found", "Location: /b"))
                exchange.send_for_ever(bytes(1 << 16))

        with serving(answer) as (server, fetching):
            assert fetching.image() == IMAGE
            server.wait_for(server.ended)

    @pytest.mark.parametrize(
        "location",
        [
            "file:///etc/passwd",
            "ftp://{netloc}/b",
            "gopher://{netloc}/b",
            "javascript:alert(1)",
            "http://user@{netloc}/b",
            "http://{netloc}@evil.example/b",
            "http://evil.example#@{netloc}/b",
            "http://evil.example\\@{netloc}/b",
            "//evil.example/b",
            "https://{netloc}/b",
            "http://127.0.0.1:1/b",
            "http://127.0.0.1/b",
            "http://{netloc}:80/b",
            "http://{netloc}/b/%2e%2e/%2e%2e/c",
            "http://127.1:{port}/b",
            "http://0x7f000001:{port}/b",
            "http://2130706433:{port}/b",
            "http://0177.0.0.1:{port}/b",
            "http://[::ffff:127.0.0.1]:{port}/b",
            "http://[::1]:{port}/b",
            "http://localhost:{port}/b",
            "http://{netloc}/a\x01b",
        ],
    )
    def test_one_out_of_the_rules_is_a_failure_that_does_not_say_where(self, location: str) -> None:
        with HostileServer(
            lambda exchange: exchange.send(
                redirecting(location.format(netloc=server.netloc, port=server.port))
            )
        ) as server:
            with pytest.raises(SourceFailed) as caught:
                Fetching(f"http://{server.netloc}/").image()
            assert len(server.requests) == 1
        assert not set(str(caught.value).split()) & {location, server.netloc}

    def test_from_source_base_to_a_source_it_is_checked_again(self) -> None:
        with (
            HostileServer(sending(WHOLE)) as inner,
            HostileServer(sending(redirecting(f"http://{inner.netloc}/b"))) as outer,
        ):
            with pytest.raises(SourceFailed):
                Fetching(f"http://{outer.netloc}", [f"http://{inner.netloc}/"]).image()
            assert (
                Fetching(
                    f"http://{outer.netloc}", [f"http://{inner.netloc}/"], allow_private=True
                ).image()
                == IMAGE
            )


SPELLINGS = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "0x7f000001",
    "0x7f.1",
    "2130706433",
    "0177.0.0.1",
    "017700000001",
    "0",
    "0.0.0.0",
    "127.255.255.254",
    "localhost",
    "LOCALHOST.",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:0:127.0.0.1]",
    "[::127.0.0.1]",
    "[0:0:0:0:0:ffff:7f00:1]",
]


class AddressesTests:
    """What a name, or a number, leads to."""

    @pytest.mark.parametrize("host", SPELLINGS)
    def test_no_spelling_of_loopback_is_connected_to_even_below_a_source(self, host: str) -> None:
        with HostileServer(sending(WHOLE)) as server:
            url = f"http://{host}:{server.port}/a.jpg"
            with pytest.raises(Forbidden, match="is not allowed"):
                Fetching(named=[url]).named(url)
            assert server.untouched()

    @pytest.mark.parametrize("host", SPELLINGS)
    def test_nor_when_a_redirect_leads_there(self, host: str) -> None:
        with HostileServer(sending(WHOLE)) as inner:
            url = f"http://{host}:{inner.port}/a.jpg"
            with (
                HostileServer(sending(redirecting(url))) as outer,
                pytest.raises(SourceFailed, match="redirects to an address"),
            ):
                Fetching(f"http://{outer.netloc}", [url]).image()
            assert inner.untouched()

    @pytest.mark.parametrize(
        "addresses",
        [
            ["127.0.0.1"],
            ["10.0.0.1"],
            ["169.254.169.254"],
            ["::1"],
            ["::ffff:127.0.0.1"],
            ["fe80::1%lo"],
            ["8.8.8.8", "127.0.0.1"],
            ["127.0.0.1", "8.8.8.8"],
        ],
    )
    def test_a_name_is_refused_for_any_of_its_addresses(self, addresses: list[str]) -> None:
        with HostileServer(sending(WHOLE)) as server:
            url = f"http://rebinding.example:{server.port}/"
            with pytest.raises(Forbidden, match="is not allowed"):
                Fetching(named=[url], resolver=FixedResolver(addresses)).named(url)
            assert server.untouched()

    def test_the_refusal_is_the_same_whether_anybody_listens_or_not(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            texts = [self._refusal(f"http://127.0.0.1:{port}/")]
        texts.append(self._refusal(f"http://127.0.0.1:{port}/"))
        assert len(set(texts)) == 1

    @staticmethod
    def _refusal(url: str) -> str:
        with pytest.raises(Forbidden) as caught:
            Fetching(named=[url]).named(url)
        return str(caught.value)

    def test_a_name_is_resolved_once_so_that_it_cannot_change_its_mind(self) -> None:
        resolver = FixedResolver(["127.0.0.1"])
        with HostileServer(sending(WHOLE)) as server:
            assert (
                Fetching(f"http://storage.example:{server.port}", resolver=resolver).image()
                == IMAGE
            )
            assert f"\r\nHost: storage.example:{server.port}\r\n".encode() in server.requests[0]
        assert resolver.names == ["storage.example"]

    def test_a_name_may_have_an_underscore_as_those_of_containers_do(self) -> None:
        with HostileServer(sending(WHOLE)) as server:
            assert (
                Fetching(
                    f"http://my_storage:{server.port}", resolver=FixedResolver(["127.0.0.1"])
                ).image()
                == IMAGE
            )

    def test_an_address_where_nobody_listens_is_passed_over(self) -> None:
        with HostileServer(sending(WHOLE)) as server:
            assert (
                Fetching(
                    f"http://storage.example:{server.port}",
                    resolver=FixedResolver(["127.0.0.2", "127.0.0.1"]),
                ).image()
                == IMAGE
            )

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f000001"])
    def test_private_addresses_may_be_allowed(self, host: str) -> None:
        with HostileServer(sending(WHOLE)) as server:
            url = f"http://{host}:{server.port}/"
            assert Fetching(named=[url], allow_private=True).named(url) == IMAGE


class TLSTests:
    """https."""

    @pytest.fixture
    def policy(self, tmp_path: Path) -> Any:
        self.server_context = tls_server(tmp_path, "storage.example")
        return BrowserLikePolicyForHTTPS(
            trustRootFromCertificates([Certificate.loadPEM((tmp_path / "cert.pem").read_bytes())])
        )

    def test_a_server_that_proves_its_name_is_heard(self, policy: Any) -> None:
        with HostileServer(sending(WHOLE), self.server_context) as server:
            fetching = Fetching(
                f"https://storage.example:{server.port}",
                resolver=FixedResolver(["127.0.0.1"]),
                https_policy=policy,
            )
            assert fetching.image() == IMAGE

    def test_one_that_proves_another_is_sent_nothing(self, policy: Any) -> None:
        with HostileServer(sending(WHOLE), self.server_context) as server:
            fetching = Fetching(
                f"https://other.example:{server.port}",
                resolver=FixedResolver(["127.0.0.1"]),
                https_policy=policy,
            )
            with pytest.raises(SourceFailed):
                fetching.image()
            server.wait_for(server.ended)
            assert server.requests == []

    def test_one_that_no_authority_vouches_for_is_sent_nothing(self, policy: Any) -> None:
        assert policy
        with HostileServer(sending(WHOLE), self.server_context) as server:
            with pytest.raises(SourceFailed):
                Fetching(
                    f"https://storage.example:{server.port}", resolver=FixedResolver(["127.0.0.1"])
                ).image()
            server.wait_for(server.ended)
            assert server.requests == []

    def test_a_body_without_length_must_end_with_a_farewell(self, policy: Any) -> None:
        # closes the socket under TLS
        with HostileServer(sending(head() + IMAGE), self.server_context) as server:
            fetching = Fetching(
                f"https://storage.example:{server.port}",
                resolver=FixedResolver(["127.0.0.1"]),
                https_policy=policy,
            )
            with pytest.raises(SourceFailed):
                fetching.image()

    def test_endless_headers_are_cut_off_there_too(self, policy: Any) -> None:
        with HostileServer(
            sending_for_ever(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n" * 1000), self.server_context
        ) as server:
            fetching = Fetching(
                f"https://storage.example:{server.port}",
                resolver=FixedResolver(["127.0.0.1"]),
                https_policy=policy,
            )
            with pytest.raises(SourceFailed, match="too many headers"):
                fetching.image()
            server.wait_for(server.ended)
            assert server.sent_bytes <= KERNEL_BYTES
