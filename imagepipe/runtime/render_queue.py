"""The bounded queues in front of the I/O threads: one for writes (stores), one for reads
(renditions).

    run(job, kind)   a place in the queue of its kind, or Overloaded at once
      -> a thread    of that kind: it decodes what came, or looks whether there is anything to do
      -> engine_turn()   a turn at the engines, of which there are `running_max` for both kinds
      -> the thread  flushes and commits what was rendered

Each kind has threads for twice as many jobs as render, so that an engine need not wait for what is
done before and after. Strangers' GETs can fill their own queue, but not that of the stores;
core/queues/turns says whose turn it is at the engines. Of reads, no client can take all places: see
core/queues/fair_queue.

Only what renders or carries an image goes through here: a delete never waits behind a render.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.threadpool import ThreadPool

from imagepipe.core.queues.fair_queue import FairQueue
from imagepipe.core.queues.turns import EngineTurns, JobKind
from imagepipe.errors import NotStored, Overloaded
from imagepipe.runtime.threads import deliver

T = TypeVar("T")

THREADS_A_RENDER = 2


@dataclass(frozen=True, slots=True)
class TimedResult(Generic[T]):
    """A job's result, and for how long it waited and then ran."""

    result: T
    waited_seconds: float
    ran_seconds: float


@dataclass(slots=True, eq=False)
class _Job:
    """A job in the queue. is_counted: it is among the running, or is over."""

    kind: JobKind
    run: Callable[[], Any]
    submitted: float
    answer: "Deferred[Any]" = field(default_factory=Deferred)
    waited_seconds: float = 0.0
    is_counted: bool = False


@dataclass(slots=True, eq=False)
class _Turn:
    """A turn at the engines that a thread waits for."""

    given: threading.Event = field(default_factory=threading.Event)
    began: float = 0.0


class _KindQueue:
    """The jobs of one kind. `in_flight` is the reactor's; the rest is under the queue's lock."""

    def __init__(self, kind: JobKind, threads: int) -> None:
        self.pool = ThreadPool(minthreads=0, maxthreads=threads, name=f"{kind} jobs")
        self.in_flight = 0
        self.running = 0
        self.waiting: FairQueue[_Job] = FairQueue()
        self.asking: deque[_Turn] = deque()


class RenderQueue:
    """Runs jobs on I/O threads. Invariant: at most running_max + waiting_max of a kind are in
    flight.

    `reactor` calls back; `seconds` is a monotonic clock, read on the reactor thread and on the I/O
    threads.
    """

    def __init__(
        self,
        reactor: IReactorFromThreads,
        seconds: Callable[[], float],
        running_max: int,
        waiting_max: int,
    ) -> None:
        self._reactor = reactor
        self._seconds = seconds
        self._waiting_max = waiting_max
        self._refusing = False
        self._lock = threading.Lock()
        self._turns = EngineTurns(running_max)
        self._queues = {kind: _KindQueue(kind, THREADS_A_RENDER * running_max) for kind in JobKind}
        self._of_this_thread = threading.local()

    def start(self) -> None:
        """Let jobs run."""
        for queue in self._queues.values():
            queue.pool.start()

    def resize(self, running_max: int, waiting_max: int) -> None:
        """Have other bounds from now on. Jobs in flight stay, even if there are more than the new
        bounds allow.
        """
        with self._lock:
            self._turns.threads, self._waiting_max = running_max, waiting_max
            self._give_turns(self._seconds())
        threads = THREADS_A_RENDER * running_max
        for queue in self._queues.values():
            # The minimum too: a pool starts threads for what waits already only up to that.
            queue.pool.adjustPoolsize(threads, threads)

    def refuse_waiting(self) -> None:
        """Let no job start any more: those that wait fail with Overloaded."""
        self._refusing = True

    def stop(self) -> None:
        """Finish every accepted job; blocks until then."""
        for queue in self._queues.values():
            queue.pool.stop()

    @property
    def running_max(self) -> int:
        """How many jobs may render at a time."""
        return self._turns.threads

    @property
    def waiting_max(self) -> int:
        """How many of each kind may wait."""
        return self._waiting_max

    def running(self, kind: JobKind) -> int:
        """Jobs that have had their turn and are not done."""
        return self._queues[kind].running

    def waiting(self, kind: JobKind) -> int:
        """Jobs that wait for their turn."""
        return self._queues[kind].in_flight - self._queues[kind].running

    async def run(self, job: Callable[[], T], kind: JobKind, client: str = "") -> TimedResult[T]:
        """Run `job` on an I/O thread.

        client: whose job it is; a client with few jobs takes the place of one with many.
        Raises Overloaded: at once if the queue is full, later if the place goes to another client
        or the server stops.
        """
        queue, submitted = self._queues[kind], _Job(kind, job, self._seconds())
        displaced = None
        with self._lock:
            if queue.in_flight >= self.running_max + self._waiting_max:
                displaced = queue.waiting.evict(client)
                if displaced is None:
                    raise self._is_full(kind)
            queue.waiting.put(client, submitted)
        queue.in_flight += 1
        queue.pool.callInThread(self._run_next, queue)
        if displaced:
            displaced.answer.errback(self._is_full(kind))
        try:
            timed: TimedResult[T] = await submitted.answer
            return timed
        finally:
            queue.in_flight -= 1
            with self._lock:
                queue.running -= submitted.is_counted
                submitted.is_counted = True

    @contextlib.contextmanager
    def engine_turn(self) -> Iterator[None]:
        """What a job has around the part that renders; waiting for a turn counts as waiting.

        Raises Overloaded if the server is stopping.
        """
        job: _Job = self._of_this_thread.job
        queue, turn = self._queues[job.kind], _Turn()
        with self._lock:
            asked = self._seconds()
            queue.asking.append(turn)
            self._give_turns(asked)
        turn.given.wait()
        with self._lock:
            queue.running += not job.is_counted
            job.is_counted = True
        try:
            job.waited_seconds += self._seconds() - asked
            self._check_going_on()
            yield
        finally:
            now = self._seconds()
            with self._lock:
                self._turns.give_back(job.kind, turn.began, now)
                self._give_turns(now)

    # On an I/O thread.

    def _run_next(self, queue: _KindQueue) -> None:
        with self._lock:
            job = queue.waiting.take()
        if job:  # else one was displaced
            deliver(self._reactor, job.answer, lambda: self._timed(job))

    def _timed(self, job: _Job) -> TimedResult[Any]:
        self._check_going_on()
        self._of_this_thread.job = job
        started = self._seconds()
        try:
            result = job.run()
        except NotStored:
            self._check_going_on()  # it was cut short
            raise
        waited = job.waited_seconds
        ran = self._seconds() - started - waited
        return TimedResult(result, started - job.submitted + waited, ran)

    def _give_turns(self, now: float) -> None:
        """Let those render whose turn it is; under the lock."""
        while kind := self._turns.take([one for one in JobKind if self._queues[one].asking], now):
            turn = self._queues[kind].asking.popleft()
            turn.began = now
            turn.given.set()

    def _check_going_on(self) -> None:
        if self._refusing:
            raise Overloaded("the server is stopping: try again") from None

    def _is_full(self, kind: JobKind) -> Overloaded:
        return Overloaded(f"the queue of {kind}s is full, {self.waiting(kind)} wait: try again")
