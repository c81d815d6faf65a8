"""Disk space that is reserved for deletions: on a full disk nothing could be deleted without it,
and so nothing would ever fit again.

A deletion writes a row, and removing the bytes writes another. If the catalogue finds no space for
them, the reserve is released. Until it is allocated again, no image is stored: it would take the
space that a deletion needs.
"""

import os
from pathlib import Path

from imagepipe.storage.disk import is_full

RESERVE_BYTES = 2 << 20


class Reserve:
    """The file `path`, all of it allocated, or no file at all. One thread changes it;
    `is_allocated` is for any.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.is_allocated = False

    def allocate(self) -> bool:
        """Take the room if it is not taken; whether it is now."""
        if not self.is_allocated:
            try:
                descriptor = os.open(
                    self._path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
                )
                try:
                    os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
                finally:
                    os.close(descriptor)
            except OSError as error:
                if is_full(error):
                    self._path.unlink(missing_ok=True)
                    # any other error: a file system that cannot set room aside, and does without
                    return False
            self.is_allocated = True
        return True

    def release(self) -> bool:
        """Make the room free; whether there was any."""
        self.is_allocated = False
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        return True
