"""Notifications to a service manager such as systemd (sd_notify(3)): lines of NAME=value in a
datagram to the socket named by NOTIFY_SOCKET.

    READY=1 STATUS=...                   the daemon is serving; also sent after a reload
    RELOADING=1 MONOTONIC_USEC=...       a reload begins
    STOPPING=1                           the daemon is stopping
    EXTEND_TIMEOUT_USEC=...              the start or the stop needs this much longer
    WATCHDOG=1                           the reactor is running

Without NOTIFY_SOCKET nothing is sent. Nothing here blocks or raises: the daemon serves even if the
manager does not listen. If a slow manager's socket is full, messages are retried a moment later, in
order.
"""

import socket
from collections import deque
from collections.abc import Callable, Mapping

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

EXTENSION_SECONDS = 30.0
"""The extra time requested for a start, repeatedly until it is done."""

RETRY_SECONDS = 0.05


class ServiceManager:
    """The service manager that started this process. Runs on the reactor's thread; `monotonic_us`
    returns the time of CLOCK_MONOTONIC in microseconds.

    environment, process_id: those of this process.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        environment: Mapping[str, str],
        process_id: int,
        monotonic_us: Callable[[], int],
    ) -> None:
        self._reactor = reactor
        self._monotonic_us = monotonic_us
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name  # an abstract socket
        self._watchdog_seconds = _watchdog_seconds(environment, process_id)
        self._extending = self._loop(
            lambda: self._send(f"EXTEND_TIMEOUT_USEC={int(EXTENSION_SECONDS * 1e6)}")
        )
        self._watching = self._loop(lambda: self._send("WATCHDOG=1") if not self._pending else None)
        self._pending: deque[bytes] = deque()

    def starting(self) -> None:
        """Starting may take any time: the manager must not give up while the reactor is running."""
        if self._address:
            self._extending.start(EXTENSION_SECONDS / 3)
            if self._watchdog_seconds:
                self._watching.start(self._watchdog_seconds / 2)

    def ready(self, status: str) -> None:
        """The daemon is serving; `status` is a line that describes how."""
        self._end_extending()
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """A reload begins; `ready` must follow."""
        self._send(
            "RELOADING=1",
            f"MONOTONIC_USEC={self._monotonic_us()}",
            "STATUS=reloading the configuration",
        )

    def stopping(self) -> None:
        """The daemon is stopping."""
        self._end_extending()
        self._send("STOPPING=1", "STATUS=stopping")

    def _end_extending(self) -> None:
        if self._extending.running:
            self._extending.stop()

    def _loop(self, call: Callable[[], None]) -> LoopingCall:
        loop = LoopingCall(call)
        loop.clock = self._reactor
        return loop

    def _send(self, *lines: str) -> None:
        if self._address:
            self._pending.append("\n".join(lines).encode())
            if len(self._pending) == 1:
                self._send_pending()

    def _send_pending(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as link:
            while self._pending:
                try:
                    link.sendto(self._pending[0], self._address)
                except BlockingIOError:
                    self._reactor.callLater(RETRY_SECONDS, self._send_pending)
                    return
                except OSError:
                    pass  # nobody is listening
                self._pending.popleft()


def _watchdog_seconds(environment: Mapping[str, str], process_id: int) -> float:
    """How often the manager expects WATCHDOG=1; 0: never."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    is_meant = environment.get("WATCHDOG_PID", str(process_id)) == str(process_id)
    return (
        int(microseconds) / 1e6
        if is_meant and microseconds.isascii() and microseconds.isdigit()
        else 0.0
    )
