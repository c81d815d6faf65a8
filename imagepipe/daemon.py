"""The daemon's life: what starts in which order, and stops in which.

    start    open the node on a thread (store and its recovery, engine, queue) -> join the peers -> listen -> "is ready"
    stop     stop listening -> answer every request that is whole (20 s at most) -> leave the peers -> finish jobs -> flush and close the node

A start that fails, or a disk that fails to flush, ends the process with exit status 1; a stop, by SIGTERM too, with 0.
"""

import atexit
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import ReactorNotRunning
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.python.failure import Failure

from imagepipe import __version__
from imagepipe.errors import StartError
from imagepipe.listening import Listener

STOP_SECONDS_MAX = 20.0

_log = Logger()

OnFatal = Callable[[Exception], None]


class Node(Protocol):
    """An open node: storage, engine and threads, and the factory that answers for them."""

    @property
    def factories(self) -> Mapping[str, Any]:  # IProtocolFactory; zope.interface has no types
        """What each listening port hands its connections to, by the name of the port."""
        ...

    def start(self) -> None:
        """Begin what the node does by itself: replicate, render what was promised. Raises StartError."""
        ...

    def drain(self) -> "Deferred[None]":
        """Answer what is under way on the connections that there are, and close them; fires when there are none left."""
        ...

    def abandon(self) -> None:
        """Make the jobs that still wait or run fail soon, so that their clients get an answer."""
        ...

    def stop(self) -> "Deferred[None]":
        """Do no more by itself; fires once that is so, within moments."""
        ...

    def close(self) -> None:
        """End everything, flushed; blocks until then."""
        ...


class Daemon(Service):
    """Opens a node, listens for it, and closes it again. `open_node` blocks, and is called on a thread with what to call on a fatal error."""

    def __init__(self, reactor: Any, open_node: Callable[[OnFatal], Node], listeners: Sequence[Listener]) -> None:
        self._reactor = reactor
        self._open_node = open_node
        self._listeners = listeners
        self._node: Node | None = None
        self._ports: dict[Listener, Any] = {}  # IListeningPorts
        self._starting: Deferred[None] | None = None

    def startService(self) -> None:  # noqa: N802 - Twisted's name
        super().startService()
        self._reactor.callWhenRunning(self._begin)

    def stopService(self) -> "Deferred[None]":  # noqa: N802
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def _begin(self) -> None:
        # The reactor's own handler would make twistd die of the signal again after a clean stop: exit status 143.
        signal.signal(signal.SIGTERM, lambda *_: self._reactor.callFromThread(self._stop_reactor))
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addErrback(self._not_started)

    async def _start(self) -> None:
        self._node = await deferToThread(self._open_node, self._on_fatal)
        if not self.running:
            return  # stopped meanwhile: _stop waits for this and closes the node
        self._node.start()
        for listener in self._listeners:
            try:
                self._ports[listener] = await serverFromString(self._reactor, listener.endpoint).listen(self._node.factories[listener.name])
            except Exception as error:
                raise StartError(f"cannot listen on {listener.endpoint}: {error}") from error
        where = " and ".join(f"{listener.name} on {_address(listener, port)}" for listener, port in self._ports.items())
        _log.info("imagepipe {version} is ready: {where}", version=__version__, where=where)

    async def _stop(self) -> None:
        if self._starting:
            await self._starting
        for port in self._ports.values():
            await port.stopListening()
        if not self._node:
            return
        _log.info("stopping: answering the calls under way")
        idle = self._node.drain()
        patience: Deferred[None] = deferLater(self._reactor, STOP_SECONDS_MAX)
        _, first = await DeferredList([idle, patience], fireOnOneCallback=True, consumeErrors=True)
        if first == 0:
            patience.cancel()
        else:
            _log.warn("some calls take more than {seconds} s to finish: they are refused", seconds=STOP_SECONDS_MAX)
        self._node.abandon()  # also what nobody waits for: what was promised is done after the next start
        await self._node.stop()
        await self._on_own_thread(self._node.close)
        _log.info("stopped: everything is on disk")

    def _on_own_thread(self, call: Callable[[], None]) -> "Deferred[None]":
        """Not one of the reactor's: those may all be waiting for a name server."""
        deferred: Deferred[None] = Deferred()

        def run() -> None:
            try:
                call()
            except BaseException:  # noqa: BLE001 - whoever waits is told
                self._reactor.callFromThread(deferred.errback, Failure())
            else:
                self._reactor.callFromThread(deferred.callback, None)

        threading.Thread(target=run, name="close").start()
        return deferred

    def _not_started(self, failure: Failure) -> None:
        if failure.check(StartError):
            self._fail(f"imagepipe cannot start: {failure.value}")
        else:
            _log.failure("a bug, please report it", failure)
            self._fail(f"imagepipe cannot start: {failure.value!r}")

    def _on_fatal(self, error: Exception) -> None:
        """Called on any thread."""
        self._reactor.callFromThread(self._fail, f"imagepipe ends: {error}")

    def _fail(self, why: str) -> None:
        _log.critical("{why}", why=why)
        atexit.register(_exit_with_failure)
        self._stop_reactor()

    def _stop_reactor(self) -> None:
        with contextlib.suppress(ReactorNotRunning):  # it stops already
            self._reactor.stop()


def _address(listener: Listener, port: Any) -> str:
    host = port.getHost()
    if not hasattr(host, "port"):
        return listener.endpoint
    name = f"[{host.host}]" if ":" in host.host else host.host
    return f"{listener.scheme}://{name}:{host.port}/"


def _exit_with_failure() -> None:
    # twistd knows no exit status of its own; by now it has written its log and removed its pid file.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
