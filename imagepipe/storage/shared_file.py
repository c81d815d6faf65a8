"""A file that is being sent: opened once, read by any thread, closed by its last holder.

A file that is replaced or deleted meanwhile stays readable until then: a reader gets one whole
version.
"""

import os
import threading
from io import FileIO

HEAD_BYTES = 64 << 10
"""How much is read when a file is opened; most renditions are smaller, and need no open file."""


class SharedFile:
    """An open file of `size` bytes. Takes ownership of `file`; the maker holds it once. Everything
    but the properties blocks.
    """

    def __init__(self, file: FileIO, size: int | None = None) -> None:
        """Raises OSError if its beginning cannot be read."""
        self._file = file
        self._lock = threading.Lock()
        self._holders = 1
        try:
            self.size = os.fstat(file.fileno()).st_size if size is None else size
            self.head = os.pread(file.fileno(), min(HEAD_BYTES, self.size), 0)
        except BaseException:
            file.close()
            raise
        if self.is_in_memory:
            file.close()

    @property
    def is_in_memory(self) -> bool:
        """Whether `head` is all of it."""
        return len(self.head) == self.size

    @property
    def content(self) -> bytes | FileIO:
        """All bytes, or the file, valid while this is held; for callers that do not read it piece
        by piece.
        """
        return self.head if self.is_in_memory else self._file

    def hold(self) -> "SharedFile":
        """Hold it once more."""
        with self._lock:
            self._holders += 1
        return self

    def close(self) -> None:
        """Undo one `hold`, or the making."""
        with self._lock:
            self._holders -= 1
            if not self._holders:
                self._file.close()

    def read(self, offset: int, length: int) -> bytes:
        """Some bytes, as many as there are from `offset` on. Raises OSError."""
        if offset + length <= len(self.head) or self.is_in_memory:
            return self.head[offset : offset + length]
        return os.pread(self._file.fileno(), length, offset)
