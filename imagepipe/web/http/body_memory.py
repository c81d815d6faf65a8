"""Where request bodies wait for their thread: in memory, up to a bound for all of them together;
Twisted puts the rest into temporary files.
"""

import threading
from collections.abc import Callable
from io import BytesIO

MEMORY_BYTES_MAX = 64 << 20
"""For the bodies of a site; a body of unknown length never lies there."""


class BodyMemory:
    """Gives out room for bodies, `bytes_max` in all. For any thread."""

    def __init__(self, bytes_max: int = MEMORY_BYTES_MAX) -> None:
        self._free_bytes = bytes_max
        self._lock = threading.Lock()

    def body(self, length: int) -> BytesIO | None:
        """A file for `length` bytes, whose room is free again when it is closed; None: there is no
        room.
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
        """Also called when nobody has it any more."""
        if not self.closed:
            super().close()
            self._on_closed()
