"""What the tree shows of the rows, where an image and a folder are at one place:
core.rows.visibility, asked of the catalogue.

Rows that lie above or below another live row are rare: only two nodes that had not heard of each
other can make them. All others are shown as they are, and that this is so costs a look for each
folder above a path, and one for what is below it.
"""

from collections.abc import Iterable, Iterator, Mapping

from imagepipe.core.paths import ancestors
from imagepipe.core.rows.entries import Entry, PathChange
from imagepipe.core.rows.visibility import is_above, visible
from imagepipe.storage.catalogue.catalogue import Catalogue
from imagepipe.storage.tree.changes import Replacement


class VisibleRows:
    """The rows as the transaction under way sees them; of use until they change again. On the
    writer's thread alone.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._folders: dict[str, Entry | None] = {}

    def related(self, path: str) -> Iterator[Entry]:
        """The live rows above and below a path."""
        for folder in ancestors(path):
            if folder not in self._folders:
                self._folders[folder] = self._catalogue.entry(folder)
            entry = self._folders[folder]
            if entry is not None and entry.content is not None:
                yield entry
        yield from self._catalogue.live_below(path)

    def states(self, paths: Iterable[str]) -> dict[str, str | None]:
        """What the tree is to show at `paths` and at those that they may hide: digests, or None for
        nothing.
        """
        around = dict.fromkeys(paths)
        for path in tuple(around):
            around.update(dict.fromkeys(entry.path for entry in self.related(path)))
        return {
            path: self._shown(self._catalogue.entry(path), self.related(path)) for path in around
        }

    def replacements(
        self, before: Mapping[str, Entry | None], after: Mapping[str, Entry]
    ) -> list[Replacement]:
        """How the tree changes when rows have changed from `before` to `after`, at their own paths
        and at those that they hide or hid.
        """
        live = {path: entry for path, entry in before.items() if _is_live(entry)}
        around: dict[str, Entry] = {}
        for path, entry in after.items():
            if path in live or _is_live(entry):
                around.update(
                    (other.path, other) for other in self.related(path) if other.path not in after
                )
        if (
            not around
            and not _nested(live)
            and not _nested({path for path, entry in after.items() if _is_live(entry)})
        ):
            return plain(before, after.values())
        now: dict[str, Entry] = {**around, **after}
        replacements = []
        for path, entry in now.items():
            related = list(self.related(path))
            earlier = [other for other in related if other.path not in after]
            earlier += [
                other
                for other in live.values()
                if other is not None and _are_related(other.path, path)
            ]
            old = self._shown(before.get(path, entry), earlier)
            new = self._shown(entry, related)
            if old != new or (new is not None and path in after):
                replacements.append(Replacement(path, old, new))
        return replacements

    @staticmethod
    def _shown(entry: Entry | None, related: Iterable[Entry]) -> str | None:
        content = visible(entry, related)
        return content.digest if content else None


def plain(
    before: Mapping[str, Entry | None], after: Iterable[Entry | PathChange]
) -> list[Replacement]:
    """The same where no row lies above or below another. A delete of what was not there changes
    nothing.
    """
    return [
        Replacement(one.path, _digest(before[one.path]), _digest(one))
        for one in after
        if _is_live(before[one.path]) or _is_live(one)
    ]


def lost_digests(before: Mapping[str, Entry | None], after: Iterable[Entry]) -> set[str]:
    """The digests that no longer have the row that they had."""
    return {
        old
        for entry in after
        if (old := _digest(before[entry.path])) is not None and old != _digest(entry)
    }


def _nested(paths: Iterable[str]) -> bool:
    known = set(paths)
    return any(folder in known for path in known for folder in ancestors(path))


def _are_related(one: str, other: str) -> bool:
    return is_above(one, other) or is_above(other, one)


def _is_live(entry: Entry | PathChange | None) -> bool:
    return entry is not None and entry.content is not None


def _digest(entry: Entry | PathChange | None) -> str | None:
    return entry.content.digest if entry and entry.content else None
