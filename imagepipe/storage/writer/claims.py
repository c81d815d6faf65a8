"""Files that are already in the tree become images in place: the part of `adopt` that changes the
store.

    stage     on the caller's thread: the object is a hard link of the very file, flushed; a copy
              where that cannot be, or where the file has other names
    claim     on the writer's thread: rows in one transaction; the tree is not changed, for it shows
              them already

A file with other names (hard links) is copied, because the object could be edited through one of
them. The file itself then stays as it is, with its own mode, and counts as ours by its bytes. All
other files get the mode of an image.

A row's version is as old as the file: two nodes that adopt equal trees then agree without a
conflict, and what is newer elsewhere, a delete too, wins. Only where this node knows that the path
was deleted it is a write of now: the file was put there by hand, and after that.
"""

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from imagepipe.core.rows.entries import Content, Entry, ImageFacts
from imagepipe.core.rows.stamp import COUNTER_BITS, Version
from imagepipe.core.rows.versions import next_versions
from imagepipe.errors import quoted
from imagepipe.storage.catalogue.catalogue import Catalogue
from imagepipe.storage.disk import status_of
from imagepipe.storage.objects import Objects
from imagepipe.storage.tree.hard_links import LINKS_IMPOSSIBLE
from imagepipe.storage.tree.tree import Tree
from imagepipe.storage.writer.housekeeping import Housekeeping
from imagepipe.storage.writer.tree_view import VisibleRows

_NOT_OURS_TO_CHANGE = LINKS_IMPOSSIBLE | {errno.EACCES, errno.EROFS}

CHANGED = "it has changed while it was read: adopt again"


@dataclass(frozen=True, slots=True)
class Claim:
    """A file in the tree that is to become the image at `path`. seen: the file when its bytes were
    read. staged: what becomes its object.
    """

    path: str
    seen: os.stat_result
    content: Content
    facts: ImageFacts
    staged: Path


class Claims:
    """`claim` is for the writer's thread, the rest for any."""

    def __init__(
        self,
        catalogue: Catalogue,
        tree: Tree,
        objects: Objects,
        housekeeping: Housekeeping,
        now_ms: Callable[[], int],
    ) -> None:
        self._catalogue = catalogue
        self._tree = tree
        self._objects = objects
        self._housekeeping = housekeeping
        self._now_ms = now_ms

    def is_object(self, status: os.stat_result, content: Content) -> bool:
        """Whether `status` is of a link to the object."""
        return self._objects.is_link(status, content.digest)

    def stage(self, path: str, file: FileIO, data: bytes, content: Content, staged: Path) -> bool:
        """Make `staged` of the file at `path`, which is open and holds `data`; whether it had to be
        copied. Raises OSError, FlushError.
        """
        seen = os.fstat(file.fileno())
        # it was being adopted when the power went
        names = 2 if self._objects.is_link(seen, content.digest) else 1
        if seen.st_nlink == names:
            try:
                os.link(self._tree.place_of(path), os.fsencode(staged), follow_symlinks=False)
                self._objects.seal(file.fileno(), staged)
            except OSError as error:
                if error.errno not in _NOT_OURS_TO_CHANGE:
                    raise
                staged.unlink(missing_ok=True)
            else:
                return False
        with staged.open("xb") as copy:
            copy.write(data)
            copy.flush()
            self._objects.seal(copy.fileno(), staged)
        return True

    def claim(self, claims: Sequence[Claim]) -> list[str | None]:
        """Write their rows, on the disk when this returns; for each why it was not done, or None.
        Raises NotStored on a full disk; FlushError.
        """
        catalogue = self._catalogue
        catalogue.begin()
        try:
            refusals, entries = self._decide(claims)
            if entries:
                facts = {one.content.digest: one.facts for one in claims}
                catalogue.put(entries, facts)
            catalogue.commit()
        except BaseException:
            catalogue.roll_back()
            raise
        for entry in entries:
            # the program that put the files there may not have flushed their names
            self._tree.mark_changed(entry.path)
        if entries:
            self._housekeeping.committed(entries, (), set())
        return refusals

    def _decide(self, claims: Sequence[Claim]) -> tuple[list[str | None], list[Entry]]:
        refusals: list[str | None] = []
        entries: list[Entry] = []
        visible = VisibleRows(self._catalogue)
        seq, now_ms = self._catalogue.last_seq, self._now_ms()
        for one in claims:
            old = self._catalogue.entry(one.path)
            why = self._refusal(one, old, visible)
            refusals.append(why)
            if why is None:
                seq += 1
                entries.append(
                    Entry(
                        one.path,
                        self._version(one, old, now_ms),
                        old.version if old else None,
                        one.content,
                        seq,
                    )
                )
        return refusals, entries

    def _version(self, one: Claim, old: Entry | None, now_ms: int) -> Version:
        node = self._catalogue.node_id
        if old is None:
            return Version(_stamp_of(one.seen, now_ms), node)
        return next_versions([one.path], node, now_ms, self._catalogue.known_at)[one.path]

    def _refusal(self, one: Claim, old: Entry | None, visible: VisibleRows) -> str | None:
        if old is not None and old.content is not None:
            return conflict_reason(old.content, one.content)
        for other in visible.related(one.path):
            return f"the catalogue has an image {quoted(other.path)}, which is above or below it"
        now = status_of(self._tree.place_of(one.path))
        return None if now is not None and is_same(one.seen, now) else CHANGED


def conflict_reason(known: Content, found: Content | None) -> str:
    """Why a file is not taken in where the catalogue has an image."""
    if known == found:
        return "it is in the catalogue already"
    return (
        "the catalogue has another image here: delete that, or move this file away; imagepipe"
        " verify tells more"
    )


def is_same(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether a file was neither replaced nor written to between two looks at it."""
    return os.path.samestat(one, other) and (one.st_size, one.st_mtime_ns) == (
        other.st_size,
        other.st_mtime_ns,
    )


def _stamp_of(seen: os.stat_result, now_ms: int) -> int:
    """When the file was last written to; within reason, for a clock may have been wrong."""
    return min(max(seen.st_mtime_ns // 1_000_000, 1), now_ms) << COUNTER_BITS
