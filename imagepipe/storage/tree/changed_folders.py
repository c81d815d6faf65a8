"""Which folders of the tree have changed since they were last flushed."""

# Names in the tree are bytes, as the disk has them, whatever the locale says; Path knows only text.

import itertools
import os
from collections.abc import Iterator

from imagepipe.storage.disk import flush_folders, flush_if_there

_SLICE = 16


class ChangedFolders:
    """Invariant: a folder whose names on disk may be older than those a reader sees is in here, or
    an ancestor of it that is.
    """

    def __init__(self) -> None:
        self._changed: set[bytes] = set()
        self._flushing: set[bytes] = set()

    def add(self, folder: bytes) -> None:
        """A name in `folder` came, went, or now means another file."""
        self._changed.add(folder)

    def removed(self, folder: bytes) -> bytes:
        """`folder` is gone: its parent makes that durable, and does so in the flush that is under
        way if `folder` was part of it. Returns the parent.
        """
        parent = os.path.dirname(folder)
        self._changed.discard(folder)
        self._changed.add(parent)
        if folder in self._flushing:
            self._flushing.discard(folder)
            self._flushing.add(parent)
        return parent

    def flush(self) -> Iterator[None]:
        """Make durable all that was touched before the first step, a few folders a step. What could
        not be flushed is tried again by the next one.
        """
        self._flushing |= self._changed
        self._changed.clear()
        while self._flushing:
            some = list(itertools.islice(self._flushing, _SLICE))
            flush_folders(some, flush_if_there)  # a stranger may have moved it away
            self._flushing.difference_update(some)
            yield
