"""Counts the calls that are under way, so that closing can wait for the last and refuse the
next.
"""

import contextlib
import threading
from collections.abc import Iterator

from imagepipe.errors import Overloaded


class InFlight:
    """For any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._ended = False

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """One call; raises Overloaded if no more are taken."""
        with self._changed:
            if self._ended:
                raise Overloaded("the store is being closed: try again")
            self._count += 1
        try:
            yield
        finally:
            with self._changed:
                self._count -= 1
                self._changed.notify_all()

    def end(self) -> None:
        """Take no more, and wait for those under way."""
        with self._changed:
            self._ended = True
            self._changed.wait_for(lambda: not self._count)
