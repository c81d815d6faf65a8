"""The queue in front of the I/O threads: who renders, who waits, and what is counted as what. Real
threads, a clock that the tests move.
"""

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from imagepipe.core.queues.turns import JobKind
from imagepipe.errors import Overloaded
from imagepipe.runtime.render_queue import RenderQueue, TimedResult

PATIENCE_SECONDS = 60
WRITE, READ = JobKind.WRITE, JobKind.READ


class Turns:
    """A reactor as far as threads call it back: what they want done is done when the test asks for
    it.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._readings = threading.Semaphore(0)
        self._wanted: queue.Queue[Callable[[], None]] = queue.Queue()

    def seconds(self) -> float:
        """The clock."""
        self._readings.release()
        return self.now

    def wait_for_readings(self, count: int) -> None:
        """Until the clock was read so many times more."""
        for _ in range(count):
            assert self._readings.acquire(timeout=PATIENCE_SECONDS)

    # Twisted's name
    def callFromThread(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> None:
        self._wanted.put(lambda: function(*arguments, **named))

    def wait_for(self, deferred: "Deferred[Any]") -> Any:
        """The result; what it failed with is raised."""
        results: list[Any] = []
        deferred.addBoth(results.append)
        while not results:
            self._wanted.get(timeout=PATIENCE_SECONDS)()
        if isinstance(results[0], TimedResult):
            return results[0]
        results[0].raiseException()
        raise AssertionError


class Render:
    """A job that says how far it is, and goes on when it may."""

    def __init__(self, work: RenderQueue) -> None:
        self._work = work
        self.began = threading.Event()
        self.renders = threading.Event()
        self.may_end = threading.Event()

    def __call__(self) -> None:
        self.began.set()
        with self._work.engine_turn():
            self.renders.set()
            assert self.may_end.wait(PATIENCE_SECONDS)


@pytest.fixture
def turns() -> Turns:
    """The reactor."""
    return Turns()


@pytest.fixture
def work(turns: Turns) -> Iterator[RenderQueue]:
    """A queue for one render at a time."""
    # all of it that is used
    work = RenderQueue(turns, turns.seconds, 1, 10)  # type: ignore[arg-type]
    work.start()
    yield work
    work.stop()


class RenderingTests:
    """One renders, and its neighbour prepares."""

    def test_the_next_begins_while_one_renders_but_does_not_render(
        self, work: RenderQueue, turns: Turns
    ) -> None:
        first, second = Render(work), Render(work)
        done = [Deferred.fromCoroutine(work.run(first, WRITE))]
        assert first.renders.wait(PATIENCE_SECONDS)
        done.append(Deferred.fromCoroutine(work.run(second, WRITE)))
        assert second.began.wait(PATIENCE_SECONDS)
        assert (second.renders.is_set(), work.running(WRITE), work.waiting(WRITE)) == (False, 1, 1)
        second.may_end.set()
        first.may_end.set()
        for one in done:
            turns.wait_for(one)
        assert (work.running(WRITE), work.waiting(WRITE)) == (0, 0)

    def test_waiting_for_the_engine_counts_as_waiting(
        self, work: RenderQueue, turns: Turns
    ) -> None:
        first, second = Render(work), Render(work)
        running = Deferred.fromCoroutine(work.run(first, WRITE))
        assert first.renders.wait(PATIENCE_SECONDS)
        turns.wait_for_readings(4)  # submitted, begun, asked to render, renders
        waiting = Deferred.fromCoroutine(work.run(second, WRITE))
        turns.wait_for_readings(3)  # it waits now
        turns.now = 5.0
        first.may_end.set()
        assert turns.wait_for(running).ran_seconds == 5.0
        assert second.renders.wait(PATIENCE_SECONDS)
        turns.now = 7.0
        second.may_end.set()
        timed = turns.wait_for(waiting)
        assert timed.waited_seconds + timed.ran_seconds == 7.0
        assert timed.ran_seconds == 2.0

    def test_more_may_render_from_now_on(self, work: RenderQueue, turns: Turns) -> None:
        jobs = [Render(work), Render(work)]
        done = [Deferred.fromCoroutine(work.run(job, WRITE)) for job in jobs]
        assert jobs[1].began.wait(PATIENCE_SECONDS)
        work.resize(2, 10)
        for job in jobs:
            assert job.renders.wait(PATIENCE_SECONDS)
            job.may_end.set()
        for one in done:
            turns.wait_for(one)

    def test_jobs_that_wait_for_the_engine_are_refused_when_it_stops(
        self, work: RenderQueue, turns: Turns
    ) -> None:
        first, second = Render(work), Render(work)
        done = [Deferred.fromCoroutine(work.run(first, WRITE))]
        assert first.renders.wait(PATIENCE_SECONDS)
        done.append(Deferred.fromCoroutine(work.run(second, WRITE)))
        assert second.began.wait(PATIENCE_SECONDS)
        work.refuse_waiting()
        first.may_end.set()
        turns.wait_for(done[0])
        with pytest.raises(Overloaded, match="stopping"):
            turns.wait_for(done[1])
        assert not second.renders.is_set()


class ClassesTests:
    """Stores and renditions have a queue each."""

    def test_a_store_waits_for_one_render_however_many_renditions_wait(
        self, work: RenderQueue, turns: Turns
    ) -> None:
        renditions = [Render(work) for _ in range(5)]
        done = [Deferred.fromCoroutine(work.run(job, READ)) for job in renditions]
        assert renditions[0].renders.wait(PATIENCE_SECONDS)
        store = Render(work)
        done.append(Deferred.fromCoroutine(work.run(store, WRITE)))
        assert store.began.wait(PATIENCE_SECONDS), "it has a thread at once"
        # one renders, one asks, three are submitted; the store asks
        turns.wait_for_readings(4 + 3 + 3 + 3)
        assert (work.waiting(WRITE), work.waiting(READ), work.running(READ)) == (1, 4, 1)
        renditions[0].may_end.set()
        assert store.renders.wait(PATIENCE_SECONDS)
        assert not any(job.renders.is_set() for job in renditions[1:])
        for job in (store, *renditions):
            job.may_end.set()
        for one in done:
            turns.wait_for(one)

    def test_a_full_queue_of_renditions_is_not_one_of_stores(
        self, work: RenderQueue, turns: Turns
    ) -> None:
        work.resize(1, 1)
        renditions = [Render(work), Render(work)]
        done = [Deferred.fromCoroutine(work.run(job, READ)) for job in renditions]
        with pytest.raises(Overloaded, match="try again"):
            turns.wait_for(Deferred.fromCoroutine(work.run(Render(work), READ)))
        stores = [Render(work), Render(work)]
        done += [Deferred.fromCoroutine(work.run(job, WRITE)) for job in stores]
        with pytest.raises(Overloaded, match="try again"):
            turns.wait_for(Deferred.fromCoroutine(work.run(Render(work), WRITE)))
        for job in (*renditions, *stores):
            job.may_end.set()
        for one in done:
            turns.wait_for(one)
        assert (
            {work.waiting(kind) for kind in JobKind}
            == {work.running(kind) for kind in JobKind}
            == {0}
        )

    def test_a_client_with_many_jobs_makes_room_for_another(
        self, work: RenderQueue, turns: Turns
    ) -> None:
        work.resize(1, 4)
        many = [Render(work) for _ in range(5)]
        done = [Deferred.fromCoroutine(work.run(job, READ, "many")) for job in many]
        assert many[1].began.wait(PATIENCE_SECONDS)  # two have a thread, three wait for one
        with pytest.raises(Overloaded):
            turns.wait_for(Deferred.fromCoroutine(work.run(Render(work), READ, "many")))
        other = Render(work)
        another = Deferred.fromCoroutine(work.run(other, READ, "other"))
        with pytest.raises(Overloaded, match="try again"):
            turns.wait_for(done.pop())
        for job in (*many[:4], other):
            job.may_end.set()
        for one in (another, *done):
            turns.wait_for(one)
        assert not many[4].began.is_set()
        assert (work.waiting(READ), work.running(READ)) == (0, 0)
