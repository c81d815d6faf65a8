"""Memory for request bodies that wait for a thread, with a limit for all of them together; Twisted
writes the rest to temporary files.
"""

import threading
from collections.abc import Callable
from io import BytesIO

MEMORY_BYTES_MAX = 64 << 20
"""For all bodies of a site; a body of unknown length is never held in memory."""


class BodyMemory:
    """Allocates memory for bodies, `bytes_max` in total. Thread-safe."""

    def __init__(self, bytes_max: int = MEMORY_BYTES_MAX) -> None:
        self._free_bytes = bytes_max
        self._lock = threading.Lock()

    def body(self, length: int) -> BytesIO | None:
        """A file for `length` bytes, whose memory is released when it is closed; None if there is
        not enough.
        """
        return _Body(lambda: self._give_back(length)) if self._take(length) else None

    def _take(self, length: int) -> bool:
        with self._lock:
            if length > self._free_bytes:
                return False
            self._free_bytes -= length
            return True

    def _give_back(self, length: int) -> None:
        with self._lock:
            self._free_bytes += length


class _Body(BytesIO):
    def __init__(self, on_closed: Callable[[], None]) -> None:
        super().__init__()
        self._on_closed = on_closed

    def close(self) -> None:
        """Also called when the last reference goes away."""
        if not self.closed:
            super().close()
            self._on_closed()
