"""Makes the tree show states again, whatever it shows now: after a crash, or after a failed apply.

What a path showed before is no longer known. A file there counts as ours if its bytes are those of
an object; that is why the objects of replaced versions are kept until the tree is flushed.
"""

from collections.abc import Mapping

from twisted.logger import Logger

from imagepipe.errors import FlushError, NotStored
from imagepipe.storage.objects import Objects
from imagepipe.storage.tree.changes import Replacement
from imagepipe.storage.tree.tree import Tree

_log = Logger()


def restore_visible(states: Mapping[str, str | None], tree: Tree, objects: Objects) -> set[str]:
    """Make the tree show at each path a digest, or nothing; returns the paths for which that failed
    and may succeed later.

    What is gone is removed first: it may be in the way of an image below or above it.
    """
    failed: set[str] = set()
    for path, after in sorted(states.items(), key=lambda state: (state[1] is not None, state[0])):
        try:
            if after is not None and tree.shows_object(path, after):
                continue
            there = tree.shows(path)
            if after is None and there is None:
                continue
            before = there if there is not None and objects.status(there) is not None else None
            failed.update(tree.apply(tree.prepare([Replacement(path, before, after)])))
        except FlushError:
            raise
        except NotStored as error:  # a stranger's file, or bytes that are missing
            _log.critical(
                "the tree does not show {path} as it should: {error}", path=path, error=error
            )
        except OSError as error:
            _log.critical(
                "the tree does not show {path} as it should: {error}", path=path, error=error
            )
            failed.add(path)
    return failed
