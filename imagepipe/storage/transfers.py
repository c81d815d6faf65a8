"""Objects on their way from a peer: their pieces come in any order, to several threads at once,
until all are here.

    one piece that is all of it      hashed as it is, written, flushed
    several                          written to where they belong in one file, which is hashed when
                                     it is full, and flushed

Only bytes that their digest agrees with become an object, and only those that are wanted. What did
not end is gone with the staging folder at the next start.

Room: a transfer of several pieces begins only if all that its peer has announced fits beside what
the other transfers still expect, and it ends as soon as something else has taken that room. It
never makes anybody else give up room.
"""

import hashlib
import itertools
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imagepipe.core.rendering.formats import SNIFF_BYTES
from imagepipe.core.replication.fetches import ReceiveResult
from imagepipe.core.rows.entries import Content
from imagepipe.storage.disk import digest_of, open_for_reading
from imagepipe.storage.objects import Objects


@dataclass(slots=True)
class _Transfer:
    """`received`: how many bytes of it are in `file`, of the `size` that were announced."""

    file: Path
    size: int
    received: int = 0


class Transfers:
    """For any thread. `folder` is for its files; objects are durable only after Objects.flush.

    room: how many bytes may still be written to the disk. is_wanted: whether bytes that begin like
    this may become an object.
    """

    def __init__(
        self,
        folder: Path,
        objects: Objects,
        room: Callable[[], int],
        is_wanted: Callable[[bytes], bool],
    ) -> None:
        self._folder = folder
        self._objects = objects
        self._room = room
        self._is_wanted = is_wanted
        self._lock = threading.Lock()
        self._begun: dict[int, _Transfer] = {}
        # which any thread may ask for the next: a generator would not stand two at once
        self._numbers = itertools.count()

    def receive(self, transfer: int, content: Content, offset: int, data: bytes) -> ReceiveResult:
        """Take a piece of an object. Raises OSError and FlushError, and then the transfer starts
        over.
        """
        if offset < 0 or offset + len(data) > content.size:
            self.discard(transfer)
            return ReceiveResult.DAMAGED
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

    def _receive_whole(self, content: Content, data: bytes) -> ReceiveResult:
        if hashlib.sha256(data).hexdigest() != content.digest:
            return ReceiveResult.DAMAGED
        if not self._is_wanted(data[:SNIFF_BYTES]):
            return ReceiveResult.UNWANTED
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
        return ReceiveResult.COMPLETE

    def _receive_piece(
        self, transfer: int, content: Content, offset: int, data: bytes
    ) -> ReceiveResult:
        room = self._room()
        with self._lock:
            begun = self._begun.get(transfer)
            if begun is None:
                if content.size > room - self._expected():
                    return ReceiveResult.NO_ROOM
                begun = _Transfer(self._new_file(), content.size)
                os.close(_create(begun.file))
                self._begun[transfer] = begun
        if len(data) > room:
            self.discard(transfer)
            return ReceiveResult.NO_ROOM
        try:
            descriptor = os.open(begun.file, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:  # discarded, just now
            return ReceiveResult.MORE
        try:
            _write(descriptor, data, offset)
            with self._lock:
                begun.received += len(data)
                if begun.received < content.size or self._begun.get(transfer) is not begun:
                    return ReceiveResult.MORE
                del self._begun[transfer]  # what follows is this thread's alone
            try:
                if digest_of(begun.file) != content.digest:
                    begun.file.unlink()
                    return ReceiveResult.DAMAGED
                if not self._is_wanted(_head_of(begun.file)):
                    begun.file.unlink()
                    return ReceiveResult.UNWANTED
                self._objects.seal(descriptor, begun.file)
                self._objects.add(content.digest, begun.file, content.size)
            except BaseException:
                begun.file.unlink(missing_ok=True)
                raise
            return ReceiveResult.COMPLETE
        finally:
            os.close(descriptor)

    def _expected(self) -> int:
        """How many bytes are announced and have not come."""
        return sum(max(0, begun.size - begun.received) for begun in self._begun.values())

    def _new_file(self) -> Path:
        return self._folder / f"transfer-{next(self._numbers)}"


def _create(file: Path) -> int:
    return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _head_of(file: Path) -> bytes:
    with open_for_reading(file) as opened:
        return os.pread(opened.fileno(), SNIFF_BYTES, 0)


def _write(descriptor: int, data: bytes, offset: int) -> None:
    written = 0
    view = memoryview(data)
    while written < len(data):  # a disk that fills up takes a part, and then nothing
        written += os.pwrite(descriptor, view[written:], offset + written)
