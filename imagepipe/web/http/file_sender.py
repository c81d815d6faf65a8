"""Sends a file, or a part of it, as fast as the client reads: what is not in memory is read on a
thread, one piece at a time.

The connection disconnects a client that does not read (web/http/timeouts), which ends the sending.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from imagepipe.storage.shared_file import SharedFile

PIECE_BYTES = 256 << 10

_log = Logger()

OnThread = Callable[[Callable[[], Any]], Deferred[Any]]


async def send(
    request: Any, file: SharedFile, start: int, length: int, on_thread: OnThread
) -> bool:
    """Write `length` bytes of `file`, from `start` on, as the body of `request`. The caller sets
    the headers, finishes the request and closes the file.

    Returns whether everything was sent: False if the client disconnected or was cut off, or if the
    disk failed.
    """
    if start + length <= len(file.head):
        request.write(file.head[start : start + length])
        return True
    producer = _FileProducer(request, file, start, start + length, on_thread)
    request.registerProducer(producer, True)
    try:
        return await producer.done
    finally:
        if request.channel:
            request.unregisterProducer()


@implementer(IPushProducer)
class _FileProducer:
    """Reads and writes piece by piece unless paused. Invariant: at most one piece is being read."""

    def __init__(
        self, request: Any, file: SharedFile, at: int, end: int, on_thread: OnThread
    ) -> None:
        self._request = request
        self._file = file
        self._at = at
        self._end = end
        self._on_thread = on_thread
        self._paused = False
        self._reading = False
        self.done: Deferred[bool] = Deferred()
        request.notifyFinish().addErrback(lambda _: self._finish(whole=False))
        self._go_on()

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._go_on()

    def stopProducing(self) -> None:
        self._finish(whole=False)

    def _go_on(self) -> None:
        if self._paused or self._reading or self.done.called:
            return
        self._reading = True
        at, length = self._at, min(PIECE_BYTES, self._end - self._at)
        self._on_thread(lambda: self._file.read(at, length)).addCallbacks(self._read, self._failed)

    def _read(self, piece: bytes) -> None:
        self._reading = False
        if self.done.called:
            return
        if not piece:
            self._failed(Failure(EOFError("the file has become shorter")))
            return
        self._at += len(piece)
        self._request.write(piece)  # which may pause
        if self._at >= self._end:
            self._finish(whole=True)
        else:
            self._go_on()

    def _failed(self, failure: Failure) -> None:
        self._reading = False
        if self.done.called:
            return  # the client disconnected in the meantime, and the file was closed
        _log.error("cannot read a file while sending it: {error}", error=failure.value)
        self._cut_off()

    def _cut_off(self) -> None:
        if not self.done.called and self._request.channel:
            # a truncated body must not look complete
            self._request.channel.forceAbortClient()
        self._finish(whole=False)

    def _finish(self, *, whole: bool) -> None:
        if not self.done.called:
            self.done.callback(whole)
