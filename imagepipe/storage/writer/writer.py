"""The writer: the one thread that changes the catalogue and the tree.

Calls are handed over with `submit` and answered through their futures. All that wait when the
thread comes round share a transaction, so that the price of a flush is divided by as many as pay
it. Between groups it does a slice of the housekeeping.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.logger import Logger

from imagepipe.errors import InternalError, Overloaded
from imagepipe.storage.writer.calls import WriteCall, WriterTask, take_group

WAITING_MAX = 10_000
"""How many calls wait at most; one more is refused at once."""

_log = Logger()


class Chores(Protocol):
    """What is done between groups."""

    def due_in(self) -> float | None:
        """In how many seconds there is something to do; None: nothing is."""
        ...

    def step(self) -> None:
        """Do a little of it; raises nothing."""
        ...


class Writer:
    """Invariant: what was submitted is answered, in the order in which it came."""

    def __init__(self, commit: Callable[[Sequence[WriteCall]], None], chores: Chores) -> None:
        self._commit = commit
        self._chores = chores
        self._waiting: deque[WriteCall | WriterTask[Any]] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def submit(self, item: WriteCall | WriterTask[Any]) -> None:
        """Hand over a call; never blocks. Raises Overloaded if too many wait, or none is taken any
        more.
        """
        with self._changed:
            if self._stopping:
                raise Overloaded("the store is being closed: try again")
            if len(self._waiting) >= WAITING_MAX:
                raise Overloaded(f"{len(self._waiting)} changes wait for the disk: try again")
            self._waiting.append(item)
            self._changed.notify()

    def wake(self) -> None:
        """Look at the housekeeping again: another thread has given it something to do."""
        with self._changed:
            self._changed.notify()

    def stop(self) -> None:
        """Answer what was submitted, and end; blocks until then."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.ident is not None:  # it was started
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                due = self._chores.due_in()
                while not self._waiting and not self._stopping and (due is None or due > 0):
                    self._changed.wait(due)
                    due = self._chores.due_in()
                if not self._waiting and self._stopping:
                    return
            # Not under the lock, which submitters wait for on the reactor's thread: they only
            # append, and nobody else takes.
            work = take_group(self._waiting) if self._waiting else None
            if isinstance(work, WriterTask):
                self._do(work)
            elif work:
                self._answer(work)
            if due is not None and due <= 0:
                self._chores.step()

    def _answer(self, calls: Sequence[WriteCall]) -> None:
        try:
            self._commit(calls)
        # a bug; without this thread nobody would ever be answered again
        except Exception:
            _log.failure("a group of changes failed")
        for call in calls:
            if not call.future.done():
                call.future.set_exception(InternalError())

    @staticmethod
    def _do(task: WriterTask[Any]) -> None:
        if task.future.set_running_or_notify_cancel():
            try:
                task.future.set_result(task.run())
            except Exception as error:  # it is the answer
                task.future.set_exception(error)
