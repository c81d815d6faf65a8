"""Objects: the bytes of every image once, named by their digest; the served tree is made of hard
links to them.

    .imagepipe/objects/ab/abcd...   SHA-256 of the bytes in hex, below its first two digits

An object is never written to. It comes by a rename of a flushed file, and goes when no row names
its digest and no call has it pinned.

A call pins a digest before it looks whether the object exists, and until its commit; what collects
looks for pins and unlinks in one step. So an object that a call found cannot go before its row is
there.
"""

import contextlib
import os
import stat
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from imagepipe.core.rows.entries import Content
from imagepipe.storage.disk import (
    digest_of,
    flush,
    flush_folder,
    flush_folders,
    make_folder,
    open_for_reading,
    status_of,
)

FOLDERS = tuple(f"{number:02x}" for number in range(256))

_HEX = frozenset("0123456789abcdef")
_DIGEST_LENGTH = 64


class Objects:
    """The objects below `folder`, with `mode` each."""

    def __init__(self, folder: Path, mode: int) -> None:
        self._folder = folder
        self._place = os.fsencode(folder)
        self._mode = mode
        self._damaged: set[tuple[int, int]] = set()
        self._adding = threading.Lock()

    def create(self) -> None:
        """Make the folders that are missing, flushed."""
        missing = [self._folder / name for name in FOLDERS if not (self._folder / name).is_dir()]
        for folder in missing:
            make_folder(folder, 0o700)
        if missing:
            flush_folder(self._folder)

    @property
    def folders(self) -> Sequence[Path]:
        """The folders that objects lie in."""
        return [self._folder / name for name in FOLDERS]

    def path(self, digest: str) -> Path:
        """Where the object is, or would be."""
        return self._folder / digest[:2] / digest

    def place(self, digest: str) -> bytes:
        """The same as bytes: making a Path takes longer than looking the file up."""
        return b"%b/%b/%b" % (self._place, digest[:2].encode("ascii"), digest.encode("ascii"))

    def status(self, digest: str) -> os.stat_result | None:
        """The object's stat; None if there is no such object."""
        return status_of(self.place(digest))

    def has(self, content: Content) -> bool:
        """Whether there is an object of this name and size; nobody looks into it."""
        status = self.status(content.digest)
        return (
            status is not None and stat.S_ISREG(status.st_mode) and status.st_size == content.size
        )

    def read(self, digest: str, offset: int, length: int) -> bytes | None:
        """Some bytes of an object; None if it is missing, or has fewer, or cannot be read."""
        try:
            with open_for_reading(self.place(digest)) as file:
                piece = os.pread(file.fileno(), length, offset)
        except OSError:
            return None
        return piece if len(piece) == length else None

    def is_link(self, status: os.stat_result, digest: str) -> bool:
        """Whether `status` is of a hard link to the object."""
        object_ = self.status(digest)
        return object_ is not None and os.path.samestat(object_, status)

    def is_link_to_replaced(self, status: os.stat_result) -> bool:
        """Whether `status` is of a link to an object of the wrong length that `add` has
        replaced.
        """
        return (status.st_dev, status.st_ino) in self._damaged

    def add(self, digest: str, file: Path, size: int) -> None:
        """Move a file whose bytes are flushed in as the object `digest`, or drop it if the object
        is there; durable only after `flush`.
        """
        # or of two calls with equal bytes the second would replace the object that the first is
        # about to link
        with self._adding:
            existing = self.status(digest)
            # Read, not trusted: bytes that are sent once more are the chance to mend an object that
            # has rotted.
            if (
                existing is not None
                and stat.S_ISREG(existing.st_mode)
                and existing.st_size == size
                and digest_of(self.place(digest)) == digest
            ):
                file.unlink()
                return
            if existing is not None:
                self._damaged.add((existing.st_dev, existing.st_ino))
            os.rename(file, self.place(digest))

    def seal(self, descriptor: int, file: Path) -> None:
        """Give a staged file its mode and flush it."""
        os.fchmod(descriptor, self._mode)
        flush(descriptor, file)

    def flush(self, digests: Iterable[str]) -> None:
        """Make added objects durable; also those that another call added a moment ago."""
        flush_folders(
            [self._folder / folder for folder in sorted({digest[:2] for digest in digests})]
        )

    def remove(self, digest: str) -> None:
        """Remove an object, if it is there."""
        self.path(digest).unlink(missing_ok=True)

    def digests(self, folder: str) -> Iterator[str]:
        """The objects in one of FOLDERS."""
        # a million names, and only the names
        for name in os.listdir(self._folder / folder):
            if len(name) == _DIGEST_LENGTH and name.startswith(folder) and _HEX.issuperset(name):
                yield name

    def any(self) -> bool:
        """Whether there is any object."""
        return any(
            True
            for folder in FOLDERS
            if (self._folder / folder).is_dir()
            for _ in self.digests(folder)
        )


class Pins:
    """Which digests are in use by calls. For any thread.

    Invariant: until it is collected, a digest whose last row may be gone is in use or a suspect;
    one whose row never came is in use or abandoned.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()
        self._suspects: set[str] = set()
        self._abandoned: set[str] = set()

    @contextlib.contextmanager
    def pinned(self, digests: Iterable[str]) -> Iterator[None]:
        """Pin digests for the length of a call; those of a call that fails are abandoned."""
        pinned = list(digests)
        self.pin(pinned)
        try:
            yield
        except BaseException:
            with self._lock:
                self._abandoned.update(pinned)
            raise
        finally:
            self.unpin(pinned)

    def pin(self, digests: Iterable[str]) -> None:
        """Pin digests until as many calls of `unpin`."""
        with self._lock:
            self._held.update(digests)

    def unpin(self, digests: Sequence[str]) -> list[str]:
        """Undo one `pin`; those that nobody holds any more."""
        with self._lock:
            self._held.subtract(digests)
            free = [digest for digest in dict.fromkeys(digests) if self._held[digest] <= 0]
            for digest in free:
                del self._held[digest]
        return free

    def unpin_all(self) -> None:
        """Nobody holds anything any more: the store is being closed."""
        with self._lock:
            self._abandoned.update(self._held)
            self._held.clear()

    def abandon(self, digests: Iterable[str]) -> None:
        """Digests of objects that no row names, but for those that somebody holds and will let go
        of.
        """
        with self._lock:
            self._abandoned.update(digest for digest in digests if digest not in self._held)

    def suspect(self, digests: Iterable[str]) -> None:
        """Digests that perhaps no row names any more."""
        with self._lock:
            self._suspects.update(digests)

    def take_suspects(self) -> set[str]:
        """The suspects so far; they are the caller's to collect, or to hand back."""
        with self._lock:
            taken, self._suspects = self._suspects, set()
        return taken

    def take_abandoned(self) -> set[str]:
        """The abandoned digests that are no suspects: the tree never showed them, and they can go
        at once.
        """
        with self._lock:
            taken, self._abandoned = self._abandoned - self._suspects, set()
        return taken

    @property
    def has_suspects(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self._suspects or self._abandoned)

    def unless_in_use(self, digest: str, remove: Callable[[str], None]) -> bool:
        """Call `remove` if no call has pinned `digest`, and let none pin it meanwhile; whether it
        was called.

        Nor is it called for one that is a suspect again: it came and went once more, and the tree
        on the disk may still show it.
        """
        with self._lock:
            if digest in self._held or digest in self._suspects:
                return False
            remove(digest)
            return True
