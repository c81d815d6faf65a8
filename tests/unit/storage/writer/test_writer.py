"""The writer's thread: order, sharing, and an answer for everyone."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError

import pytest

from imagepipe.errors import InternalError, Overloaded
from imagepipe.storage.image_info import Commit
from imagepipe.storage.writer.calls import WriteCall, WriterTask
from imagepipe.storage.writer.writer import WAITING_MAX, Writer


class Idle:
    """No housekeeping; or `steps` of it, all due."""

    def __init__(self, steps: int = 0) -> None:
        self.steps = steps
        self.done = threading.Event()

    def due_in(self) -> float | None:
        return 0 if self.steps else None

    def step(self) -> None:
        self.steps -= 1
        if not self.steps:
            self.done.set()


class Bench:
    """A writer whose commits wait for `go`."""

    def __init__(
        self, answer: Callable[[WriteCall], None] | None = None, chores: Idle | None = None
    ) -> None:
        self.groups: list[list[str]] = []
        self.go = threading.Event()
        self.busy = threading.Event()
        self._answer = answer or (lambda call: call.future.set_result(Commit(None, 0)))
        self.writer = Writer(self._commit, chores or Idle())
        self.writer.start()

    def call(self, path: str) -> WriteCall:
        """Submit a call."""
        call = WriteCall((path,), lambda _: ())
        self.writer.submit(call)
        return call

    def _commit(self, calls: Sequence[WriteCall]) -> None:
        self.busy.set()
        self.go.wait(60)
        self.groups.append([call.paths[0] for call in calls])
        for call in calls:
            self._answer(call)


class WriterTests:
    def test_all_that_wait_share_a_commit(self) -> None:
        bench = Bench()
        bench.call("a")
        bench.busy.wait(60)
        for path in "bcd":
            bench.call(path)
        task = WriterTask(lambda: True)
        bench.writer.submit(task)
        bench.call("e")
        bench.go.set()
        assert task.future.result(60)
        bench.writer.stop()
        assert bench.groups == [["a"], ["b", "c", "d"], ["e"]]

    def test_one_too_many_is_refused_at_once(self) -> None:
        bench = Bench()
        bench.call("a")
        bench.busy.wait(60)
        for number in range(WAITING_MAX):
            bench.call(str(number))
        with pytest.raises(Overloaded):
            bench.call("b")
        bench.go.set()
        bench.writer.stop()

    def test_none_is_taken_after_stop(self) -> None:
        bench = Bench()
        bench.go.set()
        bench.writer.stop()
        with pytest.raises(Overloaded):
            bench.call("a")

    def test_a_commit_that_forgets_a_call_is_found_out(self) -> None:
        def fail(call: WriteCall) -> None:
            raise KeyError(call)

        for answer in (fail, lambda _: None):
            bench = Bench(answer)
            bench.go.set()
            for path in "ab":
                with pytest.raises(InternalError):
                    bench.call(path).future.result(60)
            bench.writer.stop()

    def test_a_task_that_fails_says_so(self) -> None:
        def fail() -> bool:
            raise KeyError

        bench = Bench()
        task, cancelled = WriterTask(fail), WriterTask(fail)
        cancelled.future.cancel()
        bench.writer.submit(cancelled)
        bench.writer.submit(task)
        with pytest.raises(KeyError):
            task.future.result(60)
        with pytest.raises(CancelledError):
            cancelled.future.result(60)
        bench.writer.stop()

    def test_housekeeping_goes_on_between_groups_and_without_them(self) -> None:
        chores = Idle(3)
        bench = Bench(chores=chores)
        assert chores.done.wait(60)
        chores.done.clear()
        chores.steps = 2
        bench.writer.wake()
        assert chores.done.wait(60)
        bench.writer.stop()
