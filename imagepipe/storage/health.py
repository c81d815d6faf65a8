"""Whether the disk can still be trusted, and the folder is still the one that was opened.

a flush failed                nothing is written any more, and the daemon ends
the catalogue is damaged      nothing is written any more; what can be read, is
the catalogue, the lock or    nothing is written until they are back: what SQLite writes to a
a folder is gone, or another  file without a name is lost with the process, and a symbolic link
                              to the folder is none that the next start accepts
the catalogue was cut short   as if it were damaged: what has not reached the main file hides it
"""

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from imagepipe.errors import CatalogueDamaged, FlushError, StoreUnusable
from imagepipe.storage.disk import damaged_catalogue


class Health:
    """For any thread. `on_fatal` is called once, on the thread that met the error."""

    def __init__(self, on_fatal: Callable[[FlushError], None]) -> None:
        self._on_fatal = on_fatal
        self._lock = threading.Lock()
        self._error: FlushError | None = None
        self._root = self._catalogue = Path()
        self._watched: dict[Path, tuple[str, os.stat_result]] = {}

    @property
    def failed(self) -> bool:
        """Whether it is for ever that nothing is written."""
        return self._error is not None

    @property
    def failure(self) -> str | None:
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

    def watch(self, root: Path, places: Mapping[Path, str], catalogue: Path) -> None:
        """Remember what lies at `places`, by the names that operators know.

        root: one of them, which may be a symbolic link. catalogue: one of them, which only grows.
        """
        self._root, self._catalogue = root, catalogue
        self._watched = {path: (name, self._look(path)) for path, name in places.items()}

    def check_places(self) -> None:
        """Raise StoreUnusable if one of them is gone or is another, CatalogueDamaged if it was cut.

        Asks the disk.
        """
        for path, (name, known) in self._watched.items():
            try:
                found = self._look(path)
            except OSError as error:
                raise StoreUnusable(
                    f"{name} is gone ({os.strerror(error.errno or 0)}): {_ADVICE}"
                ) from None
            if (found.st_dev, found.st_ino) != (known.st_dev, known.st_ino):
                raise StoreUnusable(f"{name} is not the one that imagepipe opened: {_ADVICE}")
            if path == self._catalogue and found.st_size < known.st_size:
                raise damaged_catalogue(path, "cut short")

    def _look(self, path: Path) -> os.stat_result:
        # once for each commit, and this is the quickest
        return os.stat(path, follow_symlinks=path == self._root)


_ADVICE = "put back what was there, or stop imagepipe first and then replace it"
