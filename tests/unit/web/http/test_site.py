"""A site towards clients that ask for more than they take, on a clock that the tests move."""

import pytest

from imagepipe.core.requests.client_timeouts import TIMEOUT_SECONDS, Phase
from imagepipe.web.http.channel import ANSWERS_IN_A_TURN_MAX, SILENCE_SECONDS
from imagepipe.web.http.refusal import Denial, needs_credentials
from imagepipe.web.http.request import CHUNKS_MAX
from imagepipe.web.http.site import SPOOLED_BYTES_MAX
from tests.support.browser import Browser
from tests.support.pages import PAGE, CountingPage, WaitingPage


class FullConnectionTests:
    """While the answers before it have no room, no request begins."""

    def test_requests_that_came_together_wait_for_room(self) -> None:
        page = CountingPage()
        browser = Browser(page)
        browser.be_full()
        browser.ask(times=100)
        assert (page.asked, browser.heard.count(PAGE)) == (1, 1)
        browser.be_empty()
        browser.take_turns()
        assert (page.asked, browser.heard.count(PAGE)) == (100, 100)

    def test_so_do_those_that_come_later(self) -> None:
        page = CountingPage()
        browser = Browser(page)
        browser.ask()
        browser.be_full()
        for _ in range(3):
            browser.ask()
        assert page.asked == 2
        browser.be_empty()
        assert page.asked == 4
        browser.ask()
        assert page.asked == 5

    def test_no_more_is_taken_from_the_client_meanwhile(self) -> None:
        browser = Browser(CountingPage())
        browser.be_full()
        browser.ask(times=2000)
        browser.ask(times=2000)
        assert browser.transport.producerState == "paused"
        browser.be_empty()
        browser.take_turns()
        assert browser.transport.producerState == "producing"
        assert browser.heard.count(PAGE) == 4000

    def test_the_answers_of_one_connection_in_a_reactor_turn_are_bounded(self) -> None:
        page = CountingPage()
        browser = Browser(page)
        browser.ask(times=3 * ANSWERS_IN_A_TURN_MAX)
        assert page.asked == ANSWERS_IN_A_TURN_MAX
        browser.take_turns()
        assert page.asked == 3 * ANSWERS_IN_A_TURN_MAX

    def test_a_client_that_reads_nothing_for_long_is_disconnected(self) -> None:
        page = CountingPage()
        browser = Browser(page)
        browser.be_full()
        browser.ask(times=2)
        browser.wait(TIMEOUT_SECONDS[Phase.ANSWER] - 1)
        assert not browser.transport.disconnected
        browser.wait(1)
        assert browser.transport.disconnected
        browser.leave()
        assert (page.asked, browser.clock.getDelayedCalls()) == (1, [])

    def test_a_client_that_leaves_leaves_nothing_behind(self) -> None:
        page = CountingPage()
        browser = Browser(page)
        browser.be_full()
        browser.ask(times=2)
        browser.leave()
        assert (page.asked, browser.clock.getDelayedCalls()) == (1, [])

    def test_closing_the_connection_need_not_wait(self) -> None:
        browser = Browser(CountingPage())
        browser.be_full()
        browser.ask("/ HTTP/1.1\r\nConnection: close\r\nX:")
        assert browser.transport.disconnecting
        assert browser.body == PAGE


class DrainTests:
    """A site that comes to an end loses no request on the connections that it has."""

    def test_a_connection_that_has_been_silent_for_a_while_is_closed_at_once(self) -> None:
        browser = Browser(CountingPage())
        browser.ask()
        browser.clock.advance(SILENCE_SECONDS)
        drained = browser.drain()
        assert browser.transport.disconnecting
        assert drained == []
        browser.leave()
        assert drained == [None]
        assert browser.clock.getDelayedCalls() == []

    def test_one_that_was_just_made_is_given_a_moment(self) -> None:
        page = CountingPage()
        browser = Browser(page)
        browser.drain()
        browser.clock.advance(SILENCE_SECONDS / 2)
        assert not browser.transport.disconnecting
        browser.ask()
        assert (page.asked, browser.body) == (1, PAGE)
        assert b"Connection: close\r\n" in browser.heard
        assert browser.transport.disconnecting

    def test_and_then_closed(self) -> None:
        browser = Browser(CountingPage())
        browser.drain()
        browser.clock.advance(SILENCE_SECONDS)
        assert browser.transport.disconnecting

    def test_so_is_one_that_comes_only_now(self) -> None:
        page = CountingPage()
        browser = Browser(page, connect=False)
        assert browser.drain() == [None]
        browser.connect()
        browser.ask()
        assert page.asked == 1
        assert browser.transport.disconnecting

    def test_an_answer_that_is_awaited_closes_its_connection(self) -> None:
        page = WaitingPage()
        browser = Browser(page)
        browser.ask()
        drained = browser.drain()
        browser.clock.advance(10 * SILENCE_SECONDS)
        assert not browser.transport.disconnecting
        page.answer()
        assert b"Connection: close\r\n" in browser.heard
        assert browser.body == PAGE
        assert browser.transport.disconnecting
        browser.leave()
        assert drained == [None]

    def test_after_one_that_has_begun_without_saying_so_the_next_does(self) -> None:
        page = WaitingPage()
        browser = Browser(page)
        browser.ask()
        page.begin()
        browser.drain()
        page.answer()
        assert b"Connection: close" not in browser.heard
        assert not browser.transport.disconnecting
        browser.clock.advance(SILENCE_SECONDS / 2)
        browser.ask()
        page.answer()
        assert browser.heard.count(b"Connection: close\r\n") == 1
        assert browser.transport.disconnecting

    def test_a_request_that_comes_slowly_is_answered(self) -> None:
        page = CountingPage()
        browser = Browser(page)
        browser.send(b"GET / HTTP/1.1\r\nHo")
        browser.drain()
        browser.clock.advance(5 * SILENCE_SECONDS)
        assert not browser.transport.disconnecting
        browser.send(b"st: x\r\n\r\n")
        assert page.asked == 1
        assert browser.transport.disconnecting

    def test_of_requests_that_wait_for_room_one_is_answered_and_says_that_it_is_the_last(
        self,
    ) -> None:
        page = CountingPage()
        browser = Browser(page)
        browser.be_full()
        browser.ask(times=3)
        browser.drain()
        browser.clock.advance(SILENCE_SECONDS)
        browser.be_empty()
        assert page.asked == 2
        assert browser.heard.count(b"Connection: close\r\n") == 1
        assert browser.transport.disconnecting


class ContentTests:
    """What a site answers with is replaced while it serves."""

    def test_the_next_request_of_a_connection_has_it(self) -> None:
        first, second = CountingPage(), CountingPage()
        browser = Browser(first)
        browser.ask()
        browser.serve(second)
        browser.ask()
        assert (first.asked, second.asked) == (1, 1)

    def test_a_request_that_has_begun_keeps_what_it_began_with(self) -> None:
        first = WaitingPage()
        browser = Browser(first)
        before = browser.site.content
        browser.ask()
        browser.serve(CountingPage())
        assert before.unanswered == 1
        first.answer()
        assert browser.body == PAGE
        assert before.unanswered == 0

    def test_a_body_that_has_begun_keeps_its_bound(self) -> None:
        page = CountingPage()
        browser = Browser(CountingPage())
        browser.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n12345")
        browser.serve(page, body_bytes_max=1)
        browser.send(b"6789")
        assert page.asked == 1


class BodyTests:
    """Bodies that cost more than they bring."""

    def test_one_in_tiny_pieces_is_refused(self) -> None:
        browser = Browser(CountingPage())
        browser.send(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"1\r\nx\r\n" * (2 * CHUNKS_MAX)
        )
        assert browser.heard.startswith(b"HTTP/1.1 400 ")
        assert browser.transport.disconnecting

    def test_many_pieces_of_some_size_are_welcome(self) -> None:
        page = CountingPage()
        browser = Browser(page)
        chunk = b"64\r\n" + bytes(100) + b"\r\n"
        browser.send(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            + chunk * (5 * CHUNKS_MAX)
            + b"0\r\n\r\n"
        )
        assert page.asked == 1

    def test_all_bodies_together_have_a_bound_but_one_always_fits(self) -> None:
        site = Browser(CountingPage()).site
        assert site.spool(SPOOLED_BYTES_MAX + 5, 0)
        assert not site.spool(1, 0)
        assert site.spool(1, SPOOLED_BYTES_MAX + 5)
        assert site.spool(-SPOOLED_BYTES_MAX - 6, SPOOLED_BYTES_MAX + 6)
        assert site.spool(1, 0)

    def test_what_a_body_took_is_free_again_when_its_client_has_gone(self) -> None:
        browser = Browser(CountingPage())
        browser.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n12345")
        assert not browser.site.spool(SPOOLED_BYTES_MAX, 0)
        browser.leave()
        assert browser.site.spool(SPOOLED_BYTES_MAX, 0)

    def test_one_beside_a_get_is_not_kept_and_asks_for_nothing(self) -> None:
        page = CountingPage()
        browser = Browser(page, admit=needs_credentials)
        browser.send(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345")
        assert (page.asked, browser.heard[:13]) == (1, b"HTTP/1.1 200 ")

    def test_a_refused_request_gets_the_reason_and_is_logged_at_once(self) -> None:
        answered: list[tuple[bytes, bytes, int, str]] = []
        browser = Browser(
            CountingPage(),
            admit=needs_credentials,
            on_answered=lambda request: answered.append(
                (request.method, request.uri, request.code, request.record.result)
            ),
        )
        browser.send(
            b"POST /a?b HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        )
        assert answered == [
            (b"POST", b"/a?b", 401, "this requires the credentials of one of [network] users")
        ]
        assert b"Cache-Control: no-store" in browser.heard
        browser.send(b"12345")
        assert len(answered) == 1


class ContentEncodingTests:
    """A body is taken as it is."""

    @pytest.mark.parametrize(
        "codings",
        [["gzip"], ["GZIP"], ["deflate"], ["br"], ["identity, gzip"], ["identity", "gzip"], ["x"]],
    )
    def test_a_compressed_one_is_415_before_it_has_come(self, codings: list[str]) -> None:
        page = CountingPage()
        browser = Browser(page)
        headers = "".join(f"Content-Encoding: {coding}\r\n" for coding in codings)
        browser.send(
            f"POST / HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: 1000\r\n\r\n".encode()
        )
        assert browser.heard.startswith(b"HTTP/1.1 415 Unsupported Media Type\r\n")
        assert browser.heard.endswith(
            b"a body with a Content-Encoding, such as gzip, is not accepted: send it uncompressed\n"
        )
        assert page.asked == 0

    @pytest.mark.parametrize("coding", ["", "identity", " Identity ", "identity,identity"])
    def test_one_that_says_it_is_not_is_welcome(self, coding: str) -> None:
        page = CountingPage()
        browser = Browser(page)
        browser.send(
            f"POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: {coding}\r\nContent-Length:"
            " 4\r\n\r\nbody".encode()
        )
        assert page.asked == 1


class HostTests:
    """One Host header, as RFC 9112 wants it (section 3.2), and a guard that sees every request
    first.
    """

    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT"])
    @pytest.mark.parametrize(
        ("version", "hosts", "is_answered"),
        [
            ("1.1", 0, False),
            ("1.1", 1, True),
            ("1.1", 2, False),
            ("1.0", 0, True),
            ("1.0", 1, True),
            ("1.0", 2, False),
        ],
    )
    def test_a_request_with_several_or_without_the_one_that_it_needs_is_400(
        self, method: str, version: str, hosts: int, is_answered: bool
    ) -> None:
        page = CountingPage()
        browser = Browser(page)
        browser.send(
            "\r\n".join(
                [f"{method} / HTTP/{version}", *["Host: a"] * hosts, "Content-Length: 1", "", "x"]
            ).encode()
        )
        assert page.asked == is_answered
        assert browser.heard.split(b" ")[1] == (b"200" if is_answered else b"400")
        if not is_answered:
            assert browser.body == b"a request must have exactly one Host header\n"
            assert browser.transport.disconnecting

    @pytest.mark.parametrize("body", [b"", b"x"])
    def test_what_the_guard_refuses_is_refused_whether_it_has_a_body_or_not(
        self, body: bytes
    ) -> None:
        page = CountingPage()
        browser = Browser(page)
        browser.site.content.guard = lambda request: (
            Denial(403, "no") if request.method == b"POST" else None
        )
        browser.ask()
        browser.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert page.asked == 1
        assert b"HTTP/1.1 403 Forbidden\r\n" in browser.heard
        assert browser.transport.disconnecting
