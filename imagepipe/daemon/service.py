"""The daemon's life: what starts in which order, is replaced while it runs, and stops.

    start    open the node on a thread (store and its recovery, engine, queue) -> join the peers ->
             listen -> "is ready"
    reload   load the file -> prepare what it says, beside what there is, on a thread -> listen on
             new ports -> replace, in one turn -> close old ports
    stop     stop listening -> answer every request that has begun (20 s at most) -> leave the peers
             -> finish jobs -> flush and close the node

A start that fails ends the process with exit status 1, a disk that fails to flush with 74: a
service manager need not know more to tell what it may try again from what somebody has to look at.
A stop, by SIGTERM too, ends it with 0. A reload, by SIGHUP, that fails at any of its steps changes
nothing.
"""

import atexit
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.error import ReactorNotRunning
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from imagepipe import __version__
from imagepipe.config.exposure import exposure
from imagepipe.config.option_changes import applicable, changes
from imagepipe.config.settings import Settings
from imagepipe.daemon.node import Node
from imagepipe.daemon.ports import XML_RPC, Ports, listeners_of
from imagepipe.daemon.systemd import ServiceManager
from imagepipe.errors import ConfigError, StartError
from imagepipe.runtime.reactor import Reactor
from imagepipe.runtime.threads import run_in_new_thread

STOP_SECONDS_MAX = 20.0

START_FAILED = 1
DISK_FAILED = os.EX_IOERR  # 74
"""Exit statuses."""

RELOAD_SECONDS_MAX = 3.0
"""So long a stop waits for a reload. What that reads may be on a disk that hangs."""

_log = Logger()

OnFatal = Callable[[Exception], None]
T = TypeVar("T")


class Daemon(Service):
    """Opens a node, listens for it, and closes it again.

    settings: those to start with. load: those to go on with; blocks, and raises ConfigError.
    open_node: blocks, and is called on a thread with the settings and with what to call on a fatal
    error.
    """

    def __init__(
        self,
        reactor: Reactor,
        settings: Settings,
        load: Callable[[], Settings],
        open_node: Callable[[Settings, OnFatal], Node],
        manager: ServiceManager,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._load = load
        self._open_node = open_node
        self._manager = manager
        self._node: Node | None = None
        self._ports: Ports | None = None
        self._starting: Deferred[None] | None = None
        self._reloading: Deferred[None] | None = None
        self._is_reload_wanted = False

    def startService(self) -> None:
        super().startService()
        # As early as can be: without a handler the signal ends the process.
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self.reload))
        self._reactor.callWhenRunning(self._begin)

    def stopService(self) -> "Deferred[None]":
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def reload(self) -> None:
        """Load the configuration again: after the start, and after the reload that is under way.
        While it stops, nothing.
        """
        self._is_reload_wanted = True
        if self._reloading is None and self._starting is not None:
            self._reloading = Deferred.fromCoroutine(self._reload_while_wanted())

    def _begin(self) -> None:
        # The reactor's own handler would make twistd die of the signal again after a clean stop:
        # exit status 143.
        signal.signal(signal.SIGTERM, lambda *_: self._reactor.callFromThread(self._stop_reactor))
        self._manager.starting()
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addErrback(self._not_started)
        self._starting.addCallback(lambda _: self.reload() if self._is_reload_wanted else None)

    async def _start(self) -> None:
        settings = self._settings
        self._node = await self._on_thread(lambda: self._open_node(settings, self._on_fatal))
        if not self.running:
            return  # stopped meanwhile: _stop waits for this and closes the node
        self._node.start()
        self._ports = Ports(self._reactor, self._node.factories)
        await self._ports.open(listeners_of(settings))
        _warn(exposure(settings.network, self._ports.address(XML_RPC)))
        _log.info(
            "imagepipe {version} is ready: {where}", version=__version__, where=str(self._ports)
        )
        self._manager.ready(str(self._ports))

    async def _reload_while_wanted(self) -> None:
        await self._starting  # type: ignore[misc]
        while self._is_reload_wanted and self.running and self._ports:
            self._is_reload_wanted = False
            self._manager.reloading()
            try:
                await self._reload(self._ports)
            except ConfigError as error:
                _log.error(
                    "the configuration has problems: the old one stays\n{problems}",
                    problems="\n".join(error.problems),
                )
            except StartError as error:
                _log.error("the configuration cannot be used: the old one stays\n{why}", why=error)
            except Exception:  # whatever it is, what there is goes on
                _log.failure("a bug, please report it: the old configuration stays")
            if self.running:
                self._manager.ready(str(self._ports))
        self._reloading = None

    async def _reload(self, ports: Ports) -> None:
        node = self._node
        assert node
        wanted = await self._on_thread(self._load)
        self._check_running()
        settings = applicable(self._settings, wanted)
        prepared = await self._on_thread(lambda: node.prepare(settings))
        listeners = listeners_of(settings)
        try:
            self._check_running()
            opened = await ports.open(listeners)
            try:
                node.replace(prepared)
            except BaseException:
                await ports.close(opened)
                raise
        except BaseException:
            await self._on_thread(lambda: node.discard(prepared))
            raise
        differences = changes(self._settings, wanted)
        self._settings = settings
        await ports.keep(listeners)
        _warn([*settings.warnings, *exposure(settings.network, ports.address(XML_RPC))])
        for change in differences:
            if change.needs_restart:
                _log.warn("{change}: takes effect at the next start", change=change.text)
            else:
                _log.info("{change}", change=change.text)
        _log.info(
            "the configuration was loaded again, and the files that it names: {where}",
            where=str(ports),
        )

    async def _stop(self) -> None:
        self._manager.stopping()
        if self._starting:
            await self._starting
        if self._reloading:
            await self._is_done(self._reloading, RELOAD_SECONDS_MAX)
        if self._ports:
            await self._ports.close_all()
        if not self._node:
            return
        _log.info("stopping: answering the calls under way")
        if not await self._is_done(self._node.drain(), STOP_SECONDS_MAX):
            _log.warn(
                "some calls take more than {seconds} s to finish: they are refused",
                seconds=STOP_SECONDS_MAX,
            )
        # also what nobody waits for: what was promised is done after the next start
        self._node.abandon()
        await self._node.stop()
        await self._on_thread(self._node.close)
        _log.info("stopped: everything is on disk")

    def _check_running(self) -> None:
        """Raises StartError once it is to stop."""
        if not self.running:
            raise StartError("it is to stop")

    async def _is_done(self, deferred: "Deferred[None]", seconds: float) -> bool:
        """Whether it fires within so long."""
        patience: Deferred[None] = deferLater(self._reactor, seconds)
        _, first = await DeferredList(
            [deferred, patience], fireOnOneCallback=True, consumeErrors=True
        )
        if first == 0:
            patience.cancel()
        return first == 0

    def _on_thread(self, call: Callable[[], T]) -> "Deferred[T]":
        return run_in_new_thread(self._reactor, call, "life")

    def _not_started(self, failure: Failure) -> None:
        if failure.check(StartError):
            self._fail(f"imagepipe cannot start: {failure.value}", START_FAILED)
        else:
            _log.failure("a bug, please report it", failure)
            self._fail(f"imagepipe cannot start: {failure.value!r}", START_FAILED)

    def _on_fatal(self, error: Exception) -> None:
        """Called on any thread."""
        self._reactor.callFromThread(self._fail, f"imagepipe ends: {error}", DISK_FAILED)

    def _fail(self, why: str, status: int) -> None:
        _log.critical("{why}", why=why)
        atexit.register(_exit, status)
        self._stop_reactor()

    def _stop_reactor(self) -> None:
        with contextlib.suppress(ReactorNotRunning):  # it stops already
            self._reactor.stop()


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        _log.warn("{warning}", warning=warning)


def _exit(status: int) -> None:
    # twistd knows no exit status of its own; by now it has written its log and removed its pid
    # file.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
