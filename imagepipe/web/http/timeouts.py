"""The timeouts of a connection: it is closed if its client keeps the server waiting for too long.

The rule is in core/requests/client_timeouts. A timer that checks every few seconds is enough,
because no deadline is nearer than the shortest timeout.
"""

import contextlib
import socket
import sys
from collections.abc import Callable
from typing import Any

from imagepipe.core.requests.client_timeouts import TIMEOUT_SECONDS, Phase, PhaseWait

LOOK_SECONDS = min(TIMEOUT_SECONDS.values())

_ACKNOWLEDGED = slice(120, 128)
"""Where <linux/tcp.h> has tcpi_bytes_acked in struct tcp_info."""


def acknowledged_bytes(transport: Any) -> int:
    """How many bytes the client's system has acknowledged on this connection.

    0 if that is unknown, as on a unix socket.
    """
    info = b""
    with contextlib.suppress(OSError, AttributeError):
        info = transport.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKNOWLEDGED.stop)
    return int.from_bytes(info[_ACKNOWLEDGED], sys.byteorder)


class Watchdog:
    """What the server waits for on one connection.

    seconds, call_later: the clock. acknowledged: how many bytes the client has received in total.
    expired: called with the phase when the client has taken too long, and again later unless `stop`
    is called.
    """

    def __init__(
        self,
        seconds: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], Any],
        acknowledged: Callable[[], int],
        expired: Callable[[Phase], None],
    ) -> None:
        self._seconds = seconds
        self._call_later = call_later
        self._acknowledged = acknowledged
        self._expired = expired
        self._base = PhaseWait(Phase.HEAD, seconds())
        self._blocked: PhaseWait | None = None
        self._received = 0
        self._is_closing = False
        self._timer: Any = call_later(LOOK_SECONDS, self._look)

    @property
    def wait(self) -> PhaseWait:
        """What the server is waiting for; the same object until that changes."""
        return self._blocked or self._base

    def enter(self, phase: Phase) -> None:
        """The exchange has reached this phase."""
        if not self._is_closing:
            self._base = PhaseWait(phase, self._seconds())

    def received(self, size: int) -> None:
        """That many bytes of a body have arrived."""
        self._base = self._base.after(size, self._seconds())

    def block(self) -> None:
        """The client must read before anything else can happen."""
        if self._blocked is None:
            self._blocked = self._wait_for_reading()

    def unblock(self) -> None:
        """The client has read."""
        self._blocked = None
        self.enter(self._base.phase)

    def close(self) -> None:
        """The client only has to read the rest."""
        self._blocked = None
        if not self._is_closing:
            self._base = self._wait_for_reading()
            self._is_closing = True

    def stop(self) -> None:
        """The connection is closed."""
        self._timer.cancel()

    def _wait_for_reading(self) -> PhaseWait:
        self._received = self._acknowledged()
        return PhaseWait(Phase.ANSWER, self._seconds())

    def _look(self) -> None:
        self._note_reading()
        remaining = self.wait.deadline - self._seconds()
        if remaining > 0:
            self._timer = self._call_later(min(remaining, LOOK_SECONDS), self._look)
        else:
            # After a process was suspended, its timers are due before it has read what arrived in
            # the meantime: read once more, then judge.
            self._timer = self._call_later(0, self._judge)

    def _judge(self) -> None:
        self._timer = self._call_later(LOOK_SECONDS, self._look)
        if self.wait.deadline <= self._seconds():
            self._expired(self.wait.phase)

    def _note_reading(self) -> None:
        if self.wait.phase is not Phase.ANSWER:
            return
        received, self._received = self._received, self._acknowledged()
        wait = self.wait.after(self._received - received, self._seconds())
        if self._blocked:
            self._blocked = wait
        else:
            self._base = wait
