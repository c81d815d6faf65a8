"""How much space the disk has, known without waiting for the disk.

A disk that does not answer (a network file system can hang for minutes) blocks one thread and no
page: the last answer stays, and its age shows that it is old.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

REFRESH_SECONDS = 5.0

OnThread = Callable[[Callable[[], Any]], Deferred[Any]]


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes and inodes of a file system: how many it has, and how many are free for users other
    than root.

    total_inodes: 0 if it creates them as needed.
    """

    total_bytes: int
    free_bytes: int
    total_inodes: int = 0
    free_inodes: int = 0


@dataclass(frozen=True, slots=True)
class DiskStatus:
    """The space as it was `age_seconds` ago."""

    total_bytes: int
    free_bytes: int
    age_seconds: float
    total_inodes: int = 0
    free_inodes: int = 0


def space_of(path: Path) -> Space:
    """The space on the file system of `path`; blocks. Raises OSError."""
    found = os.statvfs(path)
    return Space(
        found.f_blocks * found.f_frsize,
        found.f_bavail * found.f_frsize,
        found.f_files,
        found.f_favail,
    )


class DiskSpace:
    """The space on the file system of `path`, read again every REFRESH_SECONDS between `start` and
    `stop`.

    Construct it on a thread, because it reads once and raises OSError; everything else is for the
    reactor's thread. `on_thread` runs the blocking call, one at a time; `seconds` is a monotonic
    clock.
    """

    def __init__(
        self,
        reactor: IReactorTime,
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
        self._loop = LoopingCall(self._refresh)  # it waits for an answer before it asks again
        self._loop.clock = reactor

    def start(self) -> None:
        """Start to read it at intervals."""
        self._loop.start(REFRESH_SECONDS, now=False)

    def stop(self) -> None:
        """Stop."""
        if self._loop.running:
            self._loop.stop()

    def read(self) -> DiskStatus:
        """The last answer."""
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
            return  # the last answer stays, and its age grows
        self._asked = asked
