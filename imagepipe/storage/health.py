"""Whether the disk can still be trusted: the first failed flush is the end of all writing."""

import threading
from collections.abc import Callable

from imagepipe.errors import FlushError


class Health:
    """For any thread. `on_fatal` is called once, on the thread that met the error."""

    def __init__(self, on_fatal: Callable[[FlushError], None]) -> None:
        self._on_fatal = on_fatal
        self._lock = threading.Lock()
        self._error: FlushError | None = None

    @property
    def failed(self) -> bool:
        """Whether a flush has failed."""
        return self._error is not None

    def check(self) -> None:
        """Raise FlushError if a flush has failed."""
        if self._error is not None:
            raise FlushError(str(self._error))

    def fail(self, error: FlushError) -> None:
        """A flush has failed."""
        with self._lock:
            first = self._error is None
            if first:
                self._error = error
        if first:
            self._on_fatal(error)
