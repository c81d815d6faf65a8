"""The threads of a node, apart from those that render (workers) and the store's writer: a pool for
each kind of work, so that none waits for another.
"""

import threading
import traceback
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from twisted.internet._resolver import GAIResolver
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads, IReactorThreads
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

T = TypeVar("T")

CALL_THREADS = 8
FILE_THREADS = 8
PASSWORD_THREADS = 2
PULL_THREADS = 4
ANSWER_THREADS = 2
PROBE_THREADS = 1
NAME_THREADS = 16


class _DaemonThreadPool(ThreadPool):
    """A pool whose threads do not keep the process alive."""

    threadFactory = staticmethod(partial(threading.Thread, daemon=True))  # type: ignore[assignment]


class Threads:
    """Each method runs a blocking call on one of its threads. `reactor` calls back."""

    def __init__(self, reactor: IReactorThreads) -> None:
        self._reactor = reactor
        self._calls = ThreadPool(minthreads=1, maxthreads=CALL_THREADS, name="calls")
        self._files = ThreadPool(minthreads=1, maxthreads=FILE_THREADS, name="files")
        self._passwords = ThreadPool(minthreads=0, maxthreads=PASSWORD_THREADS, name="passwords")
        self._pulls = ThreadPool(minthreads=0, maxthreads=PULL_THREADS, name="pulls")
        self._probes = ThreadPool(minthreads=0, maxthreads=PROBE_THREADS, name="probes")
        self._answers = ThreadPool(minthreads=0, maxthreads=ANSWER_THREADS, name="answers")

        self._names = _DaemonThreadPool(minthreads=0, maxthreads=NAME_THREADS, name="names")
        self.resolver = GAIResolver(reactor, lambda: self._names)
        """Resolves the names of sources. A name server that does not answer holds up its threads,
        and nothing else.
        """

    def start(self) -> None:
        """Let calls run."""
        self._names.start()
        for pool in self._pools:
            pool.start()

    def stop(self) -> None:
        """Finish every call; blocks until then."""
        for pool in self._pools:
            pool.stop()

    def calls(self, call: Callable[[], T]) -> "Deferred[T]":
        """Parse a call, look something up: short work, never a render."""
        return on_thread_of(self._reactor, self._calls, call)

    def files(self, call: Callable[[], T]) -> "Deferred[T]":
        """Look up and read what a GET asks for."""
        return on_thread_of(self._reactor, self._files, call)

    def passwords(self, call: Callable[[], T]) -> "Deferred[T]":
        """Check a password: slow on purpose, and a flood of wrong ones must not hold up the calls
        of those who are in.
        """
        return on_thread_of(self._reactor, self._passwords, call)

    def pulls(self, call: Callable[[], T]) -> "Deferred[T]":
        """Keep what a peer has sent; flushing takes most of the time, and four wait for it
        together.
        """
        return on_thread_of(self._reactor, self._pulls, call)

    def answers(self, call: Callable[[], T]) -> "Deferred[T]":
        """Read what a peer has asked for."""
        return on_thread_of(self._reactor, self._answers, call)

    def probes(self, call: Callable[[], T]) -> "Deferred[T]":
        """Ask the disk how it is: one that hangs must not take a thread from those who
        parse calls.
        """
        return on_thread_of(self._reactor, self._probes, call)

    @property
    def _pools(self) -> tuple[ThreadPool, ...]:
        return self._calls, self._files, self._passwords, self._pulls, self._answers, self._probes


def on_thread_of(
    reactor: IReactorFromThreads, pool: ThreadPool, call: Callable[[], T]
) -> "Deferred[T]":
    """Run it on a thread of `pool`. What it raises holds on to nothing.

    Between Twisted and a coroutine that awaits, an exception becomes part of a reference cycle,
    which lasts until the garbage collector comes that way; and a traceback has frames, and these
    the bytes of the image that was refused.
    """
    deferred: Deferred[T] = Deferred()
    pool.callInThread(deliver, reactor, deferred, call)
    return deferred


def deliver(reactor: IReactorFromThreads, deferred: "Deferred[T]", call: Callable[[], T]) -> None:
    """Run it on this thread, and `deferred` gets what comes of it on the reactor's. See above."""
    try:
        result = call()
    except BaseException as error:  # whoever waits gets it
        _forget_locals(error)
        del call
        reactor.callFromThread(deferred.errback, Failure())
    else:
        reactor.callFromThread(deferred.callback, result)


def run_in_new_thread(
    reactor: IReactorFromThreads, call: Callable[[], T], name: str
) -> "Deferred[T]":
    """Run it on a new thread, because those of a pool may all be waiting for something. One that
    hangs does not keep the process alive.
    """
    deferred: Deferred[T] = Deferred()
    threading.Thread(target=deliver, args=(reactor, deferred, call), name=name, daemon=True).start()
    return deferred


def _forget_locals(error: BaseException | None) -> None:
    seen = set()
    while error and id(error) not in seen:  # one may be its own cause
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
