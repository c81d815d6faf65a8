"""The daemon's life cycle: the order in which its parts start, are replaced and stop.

    start    open the node on a thread (store and its recovery, engine, queue) -> join the peers ->
             listen -> "is ready"
    reload   load the file -> prepare the new parts on a thread, next to the current ones -> listen
             on new ports -> replace, in one turn of the reactor -> close old ports
    stop     stop listening -> answer every request in progress (20 s at most) -> leave the peers
             -> finish jobs -> flush and close the node

The exit status is 1 if the start fails and 74 if a flush to disk fails, so that a service manager
can tell what to retry from what needs an operator. After a normal stop, also by SIGTERM, it is 0.
A reload (SIGHUP) that fails at any step changes nothing.
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
"""How long a stop waits for a reload, which may be reading from a disk that hangs."""

_log = Logger()

OnFatal = Callable[[Exception], None]
T = TypeVar("T")


class Daemon(Service):
    """Opens a node, listens for it, and closes it again.

    settings: used for the start. load: returns those for a reload; blocks, and raises ConfigError.
    open_node: called on a thread, because it blocks, with the settings and a callback for fatal
    errors.
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
        # As early as possible: without a handler the signal ends the process.
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self.reload))
        self._reactor.callWhenRunning(self._begin)

    def stopService(self) -> "Deferred[None]":
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def reload(self) -> None:
        """Reload the configuration, once the start and any reload in progress are over. Does
        nothing while the daemon is stopping.
        """
        self._is_reload_wanted = True
        if self._reloading is None and self._starting is not None:
            self._reloading = Deferred.fromCoroutine(self._reload_while_wanted())

    def _begin(self) -> None:
        # With the reactor's own handler, twistd kills itself with the signal after a clean stop:
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
            return  # stopped in the meantime: _stop waits for this and closes the node
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
                    "the configuration has errors; keeping the old one\n{problems}",
                    problems="\n".join(error.problems),
                )
            except StartError as error:
                _log.error("cannot use the configuration; keeping the old one\n{why}", why=error)
            except Exception:  # whatever it is, the daemon carries on as before
                _log.failure("this is a bug, please report it; keeping the old configuration")
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
                _log.warn("{change}: takes effect after a restart", change=change.text)
            else:
                _log.info("{change}", change=change.text)
        _log.info(
            "reloaded the configuration and the files that it names: {where}",
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
        _log.info("stopping: finishing the calls in progress")
        if not await self._is_done(self._node.drain(), STOP_SECONDS_MAX):
            _log.warn(
                "some calls did not finish within {seconds} s: refusing them",
                seconds=STOP_SECONDS_MAX,
            )
        # also jobs that no call waits for: promised work is done after the next start
        self._node.abandon()
        await self._node.stop()
        await self._on_thread(self._node.close)
        _log.info("stopped: everything is on disk")

    def _check_running(self) -> None:
        """Raises StartError if the daemon is stopping."""
        if not self.running:
            raise StartError("the daemon is stopping")

    async def _is_done(self, deferred: "Deferred[None]", seconds: float) -> bool:
        """Whether it fires within `seconds`."""
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
            _log.failure("this is a bug, please report it", failure)
            self._fail(f"imagepipe cannot start: {failure.value!r}", START_FAILED)

    def _on_fatal(self, error: Exception) -> None:
        """May be called on any thread."""
        self._reactor.callFromThread(self._fail, f"imagepipe is exiting: {error}", DISK_FAILED)

    def _fail(self, why: str, status: int) -> None:
        _log.critical("{why}", why=why)
        atexit.register(_exit, status)
        self._stop_reactor()

    def _stop_reactor(self) -> None:
        with contextlib.suppress(ReactorNotRunning):  # it is already stopping
            self._reactor.stop()


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        _log.warn("{warning}", warning=warning)


def _exit(status: int) -> None:
    # twistd cannot set an exit status; by now it has written its log and removed its pid file.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
