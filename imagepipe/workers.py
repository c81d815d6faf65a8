"""The bounded queue in front of the I/O threads.

At most `running_max` jobs run, at most `waiting_max` wait; one more is refused at once with Overloaded. Only what renders or carries an image goes
through here: a delete never waits behind a render.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from imagepipe.errors import NotStored, Overloaded

T = TypeVar("T")


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
        self._pool = ThreadPool(minthreads=0, maxthreads=running_max, name="render")

    def start(self) -> None:
        """Let jobs run."""
        self._pool.start()

    def resize(self, running_max: int, waiting_max: int) -> None:
        """Have other bounds from now on; what is in flight stays in flight, even if there is more of it now than would be taken."""
        self._running_max, self._waiting_max = running_max, waiting_max
        # As many at least as at most: a pool starts threads for what waits already only up to its minimum.
        self._pool.adjustPoolsize(running_max, running_max)

    def refuse_waiting(self) -> None:
        """Let no job start any more: those that wait fail with Overloaded."""
        self._refusing = True

    def stop(self) -> None:
        """Finish every accepted job; blocks until then."""
        self._pool.stop()

    @property
    def running_max(self) -> int:
        """How many jobs may have a thread."""
        return self._running_max

    @property
    def waiting_max(self) -> int:
        """How many may wait."""
        return self._waiting_max

    @property
    def running(self) -> int:
        """Jobs that have a thread."""
        return min(self._in_flight, self._running_max)

    @property
    def waiting(self) -> int:
        """Jobs that wait for one."""
        return self._in_flight - self.running

    async def run(self, job: Callable[[], T]) -> Timed[T]:
        """Run `job` on an I/O thread; raises Overloaded at once if the queue is full."""
        if self._in_flight >= self._running_max + self._waiting_max:
            raise Overloaded(f"{self.running} images are being rendered and {self.waiting} wait: try again")
        self._in_flight += 1
        submitted = self._seconds()

        def timed() -> Timed[T]:
            if self._refusing:
                raise Overloaded("the server is stopping: try again")
            started = self._seconds()
            try:
                result = job()
            except NotStored:
                if self._refusing:  # it was cut short
                    raise Overloaded("the server is stopping: try again") from None
                raise
            return Timed(result, started - submitted, self._seconds() - started)

        try:
            return await deferToThreadPool(self._reactor, self._pool, timed)
        finally:
            self._in_flight -= 1
