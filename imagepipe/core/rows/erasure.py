"""Erasing: a path is deleted, and of what lost a conflict at it nothing is kept, on any node.

    a/b.jpg             a delete like any other
    .erased/a/b.jpg     a row that is always a delete, at a path that no image can have: nothing
                        that lost at a/b.jpg up to its version is kept

Both are written as one, with one version. The second stays when an image is stored at the path
again, and travels as every row does, so that a node that was away drops what it kept, and keeps
nothing that it hears of later.
"""

from collections.abc import Mapping

from imagepipe.core.rows.entries import Entry

FOLDER = ".erased/"
"""No path of an image begins with a dot."""


def erasure_path(path: str) -> str:
    """The path of the row that says that `path` was erased."""
    return FOLDER + path


def erased_path(path: str) -> str | None:
    """The path that a row at `path` says was erased; None: it says nothing of the kind."""
    return path.removeprefix(FOLDER) if path.startswith(FOLDER) else None


def is_erased(loser: Entry, erasures: Mapping[str, Entry | None]) -> bool:
    """Whether nothing may be kept of `loser`; `erasures`: the rows by their paths, that of its
    erasure among them if there is one.
    """
    erasure = erasures.get(erasure_path(loser.path))
    return erasure is not None and loser.version <= erasure.version
