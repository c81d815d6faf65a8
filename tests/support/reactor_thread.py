"""Twisted's global reactor on a thread of the test process, which txZMQ cannot do without, and ways
to wait for what happens there.
"""

import functools
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from twisted.internet import reactor as global_reactor
from twisted.internet.threads import blockingCallFromThread
from twisted.logger import LogEvent, globalLogPublisher

from imagepipe.replication.zmq.curve_keys import NodeKeys
from imagepipe.replication.zmq.sockets import Sockets

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE_SECONDS = 30.0

reactor: Any = global_reactor


@functools.cache
def _start() -> None:
    thread = threading.Thread(
        target=lambda: reactor.run(installSignalHandlers=False), name="reactor", daemon=True
    )
    running = threading.Event()
    reactor.callWhenRunning(running.set)
    thread.start()
    assert running.wait(PATIENCE_SECONDS)


def on_reactor(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function on the reactor's thread; return what it returns, or raise what it raises."""
    _start()
    result: T = blockingCallFromThread(reactor, function, *args, **kwargs)
    return result


class Inbox:
    """What a callback was called with, in order: one argument as it is, several as a tuple."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Any] = queue.Queue()

    def __call__(self, *received: Any) -> None:
        self._queue.put(received[0] if len(received) == 1 else received)

    def get(self) -> Any:
        """Wait for the next one."""
        return self._queue.get(timeout=PATIENCE_SECONDS)

    def take_all(self) -> list[Any]:
        """Those that have arrived, without waiting."""
        taken = []
        while not self._queue.empty():
            taken.append(self._queue.get_nowait())
        return taken

    def __len__(self) -> int:
        return self._queue.qsize()


@contextmanager
def open_sockets(
    keys: NodeKeys | None = None, reconnect_seconds_max: float = 0.2
) -> Iterator[Sockets]:
    """The sockets of a node, closed at the end."""
    sockets = on_reactor(Sockets, keys, reconnect_seconds_max)
    try:
        yield sockets
    finally:
        on_reactor(sockets.close)


def until(true: Callable[[], bool]) -> None:
    """Repeat a check on the reactor's thread until it is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not on_reactor(true):
        assert time.monotonic() < deadline


@contextmanager
def logged() -> Iterator[list[LogEvent]]:
    """Collect what imagepipe logs meanwhile."""
    events: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if str(event.get("log_namespace", "")).startswith("imagepipe"):
            events.append(event)

    observer: Any = observe
    globalLogPublisher.addObserver(observer)
    try:
        yield events
    finally:
        globalLogPublisher.removeObserver(observer)
