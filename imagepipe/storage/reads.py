"""How images are read: from the disk, and from memory what was read lately.

A row in memory is right at every moment: the writer removes it before the call that changes it is
answered (storage/memory). An object never changes, so its bytes are right as long as they have its
digest.
"""

import hashlib
from collections.abc import Mapping, Sequence

from imagepipe.core.rows.entries import Row
from imagepipe.errors import Overloaded
from imagepipe.storage.disk import open_for_reading, refusal
from imagepipe.storage.memory import LruMemory, RowMemory
from imagepipe.storage.parts import Parts
from imagepipe.storage.shared_file import SharedFile

IN_MEMORY_BYTES_MAX = 32 << 20
"""The size of all small objects in memory together."""

IN_MEMORY_OVERHEAD_BYTES = 1 << 10
"""What each of them takes in addition to its bytes."""


class InMemory:
    """What is in memory; for any thread. Never blocks."""

    def __init__(self, rows: RowMemory) -> None:
        self._rows = rows
        self._objects: LruMemory[str, SharedFile] = LruMemory(IN_MEMORY_BYTES_MAX)

    def rows(self, paths: Sequence[str]) -> Mapping[str, Row] | None:
        """The rows of those paths that are known; None unless memory knows it of all of them."""
        return self._rows.look_up(paths)

    def open_object(self, digest: str) -> SharedFile | None:
        """The object with this digest, which the caller closes; None if it is not in memory."""
        file = self._objects.get(digest)
        return file.hold() if file else None

    def put(self, digest: str, file: SharedFile) -> None:
        """Add an object if it is small and has the right digest. Slow: the bytes are hashed."""
        if file.is_in_memory and hashlib.sha256(file.head).hexdigest() == digest:
            self._objects.put(digest, file, file.size + IN_MEMORY_OVERHEAD_BYTES)

    def discard(self, digests: Sequence[str]) -> None:
        """Drop objects whose bytes are gone."""
        self._objects.discard(digests)


class Reads:
    """For any thread; blocks. Every method is documented in Store, which passes calls on."""

    def __init__(self, parts: Parts) -> None:
        self._catalogue = parts.catalogue
        self._objects = parts.objects
        self.in_memory = InMemory(parts.catalogue.in_memory)

    def rows(self, paths: Sequence[str]) -> Mapping[str, Row]:
        """See Store."""
        rows = self.in_memory.rows(paths)
        if rows is None:
            changes = self._catalogue.in_memory.changes
            rows = self._catalogue.rows(paths)
            self._catalogue.in_memory.note(paths, rows, changes)
        return rows

    def open_object(self, digest: str) -> SharedFile | None:
        """See Store."""
        try:
            return SharedFile(open_for_reading(self._objects.place(digest)))
        except FileNotFoundError:
            return None
        except OSError as error:
            refused = refusal(error)
            if isinstance(refused, Overloaded):
                raise refused from error
            raise

    def read_object(self, digest: str) -> SharedFile | None:
        """See Store."""
        file = self.open_object(digest)
        if file:
            self.in_memory.put(digest, file)
        return file
