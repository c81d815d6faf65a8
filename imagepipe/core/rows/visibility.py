"""What of the map the served tree shows, where two nodes have stored `a` and `a/b` without having
heard of each other.

A file system has no place that is a file and a folder. Both rows stay live; the one with the
greater version is shown and the other is hidden until the first is deleted. This is worked out from
the map alone and never written into it, so that it is the same on every node.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from imagepipe.core.rows.entries import Content, Entry, wins


@dataclass(frozen=True, slots=True)
class Hidden:
    """A live row that the tree does not show, because `by`, above or below it, is greater; of
    several such rows the greatest.
    """

    entry: Entry
    by: Entry


def visible(entry: Entry | None, related: Iterable[Entry]) -> Content | None:
    """What the tree shows at the path of `entry`, whose ancestors' and descendants' rows are
    `related`; None: nothing.
    """
    if entry is None or entry.content is None:
        return None
    return (
        None
        if any(other.content is not None and wins(other, entry) for other in related)
        else entry.content
    )


def is_above(one: str, other: str) -> bool:
    """Whether the path `one` would have to be a folder for `other` to be a file."""
    return other.startswith(one + "/")


def all_hidden(live: Iterable[Entry]) -> list[Hidden]:
    """All rows that are hidden, in order of their paths; `live` are the live rows, in that
    order.
    """
    hidden: dict[str, Hidden] = {}
    # those below whose paths, and the few that lie between ("a-b" is between "a" and "a/b"), the
    # walk is now
    above: list[Entry] = []

    def note(entry: Entry, by: Entry) -> None:
        known = hidden.get(entry.path)
        if known is None or wins(by, known.by):
            hidden[entry.path] = Hidden(entry, by)

    for entry in live:
        # "0" follows "/": all below it has been passed
        while above and entry.path >= above[-1].path + "0":
            above.pop()
        for ancestor in above:
            if is_above(ancestor.path, entry.path):
                if wins(entry, ancestor):
                    note(ancestor, entry)
                else:
                    note(entry, ancestor)
        above.append(entry)
    return [hidden[path] for path in sorted(hidden)]
