"""txZMQ's connection, corrected; the only module that knows txZMQ. All calls and callbacks are on
the reactor's thread; txZMQ can use only the global reactor.

ZeroMQ's file descriptor is edge-triggered, not level-triggered. Any operation on the socket (send,
connect, ...) may consume the edge that announced a message, so each must be followed by a read; and
a read must continue until nothing is left, or schedule itself again.
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
"""Socket options of ZeroMQ, with their values."""

READS_PER_TURN_MAX = 64
"""The most messages that a socket delivers before the reactor's other events have their turn."""

_READ_AGAIN_SECONDS = 0.1

_log = Logger()


class Factory(ZmqFactory):  # type: ignore[misc]  # txZMQ has no types
    """A context with two threads: the one for connecting waits for name lookups, and must not delay
    the one for listening.
    """

    ioThreads = 2
    lingerPeriod = 0


class ZmqSocket(ZmqConnection):  # type: ignore[misc]
    """txZMQ's connection, corrected. Invariant: while it is open, a read is scheduled or ZeroMQ
    will signal the next message.
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
        """Close it; no callback runs afterwards. May be called twice."""
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
        except zmq.Again:  # nothing is left, and the next message will be signalled
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
        except Exception:  # whatever went wrong, read the next message
            self._rate_limited_log.failure(
                "failed to handle a message from {endpoint}", endpoint=self.endpoint
            )

    def _deliver(self, message: list[bytes]) -> None:
        """Pass a message to its receiver; a PUB has none."""

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
                    # The queue is full, or nobody is connected. At the first frame nothing has been
                    # sent. If the connection is lost between two frames, libzmq takes back those
                    # before and drops those after, up to the last one: it must get them, or it
                    # would drop the next message.
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
