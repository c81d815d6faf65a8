"""Whether the disk can still be trusted, and the folder is still the one that was opened.

a flush failed                nothing is written any more, and the daemon ends
the catalogue is damaged      nothing is written any more; what can be read, is
the catalogue, the lock or    nothing is written until they are back: what SQLite writes to a
a folder is gone, or another  file without a name is lost with the process
"""

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from imagepipe.errors import CatalogueDamaged, FlushError, StoreUnusable


class Health:
    """For any thread. `on_fatal` is called once, on the thread that met the error."""

    def __init__(self, on_fatal: Callable[[FlushError], None]) -> None:
        self._on_fatal = on_fatal
        self._lock = threading.Lock()
        self._error: FlushError | None = None
        self._watched: dict[Path, tuple[str, tuple[int, int]]] = {}

    @property
    def failed(self) -> bool:
        """Whether it is for ever that nothing is written."""
        return self._error is not None

    @property
    def why_failed(self) -> str | None:
        """A line for the operator; None: it has not failed."""
        if self._error is None or isinstance(self._error, CatalogueDamaged):
            return str(self._error) if self._error else None
        return "the disk failed to flush: no more writes are accepted"

    def check(self) -> None:
        """Raise FlushError if it has failed; never blocks."""
        if self._error is not None:
            raise type(self._error)(str(self._error))

    def fail(self, error: FlushError) -> None:
        """A flush has failed, or the catalogue is damaged."""
        with self._lock:
            first = self._error is None
            if first:
                self._error = error
        if first and not isinstance(error, CatalogueDamaged):
            self._on_fatal(error)

    def watch(self, places: Mapping[Path, str]) -> None:
        """Remember which files and folders lie at `places`, by the names that operators know."""
        self._watched = {path: (name, _identity(path)) for path, name in places.items()}

    def check_places(self) -> None:
        """Raise StoreUnusable if one of them is gone or is another; asks the disk."""
        for path, (name, identity) in self._watched.items():
            try:
                found = _identity(path)
            except OSError as error:
                raise StoreUnusable(f"{name} is gone ({os.strerror(error.errno or 0)}): {_ADVICE}") from None
            if found != identity:
                raise StoreUnusable(f"{name} is not the one that imagepipe opened: {_ADVICE}")


_ADVICE = "put back what was there, or stop imagepipe first and then replace it"


def _identity(path: Path) -> tuple[int, int]:
    found = os.stat(path)  # noqa: PTH116 - once for each commit, and this is the quickest
    return found.st_dev, found.st_ino
