"""The bounded queue in front of the I/O threads.

At most `running_max` jobs render, at most `waiting_max` wait; one more is refused at once with Overloaded. There are threads for as many jobs again: these
decode what came and flush what was rendered, so that an engine need not wait for either.

Only what renders or carries an image goes through here: a delete never waits behind a render.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.threadpool import ThreadPool

from imagepipe.errors import NotStored, Overloaded
from imagepipe.threads import on_thread_of

T = TypeVar("T")

THREADS_A_RENDER = 2


@dataclass(frozen=True, slots=True)
class Timed(Generic[T]):
    """A job's result, and for how long it waited and then ran."""

    result: T
    waited_seconds: float
    ran_seconds: float


class WorkQueue:
    """Runs jobs on I/O threads. Invariant: a job is taken only while fewer than running_max + waiting_max are in flight.

    `reactor` calls back; `seconds` is a monotonic clock, read on the reactor thread and on the I/O threads.
    """

    def __init__(self, reactor: IReactorFromThreads, seconds: Callable[[], float], running_max: int, waiting_max: int) -> None:
        self._reactor = reactor
        self._seconds = seconds
        self._running_max = running_max
        self._waiting_max = waiting_max
        self._in_flight = 0
        self._refusing = False
        self._rendering = 0
        self._render_done = threading.Condition()
        self._of_this_job = threading.local()
        self._pool = ThreadPool(minthreads=0, maxthreads=THREADS_A_RENDER * running_max, name="render")

    def start(self) -> None:
        """Let jobs run."""
        self._pool.start()

    def resize(self, running_max: int, waiting_max: int) -> None:
        """Have other bounds from now on; what is in flight stays in flight, even if there is more of it now than would be taken."""
        with self._render_done:
            self._running_max, self._waiting_max = running_max, waiting_max
            self._render_done.notify_all()
        # As many at least as at most: a pool starts threads for what waits already only up to its minimum.
        self._pool.adjustPoolsize(THREADS_A_RENDER * running_max, THREADS_A_RENDER * running_max)

    def refuse_waiting(self) -> None:
        """Let no job start any more: those that wait fail with Overloaded."""
        self._refusing = True

    def stop(self) -> None:
        """Finish every accepted job; blocks until then."""
        self._pool.stop()

    @property
    def running_max(self) -> int:
        """How many jobs may render at a time."""
        return self._running_max

    @property
    def waiting_max(self) -> int:
        """How many may wait."""
        return self._waiting_max

    @property
    def running(self) -> int:
        """Jobs that are being done."""
        return min(self._in_flight, self._running_max)

    @property
    def waiting(self) -> int:
        """Jobs that wait for their turn."""
        return self._in_flight - self.running

    async def run(self, job: Callable[[], T]) -> Timed[T]:
        """Run `job` on an I/O thread; raises Overloaded at once if the queue is full."""
        if self._in_flight >= self._running_max + self._waiting_max:
            raise Overloaded(f"{self.running} images are being rendered and {self.waiting} wait: try again")
        self._in_flight += 1
        submitted = self._seconds()

        def timed() -> Timed[T]:
            self._check_going_on()
            started = self._seconds()
            self._of_this_job.waited_seconds = 0.0
            try:
                result = job()
            except NotStored:
                self._check_going_on()  # it was cut short
                raise
            waited = self._of_this_job.waited_seconds
            return Timed(result, started - submitted + waited, self._seconds() - started - waited)

        try:
            return await on_thread_of(self._reactor, self._pool, timed)
        finally:
            self._in_flight -= 1

    @contextlib.contextmanager
    def rendering(self) -> Iterator[None]:
        """What a job has around the part that renders; waiting for it counts as waiting. Raises Overloaded if the server is stopping."""
        asked = self._seconds()
        with self._render_done:
            while self._rendering >= self._running_max:
                self._render_done.wait()
            self._rendering += 1
        try:
            self._of_this_job.waited_seconds += self._seconds() - asked
            self._check_going_on()
            yield
        finally:
            with self._render_done:
                self._rendering -= 1
                self._render_done.notify()

    def _check_going_on(self) -> None:
        if self._refusing:
            raise Overloaded("the server is stopping: try again") from None
