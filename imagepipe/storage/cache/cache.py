"""The render cache: images that were rendered on demand, for the next request. It is bounded, lies
outside the served tree, and drops the least recently used images first.

    cache = RenderCache.open(layout.cache, bytes_max, is_there=...)
        at once, however many renditions there are
    cache.recover()
        on a thread, soon after: remove what an earlier run left behind

    cached = cache.get(key) or cache.put(key, source, staged, facts)
        an open file, with its digest and facts; the caller closes it
    cache.keep_in_memory(key, file, cached)
        small renditions that are requested are kept in memory
    cached = cache.get_in_memory(key)
        the only call that never blocks
    cache.resize(bytes_max)
    cache.forget(sources)
        their objects are gone, and so is all that was made of them
    cache.give_up_space()
        the disk is full
    cache.close()

Losing any of it only costs work. So nothing is flushed, and after an error of SQLite or of the
disk, which is logged, the cache starts empty. Nothing is trusted either: a file of an earlier run
is read and compared with its digest before it is used.

If a source is removed while something is rendered from it, its object is removed before `forget` is
called, and `put` checks for the object once its row is there. So one of the two sees the other.
"""

import contextlib
import hashlib
import itertools
import os
import re
import secrets
import stat
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from errno import EMFILE, ENFILE, ENOMEM
from io import FileIO
from pathlib import Path

from imagepipe.errors import Overloaded
from imagepipe.storage.cache.files import CacheFiles, open_cached
from imagepipe.storage.cache.index import CacheEntry, room_of
from imagepipe.storage.cache.reconcile import sweep
from imagepipe.storage.cache.shared_index import CacheRows
from imagepipe.storage.image_info import ImageFacts
from imagepipe.storage.in_flight import InFlight
from imagepipe.storage.memory import LruMemory
from imagepipe.storage.shared_file import SharedFile

IN_MEMORY_MAX = 8192
"""How many renditions are found without asking the index: 8 MiB of memory."""

IN_MEMORY_BYTES_MAX = 32 << 20
"""Of the small renditions that are kept in memory, because they were asked for."""

IN_MEMORY_OVERHEAD_BYTES = 1 << 10
"""What each of them takes beside its bytes."""

_SOURCES_AT_ONCE = 64
_DIGEST = re.compile("[0-9a-f]{64}")
_NOT_ITS_FAULT = frozenset({EMFILE, ENFILE, ENOMEM})
"""Why a file may not be opened and be good all the same."""


Header = bytes
"""What others keep of the header of a source."""


@dataclass(frozen=True, slots=True)
class CachedFile:
    """A rendition: `file` is open, at its beginning, and stays readable whatever becomes of the
    cache. `digest`: SHA-256 of its bytes, in hex.
    """

    file: FileIO
    digest: str
    size: int
    facts: ImageFacts


@dataclass(frozen=True, slots=True)
class CachedInMemory:
    """A rendition in memory: all its bytes are in `file`, which is held for the caller."""

    file: SharedFile
    digest: str
    facts: ImageFacts


def _new_id() -> str:
    return secrets.token_hex(16)


class RenderCache:
    """An open cache; not for the reactor's thread: everything but `get_in_memory` and the figures
    may block. Made by `open`.

    A file is there before its row and goes after it. So a row without a file means that someone
    else has removed it; a file without a row is just coming or going, or a crash has left it.
    """

    @classmethod
    def open(
        cls,
        folder: Path,
        bytes_max: int,
        *,
        is_there: Callable[[str], bool],
        new_id: Callable[[], str] = _new_id,
        in_memory_max: int = IN_MEMORY_MAX,
    ) -> "RenderCache":
        """Open the cache in `folder`, or begin one there; never raises, because where there can be
        no cache one does without.

        bytes_max: the disk space that the files may take; 0: nothing is cached, and existing files
        are removed. is_there: whether the object with this digest exists. new_id: a random 128-bit
        number in hex. The caller holds a lock on the folder that contains `folder` while the cache
        is open.
        """
        return cls(CacheFiles(folder.absolute()), bytes_max, is_there, new_id, in_memory_max)

    def __init__(
        self,
        files: CacheFiles,
        bytes_max: int,
        is_there: Callable[[str], bool],
        new_id: Callable[[], str],
        in_memory_max: int,
    ) -> None:
        self._files = files
        self._bytes_max = bytes_max
        self._is_there = is_there
        self._run = int(new_id()[:7], 16)
        self._numbers = itertools.count(self._run << 32)
        self._closing = threading.Event()
        self._in_flight = InFlight()
        self._counting = threading.Lock()
        self._found = 0
        self.misses = 0
        """How many had to be made. Looking one up and not finding it is none: it may be looked up
        again before it is made.
        """
        self._in_memory: LruMemory[str, CachedInMemory] = LruMemory(IN_MEMORY_BYTES_MAX)
        self._rows = CacheRows(
            files, lambda: new_id()[:16], in_memory_max, self._closing, self._in_memory.discard
        )
        self._is_right = self._rows.open(keeps=bytes_max > 0)

    @property
    def bytes(self) -> int:
        """The room that the files take on the disk, in whole blocks."""
        return self._rows.room_taken

    @property
    def bytes_max(self) -> int:
        """The room that they may take."""
        return self._bytes_max

    @property
    def files(self) -> int:
        """How many there are."""
        return self._rows.count

    @property
    def hits(self) -> int:
        """How often what was asked for was there."""
        return self._found + self._in_memory.hits

    @property
    def evictions(self) -> int:
        """How many have made room for others."""
        return self._rows.evictions

    def get(self, key: str) -> CachedFile | None:
        """The rendition with this key, which counts as used now; None if there is none."""
        cached = None
        with contextlib.suppress(Overloaded), self._in_flight.one():
            cached = self._get(key)
        with self._counting:
            self._found += cached is not None
        return cached

    def get_in_memory(self, key: str) -> CachedInMemory | None:
        """What `get` would find, if it is in memory; counts as used. Never blocks."""
        found = self._in_memory.get(key)
        if found is None:
            return None
        self._rows.used.append(key)
        found.file.hold()
        return found

    def keep_in_memory(self, key: str, file: SharedFile, cached: CachedFile) -> None:
        """Keep the bytes of what `get` has found, read into `file`, in memory if there are few of
        them and they have the right digest.
        """
        if (
            file.is_in_memory
            and not self._closing.is_set()
            and hashlib.sha256(file.head).hexdigest() == cached.digest
        ):
            self._in_memory.put(
                key,
                CachedInMemory(file, cached.digest, cached.facts),
                file.size + IN_MEMORY_OVERHEAD_BYTES,
            )

    def header(self, source: str) -> Header | None:
        """What the last `put` of something made of `source` said about its header, if any of it is
        still here.
        """
        with contextlib.suppress(Overloaded), self._in_flight.one():
            return self._rows.header(source)
        return None

    def put(
        self, key: str, source: str, staged: Path, facts: ImageFacts, header: Header = b""
    ) -> CachedFile:
        """Take over the staged file as the rendition with this key, made of `source`; what was used
        least recently makes room for it.

        header: to be given back by `header`; it need not be trusted there, for nobody looks at it
        here. One that is not kept has no name any more and is gone when it is closed: for want of
        room, if there is one with its key, or if a key or source is not 64 hex digits. Raises
        OSError if the staged file cannot be read.
        """
        file = open_cached(staged)
        with self._counting:
            self.misses += 1
        try:
            os.fchmod(file.fileno(), stat.S_IRUSR | stat.S_IWUSR)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            rendition = CacheEntry(
                next(self._numbers), key, source, digest, os.fstat(file.fileno()).st_size, facts
            )
            with contextlib.suppress(Overloaded), self._in_flight.one():
                self._keep(rendition, header, staged)
            # it stays in its staging folder, which goes as a whole
            with contextlib.suppress(OSError):
                staged.unlink(missing_ok=True)
        except BaseException:
            file.close()
            raise
        return CachedFile(file, digest, rendition.size, facts)

    def forget(self, sources: Collection[str]) -> None:
        """Remove all that was made of these sources, whose objects are gone already."""
        gone = tuple(sources)
        with contextlib.suppress(Overloaded), self._in_flight.one():
            for start in range(0, len(gone), _SOURCES_AT_ONCE):
                self._rows.remove_of_source(gone[start : start + _SOURCES_AT_ONCE])

    def resize(self, bytes_max: int) -> None:
        """Let the files take so much room from now on; 0: nothing is kept, and what there
        is goes.
        """
        self._bytes_max = bytes_max
        if not bytes_max:
            self.give_up_space()
        with contextlib.suppress(Overloaded), self._in_flight.one():
            self._rows.shrink(bytes_max)

    def give_up_space(self) -> int:
        """Give up all there is, because the disk is full; the bytes that this frees."""
        self._in_memory.clear()
        with contextlib.suppress(Overloaded), self._in_flight.one():
            return self._rows.drop()
        return 0

    def recover(self) -> None:
        """Remove what an earlier run has left: too much, or what a crash has made wrong. Takes its
        time, unless the cache is closed meanwhile.
        """
        with contextlib.suppress(Overloaded), self._in_flight.one():
            self._rows.clear_away()
            self._rows.shrink(self._bytes_max)
            self._is_right = self._is_right or sweep(
                self._rows, self._files, self._run, self._has_object, self._closing.is_set
            )

    def close(self) -> None:
        """Finish what is under way, and write down what was used when. From then on nothing is
        found, and nothing kept.
        """
        self._closing.set()
        self._in_flight.end()
        self._in_memory.clear()
        if self._rows.close() and self._is_right:
            with contextlib.suppress(OSError):  # the next run sweeps, then
                self._files.settle()

    def _get(self, key: str) -> CachedFile | None:
        found = self._rows.find(key)
        if found is None:
            return None
        rendition = found.rendition
        try:
            file = self._files.open(rendition.number)
        except OSError as error:
            if error.errno not in _NOT_ITS_FAULT:
                self._remove(rendition)
            return None
        is_of_this_run = rendition.number >> 32 == self._run
        if not _is_good(file, rendition, is_read=not (found.is_verified or is_of_this_run)):
            file.close()
            self._remove(rendition)
            return None
        if not found.is_verified:
            self._rows.remember(rendition)
        return CachedFile(file, rendition.digest, rendition.size, rendition.facts)

    def _keep(self, rendition: CacheEntry, header: Header, staged: Path) -> None:
        """Move the staged file in, if it can be kept."""
        is_named_well = _DIGEST.fullmatch(rendition.key) and _DIGEST.fullmatch(rendition.source)
        fits = 0 < room_of(rendition.size) <= self._bytes_max
        index = self._rows.current() if is_named_well and fits and self._leaves_room() else None
        if index is None:
            return
        try:
            self._files.take(staged, rendition.number)
        except FileNotFoundError as error:  # someone has removed the folder
            self._rows.lose(index, error)
        except OSError:
            return
        else:
            if self._rows.add(rendition, header, self._bytes_max, index) and not self._has_object(
                rendition.source
            ):
                self._remove(rendition)

    def _leaves_room(self) -> bool:
        """Whether enough of the file system is free, if need be after some evictions."""
        try:
            lacking = self._files.lacking()
            if lacking:
                self._rows.shrink(self.bytes - lacking)
            # once: where room is freed only later, the cache would be emptied
            return not lacking or not self._files.lacking()
        except OSError:
            return False

    def _remove(self, rendition: CacheEntry) -> None:
        self._rows.remove(lambda index: index.remove([rendition.number]))

    def _has_object(self, source: str) -> bool:
        try:
            return bool(_DIGEST.fullmatch(source)) and self._is_there(source)
        except OSError:
            return False


def _is_good(file: FileIO, rendition: CacheEntry, *, is_read: bool) -> bool:
    """Whether a file is what its row says: of that many bytes, and, if it `is_read`, these."""
    try:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size != rendition.size:
            return False
        if is_read and hashlib.file_digest(file, "sha256").hexdigest() != rendition.digest:
            return False
        file.seek(0)
    except OSError:
        return False
    return True
