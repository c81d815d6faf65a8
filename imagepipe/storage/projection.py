"""Showing a row's state in the tree again, whatever the tree shows now: after a crash, or after an apply that failed.

What a path showed before the row is no longer known. A file there counts as ours if its bytes are those of an object: the objects of replaced
versions are kept until the tree is flushed, so that this can be told.
"""

from collections.abc import Sequence

from twisted.logger import Logger

from imagepipe.core.entries import Entry
from imagepipe.errors import FlushError, NotStored
from imagepipe.storage.objects import Objects
from imagepipe.storage.tree import Replacement, Tree

_log = Logger()


def show_again(entries: Sequence[Entry], tree: Tree, objects: Objects) -> set[str]:
    """Make the tree show what `entries` say; returns the paths for which that failed and may succeed later.

    What is gone is removed first: a tombstone may be younger than an image that now lies below its path.
    """
    failed: set[str] = set()
    for entry in sorted(entries, key=lambda entry: (entry.content is not None, entry.seq)):
        after = entry.content.digest if entry.content else None
        try:
            if after is not None and tree.shows_object(entry.path, after):
                continue
            shown = tree.shows(entry.path)
            before = shown if shown is not None and objects.status(shown) is not None else None
            failed.update(tree.apply(tree.prepare([Replacement(entry.path, before, after)])))
        except FlushError:
            raise
        except NotStored as error:  # a stranger's file, or bytes that are missing
            _log.critical("the tree does not show {path} as it should: {error}", path=entry.path, error=error)
        except OSError as error:
            _log.critical("the tree does not show {path} as it should: {error}", path=entry.path, error=error)
            failed.add(entry.path)
    return failed
