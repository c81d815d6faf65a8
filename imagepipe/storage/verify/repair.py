"""What the tree shows of an image, looked at, and put right: the part of `verify` that is for the
writer's thread.

nothing there                       linked again
another file, link or folder        moved aside, never destroyed, and ours put in its place

.imagepipe/found/20250131T120000Z-7-photo.jpg       what was moved aside; the log says from where
"""

# Names in the tree are bytes, as the disk has them, whatever the locale says; Path knows only text.

import contextlib
import datetime as dt
import enum
import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from twisted.logger import Logger

from imagepipe.core.rows.entries import Entry
from imagepipe.errors import NotStored, quoted
from imagepipe.storage.catalogue.catalogue import Catalogue
from imagepipe.storage.disk import flush_folder, make_folder
from imagepipe.storage.tree.changes import Occupant, Replacement
from imagepipe.storage.tree.tree import Tree
from imagepipe.storage.writer.housekeeping import Housekeeping
from imagepipe.storage.writer.tree_view import VisibleRows

_NAME_BYTES_MAX = 200

_log = Logger()


class TreeState(enum.Enum):
    """What a second look at a row and its file has shown: it is as it was seen; it is another; the
    row is gone, or its path is hidden.
    """

    SAME = "same"
    CHANGED = "changed"
    GONE = "gone"


class Repairs:
    """On the writer's thread alone. `found` is the folder for what is moved aside."""

    def __init__(
        self,
        catalogue: Catalogue,
        tree: Tree,
        housekeeping: Housekeeping,
        found: Path,
        now_ms: Callable[[], int],
    ) -> None:
        self._catalogue = catalogue
        self._tree = tree
        self._housekeeping = housekeeping
        self._found = os.fsencode(found)
        self._now_ms = now_ms
        self._numbers = itertools.count(1)

    def current(self, entries: Sequence[Entry]) -> list[Entry]:
        """Those that are still rows."""
        return [entry for entry in entries if self._catalogue.entry(entry.path) == entry]

    def inspect(self, entry: Entry, occupant: Occupant) -> TreeState:
        """Whether the row is still there, its image to be shown, and what lies in its place what it
        was.
        """
        if (
            not self.current([entry])
            or VisibleRows(self._catalogue).states([entry.path])[entry.path] is None
        ):
            return TreeState.GONE
        return (
            TreeState.SAME if self._tree.occupant_of(entry.path) == occupant else TreeState.CHANGED
        )

    def repair(self, entry: Entry, occupant: Occupant) -> str | None:
        """Show the image of `entry`, in whose place or way there `lies` something, or nothing;
        where that is now, if it was moved aside.

        Nothing is changed unless all is as it was seen. Raises NotStored, OSError where it cannot
        be done.
        """
        assert entry.content
        if self.inspect(entry, occupant) is not TreeState.SAME:
            raise NotStored("it changed while it was being checked")
        aside = self._move_to_found(occupant.place) if occupant.status else None
        try:
            failed = self._tree.apply(
                self._tree.prepare([Replacement(entry.path, None, entry.content.digest)])
            )
        except BaseException:
            if aside:
                os.rename(aside, occupant.place)
            raise
        self._housekeeping.repaired(())
        if failed:
            raise NotStored("its folder cannot be written to")
        return _shown_aside(aside) if aside else None

    def move_to_found(self, name: bytes, *, move: bool) -> str | None:
        """Move aside what lies at a path, or with `move` off only look; where it is now, or empty;
        None where there is nothing, or an image by now.

        Raises OSError where it cannot be moved.
        """
        place = self._tree.place_of_name(name)
        if not os.path.lexists(place) or (_is_text(name) and self._is_near_an_image(name.decode())):
            return None
        if not move:
            return ""
        aside = self._move_to_found(place)
        self._housekeeping.repaired(())
        return _shown_aside(aside)

    def _is_near_an_image(self, path: str) -> bool:
        entry = self._catalogue.entry(path)
        return (entry is not None and entry.content is not None) or next(
            VisibleRows(self._catalogue).related(path), None
        ) is not None

    def repaired(self, digests: Sequence[str]) -> None:
        """Objects have their right bytes again."""
        self._housekeeping.repaired(digests)

    def _move_to_found(self, place: bytes) -> bytes:
        with contextlib.suppress(FileExistsError):
            make_folder(self._found, 0o700)
            flush_folder(os.path.dirname(self._found))
        when = (
            dt.datetime.fromtimestamp(self._now_ms() / 1000, dt.UTC)
            .strftime("%Y%m%dT%H%M%SZ")
            .encode()
        )
        for number in self._numbers:
            aside = os.path.join(
                self._found, b"%b-%d-%b" % (when, number, os.path.basename(place)[:_NAME_BYTES_MAX])
            )
            if not os.path.lexists(aside):
                break
        os.rename(place, aside)
        flush_folder(self._found)
        self._tree.changed_folders.add(os.path.dirname(place))
        _log.warn(
            "{place} was moved to {aside}",
            place=quoted(os.fsdecode(place), 400),
            aside=os.fsdecode(aside),
        )
        return aside


def _shown_aside(aside: bytes) -> str:
    return os.path.join(b".imagepipe/found", os.path.basename(aside)).decode("utf-8", "replace")


def _is_text(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
