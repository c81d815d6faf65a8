"""Memory for request bodies that wait for a thread, with a limit for all of them together; Twisted
writes the rest to temporary files.

The memory for a body is reserved once, by its Content-Length, and the system provides each page
when its bytes arrive. So a client that announces more than it sends only takes a share of the
limit.
"""

import contextlib
import mmap
import threading
from collections.abc import Callable
from io import BytesIO
from typing import IO, Any, cast

MEMORY_BYTES_MAX = 64 << 20
"""For all bodies of a site; a body of unknown length is never held in memory."""

LARGE_BODY_BYTES = 256 << 10
"""A larger body has a memory map of its own. A small one does not pay for that."""

MADV_POPULATE_WRITE = 23
"""As in <sys/mman.h>, since Linux 5.14: provide the pages in one call. A fault for each of them
takes longer than all else that is done to the body.
"""


class BodyMemory:
    """Allocates memory for bodies, `bytes_max` in total. Thread-safe."""

    def __init__(self, bytes_max: int = MEMORY_BYTES_MAX) -> None:
        self._free_bytes = bytes_max
        self._lock = threading.Lock()

    def body(self, length: int) -> IO[bytes] | None:
        """A file for `length` bytes, whose memory is released when it is closed; None if there is
        not enough.
        """
        if not self._take(length):
            return None
        if length <= LARGE_BODY_BYTES:
            return _SmallBody(lambda: self._give_back(length))
        try:
            body = _LargeBody(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError:
            self._give_back(length)
            return None
        body.on_closed = lambda: self._give_back(length)
        return cast(IO[bytes], body)

    def _take(self, length: int) -> bool:
        with self._lock:
            if length > self._free_bytes:
                return False
            self._free_bytes -= length
            return True

    def _give_back(self, length: int) -> None:
        with self._lock:
            self._free_bytes += length


class _SmallBody(BytesIO):
    def __init__(self, on_closed: Callable[[], None]) -> None:
        super().__init__()
        self._on_closed = on_closed

    def close(self) -> None:
        """Also called when the last reference goes away."""
        if not self.closed:
            super().close()
            self._on_closed()


class _LargeBody(mmap.mmap):
    on_closed: Callable[[], None]

    def write(self, data: Any) -> int:
        start = self.tell() // mmap.PAGESIZE * mmap.PAGESIZE
        with contextlib.suppress(OSError):  # an older kernel
            self.madvise(MADV_POPULATE_WRITE, start, self.tell() + len(data) - start)
        return super().write(data)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self.on_closed()

    def __del__(self) -> None:
        self.close()
