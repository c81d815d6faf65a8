"""A site towards clients that ask for more than they take, on a clock that the tests move."""

from typing import Any

from browser import Browser
from twisted.web.resource import Resource

from imagepipe.web.refusal import needs_credentials
from imagepipe.web.site import ANSWERS_IN_A_TURN_MAX, CHUNKS_MAX, SPOOLED_BYTES_MAX

PAGE = b"a page"


class Counted(Resource):
    """A page that counts who asks for it."""

    isLeaf = True  # noqa: N815

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.asked = 0

    def render(self, request: Any) -> bytes:  # noqa: ARG002
        self.asked += 1
        return PAGE


class FullConnectionTests:
    """While the answers before it have no room, no request begins."""

    def test_requests_that_came_together_wait_for_room(self) -> None:
        page = Counted()
        browser = Browser(page)
        browser.be_full()
        browser.ask(times=100)
        assert (page.asked, browser.heard.count(PAGE)) == (1, 1)
        browser.be_empty()
        browser.take_turns()
        assert (page.asked, browser.heard.count(PAGE)) == (100, 100)

    def test_so_do_those_that_come_later(self) -> None:
        page = Counted()
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
        browser = Browser(Counted())
        browser.be_full()
        browser.ask(times=2000)
        browser.ask(times=2000)
        assert browser.transport.producerState == "paused"
        browser.be_empty()
        browser.take_turns()
        assert browser.transport.producerState == "producing"
        assert browser.heard.count(PAGE) == 4000

    def test_one_connection_has_so_many_answers_in_a_turn_of_the_reactor(self) -> None:
        page = Counted()
        browser = Browser(page)
        browser.ask(times=3 * ANSWERS_IN_A_TURN_MAX)
        assert page.asked == ANSWERS_IN_A_TURN_MAX
        browser.take_turns()
        assert page.asked == 3 * ANSWERS_IN_A_TURN_MAX

    def test_who_takes_nothing_for_long_is_cut_off(self) -> None:
        page = Counted()
        browser = Browser(page)
        browser.be_full()
        browser.ask(times=2)
        patience = browser.site.timeOut
        assert patience
        browser.clock.advance(patience - 1)
        assert not browser.transport.disconnecting
        browser.clock.advance(1)
        assert browser.transport.disconnecting
        browser.clock.advance(60)
        assert browser.transport.disconnected
        browser.leave()
        assert (page.asked, browser.clock.getDelayedCalls()) == (1, [])

    def test_who_leaves_leaves_nothing_behind(self) -> None:
        page = Counted()
        browser = Browser(page)
        browser.be_full()
        browser.ask(times=2)
        browser.leave()
        assert (page.asked, browser.clock.getDelayedCalls()) == (1, [])

    def test_who_wants_to_close_the_connection_need_not_wait(self) -> None:
        browser = Browser(Counted())
        browser.be_full()
        browser.ask("/ HTTP/1.1\r\nConnection: close\r\nX:")
        assert browser.transport.disconnecting
        assert browser.body == PAGE

    def test_a_site_that_stops_owes_no_answer_to_those_who_wait(self) -> None:
        page = Counted()
        browser = Browser(page)
        browser.be_full()
        browser.ask(times=3)
        stopped: list[None] = []
        browser.site.refuse_new().addCallback(stopped.append)
        assert stopped == [None]
        browser.be_empty()
        assert page.asked == 1
        assert b"HTTP/1.1 503 " in browser.heard
        assert browser.transport.disconnecting


class BodyTests:
    """Bodies that cost more than they bring."""

    def test_one_in_tiny_pieces_is_refused(self) -> None:
        browser = Browser(Counted())
        browser.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * (2 * CHUNKS_MAX))
        assert browser.heard.startswith(b"HTTP/1.1 400 ")
        assert browser.transport.disconnecting

    def test_many_pieces_of_some_size_are_welcome(self) -> None:
        page = Counted()
        browser = Browser(page)
        chunk = b"64\r\n" + bytes(100) + b"\r\n"
        browser.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * (5 * CHUNKS_MAX) + b"0\r\n\r\n")
        assert page.asked == 1

    def test_all_bodies_together_have_a_bound_but_one_always_fits(self) -> None:
        site = Browser(Counted()).site
        assert site.spool(SPOOLED_BYTES_MAX + 5, 0)
        assert not site.spool(1, 0)
        assert site.spool(1, SPOOLED_BYTES_MAX + 5)
        assert site.spool(-SPOOLED_BYTES_MAX - 6, SPOOLED_BYTES_MAX + 6)
        assert site.spool(1, 0)

    def test_what_a_body_took_is_free_again_when_its_client_has_gone(self) -> None:
        browser = Browser(Counted())
        browser.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n12345")
        assert not browser.site.spool(SPOOLED_BYTES_MAX, 0)
        browser.leave()
        assert browser.site.spool(SPOOLED_BYTES_MAX, 0)

    def test_one_beside_a_get_is_not_kept_and_asks_for_nothing(self) -> None:
        page = Counted()
        browser = Browser(page, admit=needs_credentials)
        browser.send(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345")
        assert (page.asked, browser.heard[:13]) == (1, b"HTTP/1.1 200 ")

    def test_one_that_is_refused_is_told_why_and_is_in_the_log_at_once(self) -> None:
        answered: list[tuple[bytes, bytes, int, str]] = []
        browser = Browser(
            Counted(),
            admit=needs_credentials,
            on_answered=lambda request: answered.append((request.method, request.uri, request.code, request.record.result)),
        )
        browser.send(b"POST /a?b HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        assert answered == [(b"POST", b"/a?b", 401, "it needs the credentials of one of [network] users")]
        assert b"Cache-Control: no-store" in browser.heard
        browser.send(b"12345")
        assert len(answered) == 1
