"""The served tree: exactly the live images, each a hard link to its object.

    prepare   make the folders, and beside each final name a link to the object under a temporary
        name    may be refused; undone whole
    apply     remove what goes, prune the emptied folders, rename the links into place
        after the commit; must not fail

    a/b.jpg                                 what a reader sees: the old image, then the new one,
                                            never half of either
    a/.imagepipe-5f0c31e2a9b87d46-17        the link of the 17th change of this run, until it is
                                            renamed

Nothing is removed or replaced that imagepipe did not put there. A file is ours if the catalogue
says that the path shows some bytes, and the file is a link to their object or, where links were
impossible, has these bytes. All else is a stranger's: every symbolic link, and what lies behind
one.

Used by one thread alone. That is what keeps a folder from being pruned between its making and its
first file.
"""

# Names in the tree are bytes, as the disk has them, whatever the locale says; Path knows only text.

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from twisted.logger import Logger

from imagepipe.errors import NotStored, quoted
from imagepipe.storage.disk import digest_of, make_folder, status_of
from imagepipe.storage.objects import Objects
from imagepipe.storage.tree.changed_folders import ChangedFolders
from imagepipe.storage.tree.changes import Occupant, PreparedChanges, Replacement, StagedLink
from imagepipe.storage.tree.hard_links import link_or_copy
from imagepipe.storage.tree.names import is_leftover, temporary_name

_log = Logger()


class Tree:
    """The tree below `root`; `run` (16 hex digits) marks the temporary names of this run of the
    daemon. `link` makes a hard link.
    """

    def __init__(
        self,
        root: Path,
        objects: Objects,
        run: str,
        folder_mode: int,
        link: Callable[[bytes, bytes], None] = os.link,
    ) -> None:
        self._root = os.fsencode(root)
        self._objects = objects
        self._run = run
        self._folder_mode = folder_mode
        self._make_link = link
        self._number = 0
        self.changed_folders = ChangedFolders()

    def prepare(self, replacements: Sequence[Replacement]) -> PreparedChanges:
        """Do all that may fail. Raises NotStored for a stranger's file, OSError for want of space
        or rights; the tree is then as it was.
        """
        prepared = PreparedChanges(tuple(replacements))
        leaving = {
            self.place_of(one.path): one.before
            for one in replacements
            if one.before is not None and one.after is None
        }
        try:
            for one in replacements:
                if one.after is not None:
                    self._prepare_link(one, one.after, leaving, prepared)
                elif one.before is not None:
                    self._check_removable(one.path)
        except BaseException:
            self.undo(prepared)
            raise
        return prepared

    def undo(self, prepared: PreparedChanges) -> None:
        """Take back what `prepare` made."""
        for link in prepared.links.values():
            self._drop(link.temporary)
        for folder in reversed(prepared.folders):
            with contextlib.suppress(OSError):  # another call's link may be in it by now
                os.rmdir(folder)

    def apply(self, prepared: PreparedChanges) -> tuple[str, ...]:
        """Make readers see the change: first what goes, then what comes. Returns the paths whose
        change failed, which `prepare` should make impossible.
        """
        failed = []
        for folder in prepared.folders:
            self.changed_folders.add(os.path.dirname(folder))
        for one in sorted(prepared.replacements, key=lambda one: one.after is not None):
            try:
                if one.after is None:
                    self._unlink(one)
                elif one.path in prepared.links:
                    self._rename_into_place(one.path, prepared.links[one.path])
            except OSError as error:
                _log.critical(
                    "the tree does not show {path} as it should: {error}",
                    path=one.path,
                    error=error,
                )
                failed.append(one.path)
                if one.path in prepared.links:
                    self._drop(prepared.links[one.path].temporary)
        return tuple(failed)

    def shows(self, path: str) -> str | None:
        """The digest of the file at `path`, read from its bytes; None where no file is."""
        place = self.place_of(path)
        status = status_of(place) if self._reaches(place) else None
        return digest_of(place) if status is not None and stat.S_ISREG(status.st_mode) else None

    def shows_object(self, path: str, digest: str) -> bool:
        """Whether the file at `path` is a link to the object."""
        place = self.place_of(path)
        status = status_of(place) if self._reaches(place) else None
        return status is not None and self._objects.is_link(status, digest)

    def occupant_of(self, path: str) -> Occupant:
        """What lies in the place of a path, or in the way to it; for any thread."""
        place = self.place_of(path)
        for folder in self._folders_to(place):
            status = status_of(folder)
            if status is None or not stat.S_ISDIR(status.st_mode):
                return Occupant(folder, status, is_file=False, mark=_mark(status))
        status = status_of(place)
        return Occupant(
            place,
            status,
            is_file=status is not None and stat.S_ISREG(status.st_mode),
            mark=_mark(status),
        )

    def place_of(self, path: str) -> bytes:
        """Where the file of a path is, or would be."""
        return os.path.join(self._root, path.encode())

    @property
    def root(self) -> bytes:
        """The folder that it begins with."""
        return self._root

    def place_of_name(self, name: bytes) -> bytes:
        """The same for what has a name that no image may have."""
        return os.path.join(self._root, name)

    def mark_changed(self, path: str) -> None:
        """The names on the way to the file at `path` may not be on the disk."""
        self.changed_folders.add(self._root)
        for folder in self._folders_to(self.place_of(path)):
            self.changed_folders.add(folder)

    def _prepare_link(
        self,
        one: Replacement,
        after: str,
        leaving: Mapping[bytes, str | None],
        prepared: PreparedChanges,
    ) -> None:
        place = self.place_of(one.path)
        folder = self._root
        deferred = False
        for inner in self._folders_to(place):
            status = status_of(inner)
            if status is None:
                prepared.folders.append(inner)
                make_folder(inner, self._folder_mode)
            elif not stat.S_ISDIR(status.st_mode):
                if not self._is_ours(inner, status, leaving.get(inner)):
                    raise self._stranger(inner)
                deferred = True  # it goes with this very call, and only then can the folder be
                break
            folder = inner
        seen = None if deferred else status_of(place)
        if seen is not None:
            if stat.S_ISDIR(seen.st_mode):
                self._check_goes(place, leaving)
            elif not self._is_ours(place, seen, one.before):
                raise self._stranger(place)
            elif self._objects.is_link(seen, after):
                return  # a rename of one link of a file over another does nothing at all
        self._number += 1
        temporary = os.path.join(folder, temporary_name(self._run, self._number))
        prepared.links[one.path] = StagedLink(temporary, seen, deferred)
        self._link_object(after, temporary, one.path)

    def _check_removable(self, path: str) -> None:
        """Raise NotStored if the file at `path` could not be unlinked after the commit."""
        place = self.place_of(path)
        if status_of(place) is not None and not os.access(
            os.path.dirname(place), os.W_OK | os.X_OK
        ):
            raise NotStored(f"{quoted(path)}: its folder cannot be written to")

    def _rename_into_place(self, path: str, link: StagedLink) -> None:
        place = self.place_of(path)
        if link.deferred:
            for folder in self._folders_to(place):
                with contextlib.suppress(FileExistsError):
                    make_folder(folder, self._folder_mode)
                    self.changed_folders.add(os.path.dirname(folder))
        there = status_of(place)
        if there is not None and stat.S_ISDIR(there.st_mode):
            self._remove_folder(place)
        elif there is not None and not (link.seen and os.path.samestat(link.seen, there)):
            _log.critical(
                "{path} is not shown: a file that imagepipe did not put there has just appeared in"
                " its place",
                path=path,
            )
            self._drop(link.temporary)
            return
        os.rename(link.temporary, place)
        self.changed_folders.add(os.path.dirname(link.temporary))
        self.changed_folders.add(os.path.dirname(place))

    def _unlink(self, one: Replacement) -> None:
        place = self.place_of(one.path)
        if not self._reaches(place):
            return
        there = status_of(place)
        if there is not None:
            if not self._is_ours(place, there, one.before):
                _log.warn(
                    "{path} is left as it is: imagepipe did not put this file there", path=one.path
                )
                return
            os.unlink(place)
        if one.before is not None:
            folder = os.path.dirname(place)
            self.changed_folders.add(folder)
            self._prune(folder)

    def _prune(self, folder: bytes) -> None:
        while folder != self._root:
            try:
                os.rmdir(folder)
            except OSError:  # not empty: the one way to find out that leaves no gap
                return
            folder = self.changed_folders.removed(folder)

    def _remove_folder(self, top: bytes) -> None:
        """Remove a folder in which there are only empty folders and leftovers; OSError if there is
        more.
        """
        for folder, names in reversed(list(_walk(top))):
            for name in names:
                if is_leftover(name, self._run):
                    self._drop(os.path.join(folder, name))
            os.rmdir(folder)
            self.changed_folders.removed(folder)

    def _check_goes(self, top: bytes, leaving: Mapping[bytes, str | None]) -> None:
        """Raise NotStored if there is a file below `top` that this call does not take away."""
        for folder, names in _walk(top):
            for name in names:
                place = os.path.join(folder, name)
                status = status_of(place)
                if (
                    status is not None
                    and not is_leftover(name, self._run)
                    and not self._is_ours(place, status, leaving.get(place))
                ):
                    raise self._stranger(place)

    def _is_ours(self, place: bytes, status: os.stat_result, digest: str | None) -> bool:
        if digest is None or not stat.S_ISREG(status.st_mode):
            return False
        if self._objects.is_link(status, digest) or self._objects.is_link_to_replaced(status):
            return True
        object_ = self._objects.status(digest)
        return (object_ is None or object_.st_size == status.st_size) and digest_of(place) == digest

    def _link_object(self, digest: str, temporary: bytes, path: str) -> None:
        source = self._objects.place(digest)
        try:
            link_or_copy(self._make_link, source, temporary)
        except FileNotFoundError:
            _log.critical("the object {digest} is missing", digest=digest)
            raise NotStored(
                f"{quoted(path)}: the bytes of this image are missing: see imagepipe verify"
            ) from None

    def _drop(self, temporary: bytes) -> None:
        try:
            os.unlink(temporary)
        except FileNotFoundError:
            pass
        except OSError as error:
            _log.error("a temporary name could not be removed: {error}", error=error)

    def _reaches(self, place: bytes) -> bool:
        """Whether the way to `place` is of real folders alone."""
        statuses = (status_of(folder) for folder in self._folders_to(place))
        return all(status is not None and stat.S_ISDIR(status.st_mode) for status in statuses)

    def _folders_to(self, place: bytes) -> Iterator[bytes]:
        """The folders between the root and `place`, from above; one at a time, because most callers
        stop at the first that is missing.
        """
        end = place.find(b"/", len(self._root) + 1)
        while end >= 0:
            yield place[:end]
            end = place.find(b"/", end + 1)

    def _stranger(self, place: bytes) -> NotStored:
        path = place[len(self._root) + 1 :].decode("utf-8", "replace")
        return NotStored(
            f"{quoted(path)} is a file or a link that imagepipe did not put there: it is left as"
            " it is"
        )


def _walk(top: bytes) -> Iterator[tuple[bytes, list[bytes]]]:
    """Every folder from `top` down, with the names in it that are no folders."""
    folders = [top]
    while folders:
        folder = folders.pop()
        names = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    names.append(entry.name)
        yield folder, names


def _mark(status: os.stat_result | None) -> tuple[int, ...]:
    return (
        ()
        if status is None
        else (status.st_dev, status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns)
    )
