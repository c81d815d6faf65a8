"""`a` and `a/b` cannot both be stored: a file system has no place that is a file and a folder.

What counts is the net result of a call: `a` may move to `a/b`. What two nodes did without having
heard of each other is another matter: showing.py.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from imagepipe.core.paths import ancestors
from imagepipe.core.rows.entries import Entry, PathChange
from imagepipe.core.rows.visibility import is_above
from imagepipe.errors import Conflict, quoted


def check_nesting(
    changes: Sequence[PathChange],
    before: Mapping[str, Entry | None],
    related: Callable[[str], Iterable[Entry]],
    argument: str,
) -> bool:
    """Raise Conflict, naming `argument`, if `changes` would put one image below another; whether
    there are images above or below what they change.

    `before`, the rows of the changed paths, and `related`, the live rows above and below a path,
    are the state before.
    """
    after = {change.path: change.content for change in changes}
    nested = False
    for path, content in after.items():
        if content is None:
            old = before[path]
            nested = nested or (
                old is not None and old.content is not None and any(True for _ in related(path))
            )
            continue
        for ancestor in ancestors(path):
            if after.get(ancestor) is not None:
                raise Conflict(
                    argument, f"{quoted(path)} would lie below the image {quoted(ancestor)}"
                )
        for other in related(path):
            # one that stays and is among the changes is, or has, an ancestor among them
            if other.path not in after:
                side = "below" if is_above(other.path, path) else "above"
                raise Conflict(
                    argument, f"{quoted(path)} would lie {side} the image {quoted(other.path)}"
                )
            nested = True
    return nested
