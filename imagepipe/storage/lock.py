"""One daemon a folder: `flock` on `.imagepipe/lock`, which holds the pid of its owner.

The lock goes with the process however it ends; the file stays, and means nothing by itself.
"""

import contextlib
import fcntl
import os
from pathlib import Path

from imagepipe.errors import StartError


class FolderLock:
    """A lock that is held from its making until `release`."""

    def __init__(self, path: Path) -> None:
        """Raises StartError, with the owner's pid, if another process holds it."""
        self._descriptor = os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise StartError(
                f"another imagepipe (pid {owner or 'unknown'}) uses {path.parent.parent}: stop it"
                " first, or choose another folder"
            ) from None
        except OSError:
            os.close(self._descriptor)
            raise
        # on a full disk: the daemon must start, or nothing could be deleted
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Let another have it."""
        os.close(self._descriptor)
