"""`imagepipe adopt`: an existing tree is taken into the catalogue, where it lies; the daemon does
not run.

    walk       folder by folder; what cannot be an image by its name or kind is reported and left
               alone
    known      a file that the catalogue has is passed over at a glance: so a run that was ended at
               any moment is continued by the next
    read       is it an image by its content? its digest, and what its header says
    claim      in batches: the object, flushed, then rows in one transaction (claim.py)

Memory is bounded by a batch and the depth of the tree, however many files there are. Limits on what
clients may store (`max_bytes`, `max_pixels`) do not apply: what is there already was good enough to
be served, and is served and replicated; to be rendered it may be too large.
"""

# Names in the tree are bytes, as the disk has them, whatever the locale says; Path knows only text.

import contextlib
import hashlib
import itertools
import os
import stat
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from imagepipe.core.rendering import formats
from imagepipe.core.rendering.formats import SNIFF_BYTES, Format
from imagepipe.core.rows.entries import Content, ImageFacts
from imagepipe.errors import FlushError, NotStored, StartError
from imagepipe.storage.catalogue import schema
from imagepipe.storage.disk import digest_of, is_full, open_for_reading, refusal
from imagepipe.storage.layout import Layout
from imagepipe.storage.store import Store
from imagepipe.storage.tree.walk import SkippedFile, WalkedFile, walk
from imagepipe.storage.writer.claims import CHANGED, Claim, conflict_reason, is_same

BATCH = 500
"""How many files share a transaction."""

THREADS = 4
"""How many files are read at once; flushing takes most of the time, and they share what the disk
has to do.
"""

LARGE_BYTES = 32 << 20
"""Of files larger than this one is read at a time."""

BYTES_MAX = 1 << 30
"""Larger files are not read: their headers are read in memory."""

FactsOf = Callable[[bytes, Format], ImageFacts]


@dataclass(frozen=True, slots=True)
class Adopted:
    """How far it has come. files, bytes: taken in, of which `copied` had to be copied; already:
    files that the catalogue had; skipped: reported.
    """

    files: int = 0
    bytes: int = 0
    copied: int = 0
    already: int = 0
    skipped: int = 0


def adopt(
    root: Path,
    *,
    umask: int,
    facts_of: FactsOf,
    now_ms: Callable[[], int],
    on_progress: Callable[[Adopted], None],
    on_skipped: Callable[[str, str], None],
    dry_run: bool = False,
) -> Adopted:
    """Take the images below `root` into its catalogue, which is made if there is none; blocks. It
    can be ended at any moment, and run again.

    umask, now_ms: as of Store.open. facts_of: what the header of an image says; called on several
    threads, it raises NotStored for what cannot be read. on_progress: called on this thread after
    each batch. on_skipped: called on this thread with the path, printable, and why it was left
    alone; files that are no images are among these. dry_run: nothing is changed; `files` are those
    that would be taken in. Raises StartError, where a daemon runs on it for one; NotStored on a
    full disk, FlushError: what was reported before is done.
    """
    if not root.is_dir():
        raise StartError(f"{root} is not a folder: there is nothing to adopt")
    with contextlib.ExitStack() as opened:
        store = None
        if not dry_run or schema.has_catalogue(Layout(root.absolute()).catalogue):
            store = Store.open(
                root, umask=umask, now_ms=now_ms, on_fatal=_raised_anyway, adopting=True
            )
            opened.callback(store.close)
            store.start()
        pool = opened.enter_context(ThreadPoolExecutor(THREADS, "adopt"))
        adoption = _Adoption(
            root.absolute(), store, facts_of, on_progress, on_skipped, pool, dry_run=dry_run
        )
        try:
            return adoption.run()
        except OSError as error:
            raise refusal(error) from error


@dataclass(frozen=True, slots=True)
class _Known:
    """The catalogue has it."""


@dataclass(frozen=True, slots=True)
class _Read:
    """An image. `staged`: where it was, if not only looked at."""

    path: str
    seen: os.stat_result
    content: Content
    facts: ImageFacts
    staged: Path | None
    copied: bool


class _Adoption:
    def __init__(
        self,
        root: Path,
        store: Store | None,
        facts_of: FactsOf,
        on_progress: Callable[[Adopted], None],
        on_skipped: Callable[[str, str], None],
        pool: ThreadPoolExecutor,
        *,
        dry_run: bool,
    ) -> None:
        self._root = os.fsencode(root)
        self._store = store
        self._facts_of = facts_of
        self._on_progress = on_progress
        self._on_skipped = on_skipped
        self._pool = pool
        self._dry_run = dry_run
        self._large = threading.Lock()
        self._so_far = Adopted()

    def run(self) -> Adopted:
        found = walk(self._root)
        while batch := list(itertools.islice(found, BATCH)):
            files = []
            for one in batch:
                if isinstance(one, SkippedFile):
                    self._skip(one)
                else:
                    files.append(one)
            if files:
                self._take_in(files)
            self._on_progress(self._so_far)
        return self._so_far

    def _take_in(self, files: Sequence[WalkedFile]) -> None:
        known = self._store.rows([one.path for one in files]) if self._store else {}
        contents = {path: row.entry.content for path, row in known.items() if row.entry.content}
        with self._staging() as folder:
            names = (folder / str(number) if folder else None for number in itertools.count())
            read = []
            for one in self._pool.map(
                lambda file, staged: self._look(file, contents.get(file.path), staged), files, names
            ):
                if isinstance(one, SkippedFile):
                    self._skip(one)
                elif isinstance(one, _Known):
                    self._so_far = replace(self._so_far, already=self._so_far.already + 1)
                else:
                    read.append(one)
            self._claim(read)

    def _staging(self) -> contextlib.AbstractContextManager[Path | None]:
        return (
            self._store.staging() if self._store and not self._dry_run else contextlib.nullcontext()
        )

    def _claim(self, read: Sequence[_Read]) -> None:
        claims = [
            Claim(one.path, one.seen, one.content, one.facts, one.staged)
            for one in read
            if one.staged
        ]
        refusals = self._store.claim(claims) if self._store and claims else [None] * len(read)
        for one, why in zip(read, refusals, strict=True):
            if why is None:
                so_far = self._so_far
                self._so_far = replace(
                    so_far,
                    files=so_far.files + 1,
                    bytes=so_far.bytes + one.content.size,
                    copied=so_far.copied + one.copied,
                )
            else:
                self._skip(SkippedFile(one.path, why))

    def _skip(self, one: SkippedFile) -> None:
        self._so_far = replace(self._so_far, skipped=self._so_far.skipped + 1)
        self._on_skipped(one.path, one.why)

    # On threads of the pool.

    def _look(
        self, file: WalkedFile, known: Content | None, staged: Path | None
    ) -> _Read | SkippedFile | _Known:
        try:
            if known is not None:
                return self._compare(file, known)
            if file.status.st_size <= LARGE_BYTES:
                return self._read(file, staged)
            with self._large:
                return self._read(file, staged)
        except FlushError:
            raise
        except NotStored as error:  # the header cannot be read
            return SkippedFile(file.path, str(error))
        except OSError as error:
            if is_full(error):
                raise
            return SkippedFile(file.path, os.strerror(error.errno or 0))

    def _compare(self, file: WalkedFile, known: Content) -> _Known | SkippedFile:
        assert self._store
        is_known = self._store.claims.is_object(file.status, known) or (
            file.status.st_size == known.size
            and digest_of(os.path.join(self._root, file.path.encode())) == known.digest
        )
        return _Known() if is_known else SkippedFile(file.path, conflict_reason(known, None))

    def _read(self, file: WalkedFile, staged: Path | None) -> _Read | SkippedFile:
        with open_for_reading(os.path.join(self._root, file.path.encode())) as opened:
            seen = os.fstat(opened.fileno())
            format = (
                formats.sniff(os.pread(opened.fileno(), SNIFF_BYTES, 0))
                if stat.S_ISREG(seen.st_mode)
                else None
            )
            if format is None:
                return SkippedFile(file.path, "its content is not an image")
            if seen.st_size > BYTES_MAX:
                return SkippedFile(file.path, "it is larger than 1 GiB")
            data = opened.readall()
            if len(data) != seen.st_size or not is_same(seen, os.fstat(opened.fileno())):
                return SkippedFile(file.path, CHANGED)
            facts = self._facts_of(data, format)
            content = Content(hashlib.sha256(data).hexdigest(), len(data))
            copied = bool(
                staged
                and self._store
                and self._store.claims.stage(file.path, opened, data, content, staged)
            )
            return _Read(file.path, seen, content, facts, staged, copied)


def _raised_anyway(_error: FlushError) -> None:
    """By the call that met it."""
