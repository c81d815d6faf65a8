"""How much room the disk has, known without waiting for the disk.

A disk that does not answer (a network file system can do that for minutes) holds up one thread and
no page: the last answer stays, and its age tells.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

REFRESH_SECONDS = 5.0

OnThread = Callable[[Callable[[], Any]], Deferred[Any]]


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes and inodes of a file system: what it has, and what of it anyone but root may still
    take.

    total_inodes: 0 where it makes them as they are needed.
    """

    total_bytes: int
    free_bytes: int
    total_inodes: int = 0
    free_inodes: int = 0


@dataclass(frozen=True, slots=True)
class DiskStatus:
    """The room as it was `age_seconds` ago."""

    total_bytes: int
    free_bytes: int
    age_seconds: float
    total_inodes: int = 0
    free_inodes: int = 0


def space_of(path: Path) -> Space:
    """The room on the file system that `path` lies on; blocks, and raises OSError."""
    found = os.statvfs(path)
    return Space(
        found.f_blocks * found.f_frsize,
        found.f_bavail * found.f_frsize,
        found.f_files,
        found.f_favail,
    )


class DiskSpace:
    """The room on the file system of `path`, asked for again every REFRESH_SECONDS between `start`
    and `stop`.

    Made on a thread, because it asks once; all else is for the reactor's thread. `on_thread` runs
    the blocking call, one at a time; `seconds` is a monotonic clock. Raises OSError when made.
    """

    def __init__(
        self,
        reactor: Any,
        path: Path,
        on_thread: OnThread,
        seconds: Callable[[], float],
        ask: Callable[[Path], Space] = space_of,
    ) -> None:
        self._path = path
        self._on_thread = on_thread
        self._seconds = seconds
        self._ask = ask
        self._space = ask(path)
        self._asked = seconds()
        self._loop = LoopingCall(self._refresh)  # it waits for one answer before it asks again
        self._loop.clock = reactor

    def start(self) -> None:
        """Ask again and again."""
        self._loop.start(REFRESH_SECONDS, now=False)

    def stop(self) -> None:
        """Ask no more."""
        if self._loop.running:
            self._loop.stop()

    def read(self) -> DiskStatus:
        """What is known now."""
        space = self._space
        age = self._seconds() - self._asked
        return DiskStatus(
            space.total_bytes, space.free_bytes, age, space.total_inodes, space.free_inodes
        )

    def _refresh(self) -> "Deferred[None]":
        return Deferred.fromCoroutine(self._ask_again())

    async def _ask_again(self) -> None:
        asked = self._seconds()
        try:
            self._space = await self._on_thread(lambda: self._ask(self._path))
        except OSError:
            return  # what is known grows old, and says so
        self._asked = asked
