"""The same call for many ids, several at a time, each on a thread with its own connection.

    ids --one by one--> threads: call, retry --bounded queue of records--> the main thread

If the daemon's queue is full (fault 1004) or a connection drops, the thread waits and tries again.
Ctrl-C or SIGTERM lets the calls under way finish and starts no more; a second one exits at once.
"""

import contextlib
import queue
import random
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from types import FrameType

from imagepipe.cli.client import Client, ServerAddress
from imagepipe.cli.failures import CommandFailed, FaultReturned, Unreachable

OVERLOADED = 1004
_FAULTS_OF_ONE_IMAGE = (1000, 1001, 1002, 1003)
"""Faults that concern a single image; any other concerns the daemon and ends the run."""

_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.05, 5.0

_MOMENT_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Record:
    """The outcome for an id. result: a word such as `failed`. error: a sentence if it failed, or
    empty.
    """

    id: int
    path: str
    result: str
    error: str = ""

    @property
    def is_failed(self) -> bool:
        """Whether a later run should try it again."""
        return self.result == FAILED


FAILED = "failed"

Task = Callable[[Client, int], Record]
"""Does the work for an id; if it raises FaultReturned, that becomes a record or a retry."""


class Parallel:
    """One run. Public: `stop`, set to end it, and `was_interrupted`."""

    def __init__(
        self,
        server: ServerAddress,
        task: Task,
        path_of: Callable[[int], str],
        concurrency: int,
        patience_seconds: float,
    ) -> None:
        self.stop = threading.Event()
        self.was_interrupted = False
        self._server = server
        self._task = task
        self._path_of = path_of
        self._concurrency = concurrency
        self._patience_seconds = patience_seconds
        self._records: queue.Queue[Record | CommandFailed | None] = queue.Queue(2 * concurrency)
        self._taking = threading.Lock()
        self._was_reached = False

    def run(self, ids: Iterator[int], count: int) -> Generator[Record | None, None, None]:
        """Yields the records of `ids`, which are `count` ids, as they arrive, and None when none
        has arrived for a moment. Raises CommandFailed if the daemon is gone or unusable.
        """
        threads = [
            threading.Thread(target=self._work, args=(ids,), daemon=True)
            for _ in range(min(self._concurrency, count))
        ]
        working = len(threads)
        failure: CommandFailed | None = None
        with self._interruptible():
            for thread in threads:
                thread.start()
            try:
                while working:
                    try:
                        record = self._records.get(timeout=_MOMENT_SECONDS)
                    except queue.Empty:
                        yield None
                        continue
                    if isinstance(record, Record):
                        yield record
                    elif record is None:
                        working -= 1
                    else:
                        failure = failure or record
                        self.stop.set()
            finally:
                self.stop.set()
        if failure:
            raise failure

    def _work(self, ids: Iterator[int]) -> None:
        try:
            with Client(self._server) as client:
                while not self.stop.is_set():
                    with self._taking:
                        id = next(ids, None)
                    if id is None:
                        break
                    if (record := self._record(client, id)) is not None:
                        self._records.put(record)
        except CommandFailed as error:
            self._records.put(error)
        finally:
            self._records.put(None)

    def _record(self, client: Client, id: int) -> Record | None:
        """The record of an id; None if the run was stopped meanwhile."""
        delays = _retry_delays()
        lost_at: float | None = None
        while True:
            try:
                record = self._task(client, id)
            except FaultReturned as fault:
                self._was_reached = True
                if fault.code in _FAULTS_OF_ONE_IMAGE:
                    return Record(id, self._path_of(id), FAILED, str(fault))
                if fault.code != OVERLOADED:
                    raise
                lost_at = None
            except Unreachable:
                lost_at = lost_at or time.monotonic()
                # A daemon that never answered probably does not exist.
                if not self._was_reached or time.monotonic() - lost_at >= self._patience_seconds:
                    raise
            else:
                self._was_reached = True
                return record
            if self.stop.wait(next(delays)):
                return None

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        signals = [
            one
            for one in (signal.SIGINT, signal.SIGTERM)
            if signal.getsignal(one) is not signal.SIG_IGN
        ]
        before = {one: signal.signal(one, self._interrupted) for one in signals}
        try:
            yield
        finally:
            # Otherwise the command is about to exit, however often Ctrl-C is pressed.
            if not self.was_interrupted:
                for one, handler in before.items():
                    signal.signal(one, handler)

    def _interrupted(self, _signal: int, _frame: FrameType | None) -> None:
        if self.was_interrupted:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            raise KeyboardInterrupt
        self.was_interrupted = True
        self.stop.set()


def _retry_delays() -> Iterator[float]:
    """Seconds to wait before each retry: longer each time, and different for each thread."""
    longest = _FIRST_WAIT_SECONDS
    while True:
        yield random.uniform(longest / 2, longest)  # noqa: S311 - no secret
        longest = min(2 * longest, _LONGEST_WAIT_SECONDS)
