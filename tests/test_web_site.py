"""A site towards clients that ask for more than they take, on a clock that the tests move."""

from typing import Any

from browser import Browser
from twisted.web.resource import Resource

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
        assert browser.transport.producerState == "producing"
        assert browser.heard.count(PAGE) == 4000

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
