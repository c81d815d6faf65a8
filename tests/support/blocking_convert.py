"""A `convert` that waits at a gate: lets a test hold a render for as long as it needs to look at
the daemon meanwhile.
"""

import fcntl
import os
import stat
from pathlib import Path


class BlockingConvert:
    """Each child announces itself, then waits until the gate is open. Starts closed."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.convert = folder / "convert"
        arrivals, lock = folder / "arrivals", folder / "lock"
        os.mkfifo(arrivals)
        self._arrivals = os.open(arrivals, os.O_RDWR)
        self._lock = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.convert.write_text(
            f"#!/bin/sh\necho . > {arrivals}\n/usr/bin/flock --shared {lock} true\nexec"
            ' /usr/bin/convert "$@"\n'
        )
        self.convert.chmod(self.convert.stat().st_mode | stat.S_IXUSR)

    def wait_for_arrival(self) -> None:
        """Blocks until one more child is at the gate."""
        os.read(self._arrivals, 2)

    def open(self) -> None:
        """Let everyone through, from now on."""
        fcntl.flock(self._lock, fcntl.LOCK_UN)

    def remove(self) -> None:
        """Let everyone through and close the files."""
        os.close(self._lock)
        os.close(self._arrivals)
