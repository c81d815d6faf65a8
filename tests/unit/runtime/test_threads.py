"""What runs on threads of a pool. Real threads; their results come back when the test asks."""

import queue
import weakref
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from imagepipe.runtime.threads import on_thread_of

PATIENCE_SECONDS = 60


class Image:
    """Something large."""


class Turns:
    """A reactor as far as threads call it back."""

    def __init__(self) -> None:
        self._wanted: queue.Queue[Callable[[], None]] = queue.Queue()

    # Twisted's name
    def callFromThread(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._wanted.put(lambda: function(*arguments))

    def outcome(self, pool: ThreadPool, call: Callable[[], Any]) -> Any:
        """What `call` returns on a thread, or a Failure."""
        results: list[Any] = []
        on_thread_of(cast(Any, self), pool, call).addBoth(results.append)
        while not results:
            self._wanted.get(timeout=PATIENCE_SECONDS)()
        return results[0]


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    """A running pool."""
    pool = ThreadPool(minthreads=0, maxthreads=1)
    pool.start()
    yield pool
    pool.stop()


class OnThreadTests:
    def test_what_it_returns_comes_back(self, pool: ThreadPool) -> None:
        assert Turns().outcome(pool, lambda: "done") == "done"

    def test_what_it_raises_tells_where_but_holds_on_to_nothing(self, pool: ThreadPool) -> None:
        images = []

        def refuse() -> None:
            image = Image()
            images.append(weakref.ref(image))
            try:
                _look_at(image)
            except ValueError as error:
                raise LookupError("not stored") from error

        failure = Turns().outcome(pool, refuse)
        assert isinstance(failure, Failure)
        assert isinstance(failure.value, LookupError)
        assert isinstance(failure.value.__cause__, ValueError)
        assert "refuse" in failure.getTraceback()
        assert [image() for image in images] == [None]

    def test_it_may_raise_what_is_its_own_cause(self, pool: ThreadPool) -> None:
        def refuse() -> None:
            error = LookupError("not stored")
            raise error from error

        assert isinstance(Turns().outcome(pool, refuse).value, LookupError)


def _look_at(image: Image) -> None:
    raise ValueError(f"{image} is none")
