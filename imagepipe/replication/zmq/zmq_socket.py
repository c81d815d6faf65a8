"""txZMQ's connection, mended: the only module that knows txZMQ. All calls and callbacks are on the
reactor thread; txZMQ knows the global reactor alone.

What must be kept in mind of ZeroMQ's file descriptor: it is an edge, not a level. Whoever touches
the socket (send, connect, ...) may take the edge that announced a message, so that each touch must
be followed by a read; and a read must go on until there is nothing left, or come back by itself.
"""

from collections.abc import Sequence
from typing import Any

import zmq
from twisted.logger import Logger
from txzmq import ZmqConnection, ZmqFactory

from imagepipe.replication.zmq.endpoint_errors import endpoint_error
from imagepipe.runtime.rate_limited_log import RateLimitedLog

Frames = Sequence[bytes]
"""One message: at least one frame."""

Options = Sequence[tuple[int, Any]]
"""ZeroMQ's options of a socket, and their values."""

READS_PER_TURN_MAX = 64
"""Messages that one socket may deliver before the reactor's other events have their turn."""

_READ_AGAIN_SECONDS = 0.1

_log = Logger()


class Factory(ZmqFactory):  # type: ignore[misc]  # txZMQ has no types
    """One context. Two threads: the one that serves is not held up by the other, which looks up
    peers' names, and waits for it.
    """

    ioThreads = 2
    lingerPeriod = 0


class ZmqSocket(ZmqConnection):  # type: ignore[misc]
    """txZMQ's connection, mended. Invariant: while it is open, a read is scheduled or ZeroMQ will
    signal the next message.
    """

    def __init__(self, factory: Factory, kind: int, options: Options, endpoint: str) -> None:
        self.socketType = kind
        self.endpoint = endpoint
        self._closed = False
        self._rate_limited_log = RateLimitedLog(_log, factory.reactor.seconds)
        self.read_scheduled: Any
        try:
            super().__init__(factory)  # without an endpoint: the options come first
        except zmq.ZMQError as error:
            raise endpoint_error("make a socket for", endpoint, error) from None
        for option, value in options:
            self.socket.set(option, value)

    def close(self) -> None:
        """End it; nothing is called back after it. May be called twice."""
        self.shutdown()

    def shutdown(self) -> None:
        if not self._closed:
            self._closed = True
            super().shutdown()

    def doRead(self) -> None:
        self._unschedule()
        seconds = 0.0
        try:
            for _ in range(READS_PER_TURN_MAX):
                if self._closed:
                    return
                self.messageReceived(self._readMultipart())
        except zmq.Again:  # nothing left, and the next one will be signalled
            return
        except zmq.ZMQError as error:
            self._rate_limited_log.warn(
                "cannot read from {endpoint}: {error}", endpoint=self.endpoint, error=error
            )
            self.recv_parts: list[bytes] = []
            seconds = _READ_AGAIN_SECONDS
        self._read_soon(seconds)

    def messageReceived(self, message: list[bytes]) -> None:
        try:
            self._deliver(message)
        except Exception:  # whatever it is, the next message is read
            self._rate_limited_log.failure(
                "failed to handle a message from {endpoint}", endpoint=self.endpoint
            )

    def _deliver(self, message: list[bytes]) -> None:
        """Hand a message to who waits for it; a PUB has none."""

    def _send(self, frames: Frames) -> bool:
        if self._closed:
            return False
        whole = True
        try:
            for number, frame in enumerate(frames, 1):
                try:
                    self.socket.send(
                        frame, zmq.DONTWAIT | (zmq.SNDMORE if number < len(frames) else 0)
                    )
                except zmq.ZMQError:
                    # Full, or nobody there. At the first frame nothing has been sent. Later, when
                    # the connection is lost between two frames, libzmq takes back those before and
                    # drops those that follow up to the last: it must get them, or it would drop the
                    # next message.
                    if number == 1:
                        return False
                    whole = False
        finally:
            self._read_soon()
        return whole

    def _read_soon(self, seconds: float = 0.0) -> None:
        if self.read_scheduled is None and not self._closed:
            self.read_scheduled = self.factory.reactor.callLater(seconds, self.doRead)

    def _unschedule(self) -> None:
        scheduled, self.read_scheduled = self.read_scheduled, None
        if scheduled is not None and scheduled.active():
            scheduled.cancel()
