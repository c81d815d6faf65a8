"""Whether images can be stored, known at any moment without asking the disk.

    probe      every few seconds: is the folder the one that was opened, can the catalogue be read,
               can a file be made, filled and, once a minute, flushed, and may files be made where
               the bytes of images lie
    refused    a call has just failed: probe at once
    succeeded  a call has just been stored: nothing is wrong

A disk may have room for the probe and none for an image. So after a call was refused for want of
room the disk counts as full until a call succeeds or it has room again.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from imagepipe.errors import DiskFull, FlushError, ImagepipeError, Overloaded, StoreUnusable
from imagepipe.storage.disk import (
    FULL,
    NO_INODES,
    QUOTA,
    flush,
    has_space_for_its_size,
    lacks_inodes,
    refusal,
)
from imagepipe.storage.health import Health
from imagepipe.storage.reserve import Reserve

PROBE_BYTES = 256 << 10
FLUSH_SECONDS = 60.0
"""How often a probe is flushed while all is well: it costs a disk that rests as much as a store."""


class Readiness:
    """For any thread.

    folders: where their bytes lie. staging: makes a folder on the store's file system, or raises
    what a call would get. check_catalogue: reads it. free_space: frees what is not needed; whether
    that helped. seconds: a monotonic clock.
    """

    def __init__(
        self,
        private: Path,
        health: Health,
        reserve: Reserve,
        *,
        staging: Callable[[], AbstractContextManager[Path]],
        check_catalogue: Callable[[], None],
        folders: Sequence[Path],
        free_space: Callable[[], bool],
        seconds: Callable[[], float],
    ) -> None:
        self._private = private
        self._health = health
        self._reserve = reserve
        self._staging = staging
        self._check_catalogue = check_catalogue
        self._folders = folders
        self._free_space = free_space
        self._seconds = seconds
        self._probing = threading.Lock()
        self._flushed = seconds()
        self._why: str | None = None
        self._lacked_room: str | None = None

    @property
    def not_ready_reason(self) -> str | None:
        """Why no image can be stored now, as one line; None: images can be stored. Never blocks."""
        return self._health.failure or self._why or (None if self._reserve.is_allocated else FULL)

    def succeeded(self) -> None:
        """A call was stored."""
        self._why = self._lacked_room = None

    def refused(self, error: OSError | ImagepipeError) -> None:
        """A call was refused by the disk. Raises DiskFull for an engine that does not know what it
        lacked.
        """
        refused = refusal(error) if isinstance(error, OSError) else error
        if isinstance(refused, DiskFull):
            known = (what for what in (NO_INODES, QUOTA) if what in str(refused))
            lacked = NO_INODES if lacks_inodes(self._private) else next(known, FULL)
            self._lacked_room = lacked
            self.probe()
            if lacked not in str(refused):
                raise DiskFull(lacked) from error
        else:
            self.probe()

    def probe(self) -> None:
        """Find out; blocks, and raises nothing that a disk may do."""
        if not self._probing.acquire(blocking=False):
            return  # another thread is at it
        try:
            self._why = self._reason()
        except Overloaded:
            pass  # it is not for want of descriptors that a disk is full
        finally:
            self._probing.release()

    def _reason(self) -> str | None:
        try:
            self._health.check()
            self._health.check_places()
            self._check_catalogue()
            try:
                self._write()
            except DiskFull:
                if not self._free_space():
                    raise
                self._write()
            self._check_folders()
        except FlushError as error:
            self._health.fail(error)
            return str(error)
        except Overloaded:
            raise
        except ImagepipeError as error:
            return str(error)
        if self._lacked_room and has_space_for_its_size(self._private):
            self._lacked_room = None
        return self._lacked_room

    def _check_folders(self) -> None:
        """Raise StoreUnusable if files may not be made in one of them, as after a change of
        owner.
        """
        for folder in self._folders:
            if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
                why = "cannot be written to" if folder.is_dir() else "is gone"
                raise StoreUnusable(
                    f"{folder.relative_to(self._private.parent)} {why}: look at its owner and its"
                    " mode"
                )

    def _write(self) -> None:
        """What a store does first. Raises what it would be refused with."""
        try:
            with self._staging() as folder:
                file = folder / "probe"
                descriptor = os.open(
                    file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
                )
                try:
                    for part in _parts(PROBE_BYTES):
                        os.write(descriptor, part)
                    if self._why or self._seconds() - self._flushed >= FLUSH_SECONDS:
                        flush(descriptor, file)
                        self._flushed = self._seconds()
                finally:
                    os.close(descriptor)
        except OSError as error:
            raise refusal(error) from error


def _parts(size: int) -> Iterator[bytes]:
    """Zeroes, some at a time: a write that fits in part only says how much, and the next
    one fails.
    """
    for _ in range(0, size, _PART_BYTES):
        yield bytes(_PART_BYTES)


_PART_BYTES = 4 << 10
