"""How images are read: from memory without blocking, if they were asked for lately, else from the
disk.
"""

import hashlib
from collections.abc import Mapping, Sequence

from imagepipe.core.rows.entries import Row
from imagepipe.errors import Overloaded
from imagepipe.storage.disk import open_for_reading, refusal
from imagepipe.storage.memory import LruMemory
from imagepipe.storage.parts import Parts
from imagepipe.storage.shared_file import SharedFile

IN_MEMORY_BYTES_MAX = 32 << 20
"""Of the small objects that are kept in memory, because they were asked for."""

IN_MEMORY_OVERHEAD_BYTES = 1 << 10
"""What each of them takes beside its bytes."""


class Reads:
    """For any thread. Every method is documented in Store, which passes calls on."""

    def __init__(self, parts: Parts) -> None:
        self._catalogue = parts.catalogue
        self._objects = parts.objects
        self._small_objects: LruMemory[str, SharedFile] = LruMemory(IN_MEMORY_BYTES_MAX)

    def discard(self, digests: Sequence[str]) -> None:
        """Drop objects from memory: their bytes are gone."""
        self._small_objects.discard(digests)

    def rows(self, paths: Sequence[str]) -> Mapping[str, Row]:
        """See Store."""
        remembered = self._catalogue.rows_in_memory(paths)
        return self._catalogue.rows(paths, remember=True) if remembered is None else remembered

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

    def rows_in_memory(self, paths: Sequence[str]) -> Mapping[str, Row] | None:
        """See Store."""
        return self._catalogue.rows_in_memory(paths)

    def object_in_memory(self, digest: str) -> SharedFile | None:
        """See Store."""
        file = self._small_objects.get(digest)
        return file.hold() if file else None

    def keep_in_memory(self, digest: str, file: SharedFile) -> None:
        """See Store."""
        if file.is_in_memory and hashlib.sha256(file.head).hexdigest() == digest:
            self._small_objects.put(digest, file, file.size + IN_MEMORY_OVERHEAD_BYTES)
