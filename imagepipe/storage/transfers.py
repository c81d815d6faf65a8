"""Objects on their way from a peer: their pieces come in any order, to several threads at once, until all are here.

    one piece that is all of it      hashed as it is, written, flushed
    several                          written to where they belong in one file, which is hashed when it is full, and flushed

Only bytes that their digest agrees with become an object. What did not end is gone with the staging folder at the next start.
"""

import hashlib
import itertools
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from imagepipe.core.entries import Content
from imagepipe.core.fetching import Received
from imagepipe.storage.disk import digest_of
from imagepipe.storage.objects import Objects


@dataclass(slots=True)
class _Transfer:
    """`received`: how many bytes of it are in `file`."""

    file: Path
    received: int = 0


class Transfers:
    """For any thread. `folder` is for its files; objects are durable only after Objects.flush."""

    def __init__(self, folder: Path, objects: Objects) -> None:
        self._folder = folder
        self._objects = objects
        self._lock = threading.Lock()
        self._begun: dict[int, _Transfer] = {}
        self._numbers = itertools.count()  # which any thread may ask for the next: a generator would not stand two at once

    def receive(self, transfer: int, content: Content, offset: int, data: bytes) -> Received:
        """Take a piece of an object. Raises OSError and FlushError, and the transfer begins anew then."""
        if offset < 0 or offset + len(data) > content.size:
            self.discard(transfer)
            return Received.DAMAGED
        if len(data) == content.size:
            return self._receive_whole(content, data)
        try:
            return self._receive_piece(transfer, content, offset, data)
        except BaseException:
            self.discard(transfer)
            raise

    def discard(self, transfer: int) -> None:
        """Forget what came of a transfer, if anything did."""
        with self._lock:
            begun = self._begun.pop(transfer, None)
        if begun:
            begun.file.unlink(missing_ok=True)

    def _receive_whole(self, content: Content, data: bytes) -> Received:
        if hashlib.sha256(data).hexdigest() != content.digest:
            return Received.DAMAGED
        file = self._new_file()
        try:
            descriptor = _create(file)
            try:
                _write(descriptor, data, 0)
                self._objects.seal(descriptor, file)
            finally:
                os.close(descriptor)
            self._objects.add(content.digest, file, content.size)
        except BaseException:
            file.unlink(missing_ok=True)
            raise
        return Received.COMPLETE

    def _receive_piece(self, transfer: int, content: Content, offset: int, data: bytes) -> Received:
        with self._lock:
            begun = self._begun.get(transfer)
            if begun is None:
                begun = _Transfer(self._new_file())
                os.close(_create(begun.file))
                self._begun[transfer] = begun
        try:
            descriptor = os.open(begun.file, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:  # discarded, just now
            return Received.MORE
        try:
            _write(descriptor, data, offset)
            with self._lock:
                begun.received += len(data)
                if begun.received < content.size or self._begun.get(transfer) is not begun:
                    return Received.MORE
                del self._begun[transfer]  # what follows is this thread's alone
            try:
                if digest_of(begun.file) != content.digest:
                    begun.file.unlink()
                    return Received.DAMAGED
                self._objects.seal(descriptor, begun.file)
                self._objects.add(content.digest, begun.file, content.size)
            except BaseException:
                begun.file.unlink(missing_ok=True)
                raise
            return Received.COMPLETE
        finally:
            os.close(descriptor)

    def _new_file(self) -> Path:
        return self._folder / f"transfer-{next(self._numbers)}"


def _create(file: Path) -> int:
    return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _write(descriptor: int, data: bytes, offset: int) -> None:
    written = 0
    view = memoryview(data)
    while written < len(data):  # a disk that fills up takes a part, and then nothing
        written += os.pwrite(descriptor, view[written:], offset + written)
