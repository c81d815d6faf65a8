"""Equal work that is under way, stepped by hand."""

import threading

import pytest
from twisted.internet.defer import CancelledError, Deferred

from imagepipe.usecases.single_flight import KeyLocks, SingleFlight


class Work:
    """Work that ends when a test says so; `started` has a Deferred for each time it was begun."""

    def __init__(self) -> None:
        self.started: list[Deferred[str]] = []

    async def __call__(self) -> str:
        self.started.append(Deferred())
        return await self.started[-1]


class Waiter:
    """Someone who waits for it: `seen` is empty, or has the result, or the error."""

    def __init__(self, single_flight: SingleFlight[str, str], about: str, work: Work) -> None:
        self.seen: list[object] = []
        self.deferred = Deferred.fromCoroutine(single_flight.join(about, work))
        self.deferred.addCallbacks(
            self.seen.append, lambda failure: self.seen.append(failure.value)
        )


class SingleFlightTests:
    def test_equal_work_is_begun_once_and_all_get_its_result(self) -> None:
        single_flight, work = SingleFlight[str, str](), Work()
        waiters = [Waiter(single_flight, "a", work) for _ in range(3)]
        assert (len(single_flight), len(work.started)) == (1, 1)
        assert not any(waiter.seen for waiter in waiters)
        work.started[0].callback("done")
        assert [waiter.seen for waiter in waiters] == [["done"]] * 3
        assert len(single_flight) == 0

    def test_other_work_is_begun_besides(self) -> None:
        single_flight, work = SingleFlight[str, str](), Work()
        one, other = Waiter(single_flight, "a", work), Waiter(single_flight, "b", work)
        assert (len(single_flight), len(work.started)) == (2, 2)
        work.started[1].callback("b")
        assert (one.seen, other.seen) == ([], ["b"])
        work.started[0].callback("a")
        assert one.seen == ["a"]

    def test_what_ends_at_once_is_no_exception(self) -> None:
        single_flight = SingleFlight[str, str]()

        async def work() -> str:
            return "done"

        seen: list[str] = []
        Deferred.fromCoroutine(single_flight.join("a", work)).addCallback(seen.append)
        assert (seen, len(single_flight)) == (["done"], 0)

    @pytest.mark.parametrize("error", [ValueError("why"), CancelledError()])
    def test_all_get_its_error(self, error: Exception) -> None:
        single_flight, work = SingleFlight[str, str](), Work()
        waiters = [Waiter(single_flight, "a", work) for _ in range(3)]
        work.started[0].errback(error)
        assert [waiter.seen for waiter in waiters] == [[error]] * 3
        assert len(single_flight) == 0

    def test_once_it_has_ended_it_is_started_again(self) -> None:
        single_flight, work = SingleFlight[str, str](), Work()
        Waiter(single_flight, "a", work)
        work.started[0].callback("first")
        again = Waiter(single_flight, "a", work)
        work.started[1].callback("second")
        assert again.seen == ["second"]

    def test_also_by_one_who_has_just_got_the_result(self) -> None:
        single_flight, work = SingleFlight[str, str](), Work()
        first = Waiter(single_flight, "a", work)
        later: list[Waiter] = []
        first.deferred.addCallback(lambda _: later.append(Waiter(single_flight, "a", work)))
        second = Waiter(single_flight, "a", work)
        work.started[0].callback("first")
        assert (second.seen, later[0].seen, len(work.started)) == (["first"], [], 2)
        work.started[1].callback("second")
        assert later[0].seen == ["second"]

    def test_a_caller_that_gives_up_does_not_cost_the_others_the_result(self) -> None:
        single_flight, work = SingleFlight[str, str](), Work()
        leaving, staying = Waiter(single_flight, "a", work), Waiter(single_flight, "a", work)
        leaving.deferred.cancel()
        assert isinstance(leaving.seen[0], CancelledError)
        joined = Waiter(single_flight, "a", work)
        work.started[0].callback("done")
        assert (staying.seen, joined.seen, len(leaving.seen)) == (["done"], ["done"], 1)

    def test_a_result_lands_when_all_have_seen_it_and_an_error_never(self) -> None:
        landed: list[tuple[str, int]] = []
        waiters: list[Waiter] = []
        single_flight, work = (
            SingleFlight[str, str](
                lambda result: landed.append((result, sum(len(waiter.seen) for waiter in waiters)))
            ),
            Work(),
        )
        waiters += [Waiter(single_flight, "a", work) for _ in range(3)]
        work.started[0].callback("done")
        assert landed == [("done", 3)]
        Waiter(single_flight, "a", work)
        work.started[1].errback(ValueError())
        assert landed == [("done", 3)]


class KeyLocksTests:
    """Threads that want the same thing have it one after the other; others do not wait."""

    def test_a_caller_that_wants_something_else_does_not_wait(self) -> None:
        locks = KeyLocks()
        with locks.hold("ab"), locks.hold("cd"):
            pass

    def test_a_caller_that_wants_some_of_it_waits(self) -> None:
        locks = KeyLocks()
        order: list[str] = []
        began = threading.Event()

        def later() -> None:
            began.set()
            with locks.hold("bc"):
                order.append("second")

        thread = threading.Thread(target=later)
        with locks.hold("ab"):
            thread.start()
            began.wait(60)
            order.append("first")
        thread.join(60)
        assert order == ["first", "second"]

    def test_a_failure_lets_go(self) -> None:
        locks = KeyLocks()
        with pytest.raises(RuntimeError), locks.hold("a"):
            raise RuntimeError
        with locks.hold("a"):
            pass
