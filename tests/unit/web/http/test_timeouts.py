"""A site and clients that keep it waiting, in every phase of a connection; the tests move the
clock.
"""

import socket
from typing import Any

import bcrypt
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport

from imagepipe.core.requests.client_timeouts import LEAST_BYTES_PER_SECOND, TIMEOUT_SECONDS, Phase
from imagepipe.web.http.auth import AuthenticatedResource
from imagepipe.web.http.body_memory import MEMORY_BYTES_MAX
from imagepipe.web.http.connections import Connections
from imagepipe.web.http.passwords import Passwords
from imagepipe.web.http.site import SPOOLED_BYTES_MAX
from imagepipe.web.http.timeouts import acknowledged_bytes
from tests.support.browser import Browser
from tests.support.http_responses import answer
from tests.support.pages import PAGE, CountingPage, WaitingPage

HEAD_SECONDS = TIMEOUT_SECONDS[Phase.HEAD]
BODY_SECONDS = TIMEOUT_SECONDS[Phase.BODY]
IDLE_SECONDS = TIMEOUT_SECONDS[Phase.IDLE]
ANSWER_SECONDS = TIMEOUT_SECONDS[Phase.ANSWER]
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"


class HeadTests:
    """A request's head has 20 seconds."""

    def test_a_connection_on_which_nothing_comes_is_closed(self) -> None:
        browser = Browser(CountingPage())
        browser.wait(HEAD_SECONDS - 1)
        assert not browser.is_closed
        browser.wait(1)
        assert (browser.is_closed, browser.heard) == (True, b"")

    def test_bytes_do_not_extend_it(self) -> None:
        browser = Browser(CountingPage())
        browser.send(b"GET / HTTP/1.1\r\nX: ")
        for _ in range(int(HEAD_SECONDS / 4)):
            assert not browser.is_closed
            browser.wait(4)
            browser.send(b"a")
        assert browser.is_closed
        assert answer(browser.heard).status == 408

    def test_it_begins_again_with_each_request(self) -> None:
        page = CountingPage()
        browser = Browser(page)
        for _ in range(5):
            browser.send(b"GET / HTTP/1.1\r\n")
            browser.wait(HEAD_SECONDS - 1)
            browser.send(b"Host: x\r\n\r\n")
            browser.wait(IDLE_SECONDS - 1)
        assert page.asked == 5
        browser.send(b"GET")
        browser.wait(HEAD_SECONDS)
        assert browser.is_closed

    def test_half_a_request_that_came_with_the_one_before_counts_from_its_answer(self) -> None:
        page = WaitingPage()
        browser = Browser(page)
        browser.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /")
        browser.wait(1000)
        page.answer()
        browser.wait(HEAD_SECONDS - 1)
        assert not browser.is_closed
        browser.wait(1)
        assert browser.is_closed

    def test_a_connection_between_two_requests_may_be_idle_for_longer(self) -> None:
        browser = Browser(CountingPage())
        browser.ask()
        assert answer(browser.heard).body == PAGE
        browser.wait(IDLE_SECONDS - 1)
        assert not browser.is_closed
        browser.wait(1)
        assert browser.is_closed


class BodyTests:
    """A request's body has a least rate."""

    def test_a_byte_now_and_then_is_too_slow(self) -> None:
        answered: list[tuple[int, str]] = []
        browser = Browser(
            CountingPage(), on_answered=lambda one: answered.append((one.code, one.record.result))
        )
        browser.send(POST)
        for _ in range(int(BODY_SECONDS / 4)):
            browser.send(b"a")
            browser.wait(4)
        browser.send(b"a")
        browser.wait(1)
        assert answer(browser.heard).status == 408
        assert answered == [(408, "Request Timeout")]

    @pytest.mark.parametrize(
        "head",
        [
            POST,
            POST.replace(b"POST", b"GET"),
            POST.replace(b"Content-Length: 1000000", b"Transfer-Encoding: chunked"),
        ],
    )
    def test_so_is_nothing(self, head: bytes) -> None:
        browser = Browser(CountingPage())
        browser.send(head)
        browser.wait(BODY_SECONDS)
        assert browser.is_closed

    def test_chunks_without_content_are_nothing(self) -> None:
        browser = Browser(CountingPage())
        browser.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;")
        for _ in range(int(BODY_SECONDS)):
            browser.send(b"a" * 100)
            browser.wait(1)
        assert browser.is_closed

    def test_the_least_rate_is_enough(self) -> None:
        page = CountingPage()
        browser = Browser(page)
        browser.send(POST)
        for _ in range(1_000_000 // (10 * LEAST_BYTES_PER_SECOND)):
            browser.wait(10)
            browser.send(bytes(10 * LEAST_BYTES_PER_SECOND))
        browser.send(bytes(1_000_000 % (10 * LEAST_BYTES_PER_SECOND)))
        assert page.asked == 1

    def test_a_fast_beginning_buys_no_time(self) -> None:
        browser = Browser(CountingPage())
        browser.send(POST + bytes(900_000))
        browser.wait(BODY_SECONDS)
        assert browser.is_closed

    def test_neither_does_a_body_that_was_refused(self) -> None:
        browser = Browser(CountingPage())
        browser.serve(CountingPage(), body_bytes_max=1)
        browser.send(POST)
        browser.wait(BODY_SECONDS)
        assert browser.is_closed
        assert answer(browser.heard).status == 413

    def test_the_room_that_it_took_is_free_again(self) -> None:
        browser = Browser(CountingPage())
        browser.send(POST + bytes(1000))
        browser.wait(BODY_SECONDS)
        browser.leave()
        assert browser.site.spool(1 << 40, 0)


class BodyRoomTests:
    """Where there is no room for another body, the slowest gives up its own."""

    def test_a_slow_one_makes_room_for_a_fast_one(self) -> None:
        slow, fast = _two_bodies()
        slow.wait(10)
        fast.send(POST + bytes(500_000))
        assert answer(slow.heard).status == 503
        assert (slow.is_closed, fast.is_closed, fast.heard) == (True, False, b"")

    def test_one_that_turns_out_to_be_slower_does_not_get_any(self) -> None:
        fast, slow = _two_bodies()
        slow.send(POST)
        for _ in range(10):
            slow.wait(1)
            fast.site.spool(-10_000, 10_000)  # somebody else's
            fast.send(bytes(9_000))
            slow.send(bytes(2_000))
        assert answer(slow.heard).status == 503
        assert fast.heard == b""

    def test_what_was_refused_takes_no_room_while_the_rest_is_read(self) -> None:
        browser = Browser(CountingPage())
        browser.send(POST + bytes(1000))
        assert browser.site.memory.body(MEMORY_BYTES_MAX - 1000) is None
        browser.site.spool(SPOOLED_BYTES_MAX - 1000, 0)
        browser.send(bytes(1000))
        assert answer(browser.heard).status == 503
        assert not browser.is_closed
        assert browser.site.memory.body(MEMORY_BYTES_MAX)


class AnswerTests:
    """A client has to read, and is never blamed while it waits itself."""

    def test_the_server_may_take_its_time(self) -> None:
        page = WaitingPage()
        browser = Browser(page)
        browser.ask()
        browser.wait(10_000)
        assert not browser.is_closed
        page.answer()
        assert answer(browser.heard).body == PAGE

    def test_a_client_that_does_not_read_the_last_answer_is_disconnected(self) -> None:
        browser = Browser(CountingPage())
        browser.be_full()
        browser.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        browser.wait(ANSWER_SECONDS - 1)
        assert not browser.transport.disconnected
        browser.wait(1)
        assert browser.transport.disconnected

    def test_one_that_reads_a_little_is_too(self) -> None:
        browser = Browser(CountingPage())
        browser.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        for _ in range(4):
            browser.wait(20)
            browser.read_bytes += 100
        assert browser.transport.disconnected

    def test_one_that_reads_slowly_but_steadily_may_go_on(self) -> None:
        browser = Browser(CountingPage())
        browser.ask()
        browser.be_full()
        for _ in range(100):
            browser.wait(20)
            browser.read_bytes += 20 * LEAST_BYTES_PER_SECOND
        assert not browser.transport.disconnected
        browser.be_empty()
        browser.wait(IDLE_SECONDS - 1)
        assert not browser.is_closed

    def test_what_a_client_has_received_is_known_of_a_real_connection(self) -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as port,
            socket.create_connection(port.getsockname()) as client,
        ):
            transport: Any = StringTransport()
            transport.socket, _ = port.accept()
            with transport.socket:
                assert acknowledged_bytes(transport) < 10
                transport.socket.sendall(bytes(100_000))
                assert len(client.recv(100_000, socket.MSG_WAITALL)) == 100_000
                while acknowledged_bytes(transport) < 100_000:
                    pass

    def test_of_a_unix_socket_it_is_unknown(self) -> None:
        here, there = socket.socketpair()
        with here, there:
            transport: Any = StringTransport()
            transport.socket = here
            assert acknowledged_bytes(transport) == 0


class SuspendedProcessTests:
    """A process that was suspended reads what has come before it judges."""

    def test_what_came_meanwhile_counts(self) -> None:
        page = CountingPage()
        browser = Browser(page)
        browser.clock.advance(1000)
        assert not browser.is_closed
        browser.ask()
        browser.take_turns()
        assert (page.asked, browser.is_closed) == (1, False)


class TooManyConnectionsTests:
    """There is always room for one more client, unless all others wait for the server."""

    def test_the_slowest_makes_room(self) -> None:
        first = Browser(CountingPage(), connections=Connections(3))
        browsers = [first, *(first.another() for _ in range(2))]
        browsers[1].wait(1)
        browsers[0].ask()
        browsers[2].ask()
        newcomer = first.another()
        assert [one.is_closed for one in browsers] == [False, True, False]
        newcomer.ask()
        assert answer(newcomer.heard).body == PAGE

    def test_many_slow_clients_do_not_stop_others(self) -> None:
        first = Browser(CountingPage(), connections=Connections(300))
        slow = [first.another() for _ in range(1010)]
        for one in slow:
            if not one.is_closed:
                one.send(b"GET / HTTP/1.1\r\nX: ")
        first.wait(5)
        for _ in range(500):
            one = first.another()
            one.ask()
            assert answer(one.heard).body == PAGE

    def test_a_body_that_moves_is_not_slow(self) -> None:
        first = Browser(CountingPage(), connections=Connections(2))
        upload = first.another()
        upload.send(POST)
        first.ask()
        first.wait(10)
        upload.send(bytes(100_000))
        first.another()
        assert (first.is_closed, upload.is_closed) == (True, False)

    def test_clients_that_wait_for_answers_stay_and_the_next_one_is_refused(self) -> None:
        page = WaitingPage()
        first = Browser(page, connections=Connections(1))
        first.ask()
        newcomer = first.another()
        assert answer(newcomer.heard).status == 503
        assert newcomer.is_closed
        page.answer()
        assert answer(first.heard).body == PAGE

    def test_one_network_that_waits_on_all_connections_gives_one_up_for_another(self) -> None:
        first = Browser(WaitingPage(), connections=Connections(3))
        crowd = [first, first.another(), first.another()]
        for one in crowd:
            one.ask()
        other = first.another("192.0.2.2")
        other.ask()
        assert [one.is_closed for one in (*crowd, other)] == [True, False, False, False]
        assert answer(first.another("192.0.2.2").heard).status == 503

    def test_but_none_on_which_something_is_stored(self) -> None:
        first = Browser(WaitingPage(), connections=Connections(2))
        crowd = [first, first.another()]
        for one in crowd:
            one.send(POST.replace(b"1000000", b"0"))
        assert answer(first.another("192.0.2.2").heard).status == 503
        assert not any(one.is_closed for one in crowd)

    def test_repeated_connections_displace_only_their_own_network(self) -> None:
        first = Browser(WaitingPage(), connections=Connections(4))
        for one in (first, first.another(), first.another()):
            one.ask()
        other = first.another("192.0.2.2")
        other.send(b"GET / HTTP/1.1\r\n")
        assert answer(first.another().heard).status == 503
        third = first.another("192.0.2.3")
        assert [one.is_closed for one in (first, other, third)] == [False, True, False]

    def test_nor_does_it_push_out_a_network_with_as_many(self) -> None:
        first = Browser(WaitingPage(), connections=Connections(4))
        busy = [first, first.another(), first.another("192.0.2.2"), first.another("192.0.2.2")]
        for one in busy[:3]:
            one.ask()
        newcomer = first.another()
        assert answer(newcomer.heard).status == 503
        assert not any(one.is_closed for one in busy)
        first.another("192.0.2.2")
        assert [one.is_closed for one in busy] == [False, False, False, True]

    def test_one_whose_password_is_being_checked_makes_room_whatever_it_asks_for(self) -> None:
        users = {b"ann": bcrypt.hashpw(b"right", bcrypt.gensalt(4))}
        never: Deferred[bool] = Deferred()
        page = AuthenticatedResource(CountingPage(), Passwords(users, lambda _: never))
        first = Browser(page, connections=Connections(2))
        crowd = [first, first.another()]
        head = (
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nAuthorization: Basic"
            b" YW5uOndyb25n\r\n\r\n"
        )
        for one in crowd:
            one.send(head)
        other = first.another("192.0.2.2")
        assert [one.is_closed for one in (*crowd, other)] == [True, False, False]

    def test_a_connection_that_is_closed_makes_room(self) -> None:
        page = WaitingPage()
        first = Browser(page, connections=Connections(1))
        first.ask()
        first.leave()
        assert not first.another().is_closed


def _two_bodies() -> tuple[Browser, Browser]:
    """One that has sent much of its body, which takes all the room there is, and another."""
    first = Browser(CountingPage())
    first.send(POST + bytes(600_000))
    first.site.spool(SPOOLED_BYTES_MAX - 600_000, 0)
    return first, first.another()
