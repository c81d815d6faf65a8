"""Plain GETs that are answered at once: which those are, and that nothing else is different for
them.
"""

from typing import Any

import pytest

from imagepipe.web.http.fast_path import (
    HEADERS_MAX,
    REQUEST_BYTES_MAX,
    FastAnswer,
    PlainGet,
    head_of,
    plain_get,
)
from tests.support.browser import Browser
from tests.support.pages import CountingPage, WaitingPage

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
AT_HAND = HEAD + b"at"
BY_TWISTED = b"a page"


class PlainGetTests:
    @pytest.mark.parametrize(
        ("headers", "none_match"),
        [
            (b"Host: a\r\n", None),
            (
                (
                    b"Host: a\r\nAccept: */*\r\nUser-Agent: some thing/1.0 (of; a kind)\r\nCookie:"
                    b" a=b\r\nX-Forwarded-For:\r\n"
                ),
                None,
            ),
            (b"Host: a\r\nConnection: keep-alive\r\n", None),
            (b"HOST:\r\nCONNECTION:Keep-Alive \r\n", None),
            (b'if-none-match:"a", W/"b" \r\nHost: a\r\n', '"a", W/"b"'),
            (b"If-None-Match:\r\nhost:a\r\n", ""),
            (b"A: if-none-match: *\r\nHost: a\r\nB: Host: b\r\nC: Range: bytes=0-\r\n", None),
        ],
    )
    def test_these_headers_change_nothing_or_are_understood(
        self, headers: bytes, none_match: str | None
    ) -> None:
        assert plain_get(b"GET /a/b.jpg HTTP/1.1\r\n" + headers + b"\r\n") == PlainGet(
            b"/a/b.jpg", none_match
        )

    @pytest.mark.parametrize(
        "header",
        [
            b"Connection: close",
            b"Connection: keep-alive, close",
            b"Connection: close\r\nConnection: keep-alive",
            b"Content-Length: 0",
            b"content-length: 10",
            b"Transfer-Encoding: chunked",
            b"Expect: 100-continue",
            b"Upgrade: h2c",
            b"Range: bytes=0-1",
            b"If-Range: x",
            b"If-Match: x",
            b"If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT",
            b"If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT",
            b"If-None-Match: a\r\nIf-None-Match: b",
            b"A : a",
            b" A: a",
            b"A: a\r\n b",
            b"A: a\tb",
            b"A: \xe4",
            b"A: a\nRange: bytes=0-1",
            b"A",
            b"host: a",
            b": a",
            b"A: " + b"a" * REQUEST_BYTES_MAX,
            b"\r\n".join([b"A: b"] * (HEADERS_MAX + 1)),
        ],
    )
    def test_these_are_left_to_twisted(self, header: bytes) -> None:
        assert plain_get(b"GET /a/b.jpg HTTP/1.1\r\nHost: a\r\n" + header + b"\r\n\r\n") is None

    @pytest.mark.parametrize(
        "data",
        [
            b"GET /a HTTP/1.1\r\n\r\n",
            b"GET /a HTTP/1.1\r\nHosts: a\r\nX-Host: a\r\n\r\n",
            b"GET /a HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
            b"HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n",
            b"POST /a HTTP/1.1\r\nHost: a\r\n\r\n",
            b"get /a HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /a HTTP/1.0\r\nHost: a\r\n\r\n",
            b"GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /a? HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET http://x/a HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET  /a HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /\xe4 HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /a HTTP/1.1\r\n",
            b"GET /a HTTP/1.1\n\n",
            b"GET /a HTTP/1.1\r\nHost: a\r\n\r\nG",
            b"GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n",
            b"",
        ],
    )
    def test_so_is_anything_but_a_single_plain_get(self, data: bytes) -> None:
        assert plain_get(data) is None


class HeadTests:
    def test_it_is_dated(self) -> None:
        head = head_of(304, [(b"ETag", b'"a"')], 784111777.9)
        first, server, *rest = head.split(b"\r\n")
        assert (first, rest) == (
            b"HTTP/1.1 304 Not Modified",
            [b"Date: Sun, 06 Nov 1994 08:49:37 GMT", b'ETag: "a"', b"", b""],
        )
        assert server.startswith(b"Server: TwistedWeb/")


class ConnectionTests:
    """/at is at hand; the page is what Twisted answers with."""

    def test_answers_in_memory_are_sent_at_once_and_the_rest_by_twisted(self) -> None:
        browser, page = _browser(CountingPage())
        browser.ask("/at")
        browser.ask("/other")
        browser.ask("/at")
        assert browser.heard.startswith(AT_HAND + b"HTTP/1.1 200 OK\r\n")
        assert browser.heard.endswith(BY_TWISTED + AT_HAND)
        assert page.asked == 1

    def test_what_comes_together_is_answered_in_order_by_twisted(self) -> None:
        browser, page = _browser(CountingPage())
        browser.ask("/at", times=3)
        assert page.asked == 3
        browser.ask("/at")
        assert browser.heard.endswith(BY_TWISTED + AT_HAND)

    @pytest.mark.parametrize("cut", range(1, 35))
    def test_so_is_what_comes_in_pieces(self, cut: int) -> None:
        browser, page = _browser(CountingPage())
        asked = b"GET /at HTTP/1.1\r\nHost: example\r\n\r\n"
        browser.send(asked[:cut])
        assert not browser.heard
        browser.send(asked[cut:])
        assert (page.asked, browser.body) == (1, BY_TWISTED)
        browser.send(asked)
        browser.send(asked)
        assert browser.heard.endswith(AT_HAND)

    def test_half_a_request_behind_a_whole_one_is_not_lost(self) -> None:
        browser, page = _browser(CountingPage())
        browser.send(b"GET /other HTTP/1.1\r\nHost: a\r\n\r\nGET /ot")
        # its rest: a malformed one, for which this must not be taken
        browser.send(b"GET /at HTTP/1.1\r\nHost: a\r\n\r\n")
        assert AT_HAND not in browser.heard
        assert page.asked == 1

    def test_a_body_that_looks_like_a_request_is_none(self) -> None:
        browser, page = _browser(CountingPage())
        asked = b"GET /at HTTP/1.1\r\nHost: a\r\n\r\n"
        browser.send(
            b"POST /other HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (2 * len(asked))
        )
        browser.send(asked)
        browser.send(asked)
        assert (page.asked, browser.body) == (1, BY_TWISTED)

    def test_nothing_overtakes_an_answer_that_takes_its_time(self) -> None:
        page = WaitingPage()
        browser, _ = _browser(page)
        browser.ask("/other")
        browser.ask("/at")
        assert not browser.heard
        page.answer()
        assert browser.body.startswith(BY_TWISTED)
        assert AT_HAND not in browser.heard
        page.answer()
        browser.ask("/at")
        assert browser.heard.endswith(BY_TWISTED + AT_HAND)

    def test_a_connection_without_room_is_left_to_twisted(self) -> None:
        browser, page = _browser(CountingPage())
        browser.be_full()
        browser.ask("/at")
        assert AT_HAND not in browser.heard
        browser.be_empty()
        browser.take_turns()
        assert page.asked == 1

    def test_a_site_that_is_drained_says_so_by_twisted(self) -> None:
        browser, _ = _browser(CountingPage())
        browser.drain()
        browser.ask("/at")
        assert AT_HAND not in browser.heard
        assert b"Connection: close" in browser.heard
        browser.ask("/at")
        assert AT_HAND not in browser.heard

    def test_silence_is_counted_from_the_last_answer(self) -> None:
        browser, _ = _browser(CountingPage())
        for _ in range(3):
            browser.ask("/at")
            browser.wait(50)
        assert not browser.transport.disconnecting
        browser.wait(10)
        assert browser.transport.disconnecting

    def test_it_is_logged_and_counted_as_any_other(self) -> None:
        answered: list[Any] = []
        browser, _ = _browser(CountingPage(), on_answered=answered.append)
        browser.ask("/at")
        [request] = answered
        assert (request.method, request.code, request.received_bytes, request.sentLength) == (
            b"GET",
            200,
            0,
            2,
        )
        assert (
            request.client_host,
            request.record.call,
            request.record.path,
            request.record.result,
        ) == ("192.0.2.1", "file", "'/at'", "OK")


def _browser(page: Any, **options: Any) -> tuple[Browser, Any]:
    browser = Browser(page, **options)
    browser.site.content.fast_path = _fast_path
    return browser, page


def _fast_path(asked: PlainGet) -> FastAnswer | None:
    return FastAnswer(200, HEAD, b"at", "file", "'/at'", "OK") if asked.path == b"/at" else None
