"""Passwords on hand-stepped threads, and what a site takes of a request before its password is
right.
"""

from base64 import b64encode
from collections.abc import Callable
from functools import partial
from typing import Any

import bcrypt
import pytest
from twisted.internet.defer import CancelledError, Deferred

from imagepipe.core.requests.client_timeouts import TIMEOUT_SECONDS, Phase
from imagepipe.errors import Overloaded, StartError, Unauthorized
from imagepipe.web.http.auth import AuthenticatedResource, denial, parse_users
from imagepipe.web.http.channel import BUFFERED_BYTES_MAX
from imagepipe.web.http.passwords import RUNNING_MAX, WAITING_MAX, Passwords
from tests.support.browser import Browser
from tests.support.http_responses import answer
from tests.support.pages import PAGE, CountingPage, WaitingPage

COSTS = {b"ann": 4, b"bob": 6, b"cat": 5}
USERS = {name: bcrypt.hashpw(name * 2, bcrypt.gensalt(cost)) for name, cost in COSTS.items()}


class Threads:
    """Threads that do nothing until the test says so."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[[], bool], Deferred[bool]]] = []

    def run(self, call: Callable[[], bool]) -> "Deferred[bool]":
        """Run `call` once the test steps."""
        self.calls.append((call, Deferred()))
        return self.calls[-1][1]

    def step(self) -> None:
        """Finish the call that was started first."""
        call, deferred = self.calls.pop(0)
        deferred.callback(call())

    def finish(self) -> int:
        """Finish all; how many there were."""
        steps = 0
        while self.calls:
            self.step()
            steps += 1
        return steps


class Asked:
    """One check, and what came of it."""

    def __init__(
        self, passwords: Passwords, name: bytes, password: bytes, source: str = "192.0.2.1"
    ) -> None:
        self.outcome: Any = "waiting"
        self.deferred = passwords.check(name, password, source)
        self.deferred.addCallbacks(lambda _: "right", lambda failure: failure.type).addCallback(
            self._note
        )

    def _note(self, outcome: Any) -> None:
        self.outcome = outcome


@pytest.fixture
def threads() -> Threads:
    """Threads."""
    return Threads()


@pytest.fixture
def passwords(threads: Threads) -> Passwords:
    """Those of ann, bob and cat."""
    return Passwords(USERS, threads.run)


class CheckTests:
    @pytest.mark.parametrize("name", COSTS)
    def test_the_right_password_is_right_and_kept_in_memory(
        self, passwords: Passwords, threads: Threads, name: bytes
    ) -> None:
        first = Asked(passwords, name, name * 2)
        assert (first.outcome, threads.finish(), first.outcome) == ("waiting", 1, "right")
        assert (Asked(passwords, name, name * 2).outcome, threads.finish()) == ("right", 0)

    @pytest.mark.parametrize(
        ("name", "password"),
        [
            (b"ann", b"bobbob"),
            (b"ann", b""),
            (b"dan", b"annann"),
            (b"", b""),
            (b"ann", b"ann\0ann"),
            (b"ann", b"x" * 500),
        ],
    )
    def test_anything_else_is_wrong_each_time(
        self, passwords: Passwords, threads: Threads, name: bytes, password: bytes
    ) -> None:
        for _ in range(2):
            asked = Asked(passwords, name, password)
            assert (threads.finish(), asked.outcome) == (1, Unauthorized)

    def test_an_unknown_name_with_the_password_of_any_user_is_wrong(
        self, passwords: Passwords, threads: Threads
    ) -> None:
        asked = [
            Asked(passwords, b"%d" % number, name * 2) for number in range(20) for name in COSTS
        ]
        threads.finish()
        assert {one.outcome for one in asked} == {Unauthorized}

    def test_the_same_pair_is_checked_once_at_a_time(
        self, passwords: Passwords, threads: Threads
    ) -> None:
        asked = [Asked(passwords, b"ann", b"annann", f"192.0.2.{number}") for number in range(100)]
        assert threads.finish() == 1
        assert {one.outcome for one in asked} == {"right"}

    def test_a_failing_thread_fails_one_check_alone(
        self, passwords: Passwords, threads: Threads
    ) -> None:
        asked = Asked(passwords, b"ann", b"annann")
        threads.calls.pop()[1].errback(RuntimeError())
        assert asked.outcome is RuntimeError
        again = Asked(passwords, b"ann", b"annann")
        threads.finish()
        assert again.outcome == "right"


class TimeTests:
    """A wrong password takes as many steps of bcrypt whatever the name is."""

    @pytest.mark.parametrize("name", [*COSTS, *(b"nobody %d" % number for number in range(8))])
    def test_as_many_as_the_costliest_hash(
        self, passwords: Passwords, threads: Threads, monkeypatch: pytest.MonkeyPatch, name: bytes
    ) -> None:
        assert _steps(monkeypatch, passwords, threads, name, b"wrong") == 1 << max(COSTS.values())

    @pytest.mark.parametrize("name", COSTS)
    def test_the_right_one_takes_its_own(
        self, passwords: Passwords, threads: Threads, monkeypatch: pytest.MonkeyPatch, name: bytes
    ) -> None:
        assert _steps(monkeypatch, passwords, threads, name, name * 2) == 1 << COSTS[name]

    def test_unknown_names_are_like_users_of_all_costs_also_after_a_restart(
        self, threads: Threads, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = [b"nobody %d" % number for number in range(30)]
        found = []
        for _ in range(2):
            first_costs: list[int] = []
            monkeypatch.setattr(
                bcrypt, "checkpw", lambda _, hashed, seen=first_costs: seen.append(int(hashed[4:6]))
            )
            passwords = Passwords(USERS, threads.run)
            for name in names:
                Asked(passwords, name, b"wrong")
                threads.finish()
            found.append(first_costs)
        assert found[0] == found[1]
        assert set(found[0]) == set(COSTS.values())


class CrowdTests:
    """While others send wrong passwords, the right one gets through."""

    def test_one_of_the_same_address_and_name_is_next(
        self, passwords: Passwords, threads: Threads
    ) -> None:
        crowd = [Asked(passwords, b"bob", b"%d" % number) for number in range(120)]
        bob = Asked(passwords, b"bob", b"bobbob")
        for _ in range(RUNNING_MAX + 1):
            threads.step()
        assert bob.outcome == "right"
        threads.finish()
        assert {one.outcome for one in crowd} == {Unauthorized}

    def test_one_of_another_address_is_not_crowded_out(
        self, passwords: Passwords, threads: Threads
    ) -> None:
        other = "192.0.2.2"
        bob = Asked(passwords, b"bob", b"bobbob", other)
        crowd = [Asked(passwords, b"%d" % number, b"x") for number in range(10 * WAITING_MAX)]
        late = Asked(passwords, b"ann", b"annann", other)
        assert [one.outcome for one in crowd].count(Overloaded) == 9 * WAITING_MAX
        for _ in range(RUNNING_MAX + 2):
            threads.step()
        assert (bob.outcome, late.outcome) == ("right", "right")

    def test_those_whose_clients_have_gone_are_not_checked(
        self, passwords: Passwords, threads: Threads
    ) -> None:
        crowd = [Asked(passwords, b"bob", b"%d" % number) for number in range(WAITING_MAX)]
        for one in crowd:
            one.deferred.cancel()
        assert {one.outcome for one in crowd} == {CancelledError}
        assert threads.finish() == RUNNING_MAX

    def test_one_that_somebody_else_waits_for_is(
        self, passwords: Passwords, threads: Threads
    ) -> None:
        first, second = Asked(passwords, b"ann", b"annann"), Asked(passwords, b"ann", b"annann")
        first.deferred.cancel()
        threads.finish()
        assert (first.outcome, second.outcome) == (CancelledError, "right")

    def test_at_the_end_those_who_wait_are_refused(
        self, passwords: Passwords, threads: Threads
    ) -> None:
        crowd = [Asked(passwords, b"bob", b"%d" % number) for number in range(10)]
        passwords.abandon()
        assert [one.outcome for one in crowd].count(Overloaded) == 10 - RUNNING_MAX
        assert Asked(passwords, b"ann", b"annann").outcome is Overloaded
        threads.finish()
        assert "waiting" not in {one.outcome for one in crowd}


class BodyTests:
    """Nothing of a body is kept before the password that comes with it is right."""

    def test_a_wrong_password_is_refused_and_its_body_never_kept(
        self, passwords: Passwords, threads: Threads
    ) -> None:
        page, browser = _guarded(passwords)
        browser.send(_post(b"ann:wrong", 100_000, b"Expect: 100-continue\r\n"))
        assert browser.heard == b""
        threads.finish()
        assert answer(browser.heard).status == 401
        browser.send(bytes(100_000))
        assert (page.asked, browser.is_closed) == (0, True)

    def test_a_right_one_is_asked_for_its_body_then(
        self, passwords: Passwords, threads: Threads
    ) -> None:
        page, browser = _guarded(passwords)
        browser.send(_post(b"ann:annann", 5, b"Expect: 100-continue\r\n"))
        threads.finish()
        assert browser.heard == b"HTTP/1.1 100 Continue\r\n\r\n"
        browser.send(b"12345")
        assert page.asked == 1

    @pytest.mark.parametrize("chunks", [1, 5])
    def test_a_body_that_comes_at_once_waits(
        self, passwords: Passwords, threads: Threads, chunks: int
    ) -> None:
        page, browser = _guarded(passwords)
        body = _post(b"ann:annann", 1000) + bytes(1000)
        for start in range(0, len(body), len(body) // chunks + 1):
            browser.send(body[start : start + len(body) // chunks + 1])
        assert page.asked == 0
        threads.finish()
        assert (page.asked, answer(browser.heard).body) == (1, PAGE)
        browser.send(body + body)  # now the password is known
        assert (page.asked, threads.calls) == (3, [])

    def test_only_a_little_of_it_is_read_meanwhile(
        self, passwords: Passwords, threads: Threads
    ) -> None:
        page, browser = _guarded(passwords)
        browser.send(_post(b"ann:annann", 1_000_000))
        browser.send(bytes(BUFFERED_BYTES_MAX + 1))
        assert browser.transport.producerState == "paused"
        browser.be_full()
        browser.be_empty()
        assert browser.transport.producerState == "paused"
        assert browser.site.spool(1 << 40, 0)
        browser.site.spool(-1 << 40, 1 << 40)
        threads.finish()
        assert browser.transport.producerState == "producing"
        browser.send(bytes(1_000_000 - BUFFERED_BYTES_MAX - 1))
        assert page.asked == 1

    def test_the_client_is_not_blamed_for_the_wait(
        self, passwords: Passwords, threads: Threads
    ) -> None:
        page, browser = _guarded(passwords)
        browser.send(_post(b"ann:annann", 5))
        browser.wait(1000)
        threads.finish()
        browser.wait(TIMEOUT_SECONDS[Phase.BODY] - 1)
        browser.send(b"12345")
        assert page.asked == 1

    def test_a_client_that_leaves_is_forgotten(
        self, passwords: Passwords, threads: Threads
    ) -> None:
        _, browser = _guarded(passwords)
        others = [Asked(passwords, b"x", b"%d" % number) for number in range(RUNNING_MAX)]
        browser.send(_post(b"ann:annann", 5))
        browser.leave()
        assert threads.finish() == len(others)
        assert browser.clock.getDelayedCalls() == []

    def test_too_many_is_503(self, passwords: Passwords) -> None:
        passwords.abandon()
        _, browser = _guarded(passwords)
        browser.send(_post(b"ann:annann", 5))
        got = answer(browser.heard)
        assert (got.status, got.headers["retry-after"]) == (503, "1")

    def test_a_check_that_fails_is_500(self, threads: Threads, passwords: Passwords) -> None:
        _, browser = _guarded(passwords)
        browser.send(_post(b"ann:annann", 5))
        threads.calls.pop()[1].errback(RuntimeError())
        assert answer(browser.heard).status == 500

    def test_a_log_that_fails_does_not_keep_the_client_waiting(
        self, threads: Threads, passwords: Passwords
    ) -> None:
        def fail(_: Any) -> None:
            raise RuntimeError

        browser = Browser(CountingPage(), authenticate=_denial(passwords), on_answered=fail)
        browser.send(_post(b"ann:wrong", 5))
        threads.finish()
        assert browser.transport.disconnected

    def test_a_request_behind_another_waits_for_its_turn(
        self, passwords: Passwords, threads: Threads
    ) -> None:
        page = WaitingPage()
        browser = Browser(page, authenticate=_denial(passwords))
        browser.ask()
        browser.send(_post(b"ann:annann", 5) + b"12345")
        assert threads.calls == []
        page.answer()
        assert threads.finish() == 1
        page.answer()
        assert browser.heard.count(PAGE) == 2


class GuardedTests:
    """A request without a body is checked before its page is asked."""

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_it_needs_the_password(
        self, passwords: Passwords, threads: Threads, method: str
    ) -> None:
        page = CountingPage()
        browser = Browser(AuthenticatedResource(page, passwords))
        browser.send(
            f"{method} / HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: {_basic(b'ann:wrong')}\r\n\r\n".encode()
        )
        assert browser.heard == b""
        threads.finish()
        refused = answer(browser.heard, method)
        assert (refused.status, page.asked, browser.is_closed) == (401, 0, False)
        assert refused.headers["www-authenticate"] == 'Basic realm="imagepipe"'
        browser.send(
            f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: {_basic(b'ann:annann')}\r\n\r\n".encode()
        )
        threads.finish()
        assert page.asked == 1

    @pytest.mark.parametrize(
        "header", ["", "Basic", "Basic !!!", "Bearer x", "Basic YW5u", "\xff", "Basic \xff"]
    )
    def test_a_malformed_header_is_401(self, passwords: Passwords, header: str) -> None:
        browser = Browser(AuthenticatedResource(CountingPage(), passwords))
        browser.send(
            f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: {header}\r\n\r\n".encode("latin-1")
        )
        assert answer(browser.heard).status == 401

    def test_a_client_that_leaves_is_forgotten(
        self, passwords: Passwords, threads: Threads
    ) -> None:
        page = CountingPage()
        browser = Browser(AuthenticatedResource(page, passwords))
        browser.send(
            f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: {_basic(b'ann:annann')}\r\n\r\n".encode()
        )
        browser.leave()
        threads.finish()
        assert (page.asked, browser.site.content.unanswered) == (0, 0)


class UsersFileTests:
    @pytest.mark.parametrize("cost", ["03", "18", "31", "99"])
    def test_a_cost_that_htpasswd_does_not_make_is_refused(self, cost: str) -> None:
        with pytest.raises(StartError, match="line 1"):
            parse_users([f"ann:$2b${cost}${'a' * 53}"], "users")


def _steps(
    monkeypatch: pytest.MonkeyPatch,
    passwords: Passwords,
    threads: Threads,
    name: bytes,
    password: bytes,
) -> int:
    """How many steps of bcrypt a check takes."""
    hashpw, checkpw, steps = bcrypt.hashpw, bcrypt.checkpw, []

    def counting(run: Callable[[bytes, bytes], Any], wanted: bytes, salt: bytes) -> Any:
        steps.append(1 << int(salt[4:6]))
        return run(wanted, salt)

    monkeypatch.setattr(bcrypt, "hashpw", partial(counting, hashpw))
    monkeypatch.setattr(bcrypt, "checkpw", partial(counting, checkpw))
    Asked(passwords, name, password)
    threads.finish()
    return sum(steps)


def _denial(passwords: Passwords) -> Any:
    return partial(denial, passwords=passwords)


def _guarded(passwords: Passwords) -> tuple[CountingPage, Browser]:
    page = CountingPage()
    return page, Browser(page, authenticate=_denial(passwords))


def _basic(credentials: bytes) -> str:
    return f"Basic {b64encode(credentials).decode()}"


def _post(credentials: bytes, length: int, headers: bytes = b"") -> bytes:
    return b"POST / HTTP/1.1\r\nHost: x\r\n%bAuthorization: %b\r\nContent-Length: %d\r\n\r\n" % (
        headers,
        _basic(credentials).encode(),
        length,
    )
