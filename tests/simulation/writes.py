"""What clients ask for: put, delete, erase and move on few nested paths, as operations.py would do
it.
"""

import random
from collections.abc import Callable

from imagepipe.core.paths import ancestors
from imagepipe.core.rows.entries import PathChange, net_moves
from imagepipe.core.rows.erasure import erasure_path
from imagepipe.errors import BadRequest
from tests.simulation.contents import CONTENTS
from tests.simulation.disk import Disk

PATHS = ("a", "a/b", "a/b/c", "b", "b/x", "c", "d/e", "d/e/f", "d/g")


def random_write(rng: random.Random) -> Callable[[Disk], tuple[PathChange, ...]]:
    """A call. What it changes is decided when its turn comes; nothing, if it is refused."""
    kind = rng.random()
    if kind < 0.6:
        content = rng.choice(CONTENTS)
        return put(
            *(
                (path, rng.choice((content, rng.choice(CONTENTS))))
                for path in rng.sample(PATHS, rng.choice((1, 1, 2, 3)))
            )
        )
    if kind < 0.8:
        paths = rng.sample(PATHS, rng.choice((1, 1, 2)))
        return put(*((path, None) for path in paths)) if kind < 0.75 else erase(*paths)
    pairs = tuple(
        (source, destination)
        for source, destination in [rng.sample(PATHS, 2) for _ in range(rng.choice((1, 1, 2)))]
    )
    return lambda disk: _checked(disk, _moves(disk, pairs))


def put(*pairs: object) -> Callable[[Disk], tuple[PathChange, ...]]:
    """Give paths contents, or delete them (None)."""
    changes = tuple(PathChange(*pair) for pair in pairs)  # type: ignore[misc]
    return lambda disk: _checked(disk, changes)


def erase(*paths: str) -> Callable[[Disk], tuple[PathChange, ...]]:
    """Delete paths, and what lost a conflict there."""
    return put(*((row, None) for path in paths for row in (path, erasure_path(path))))


def _moves(disk: Disk, pairs: tuple[tuple[str, str], ...]) -> tuple[PathChange, ...]:
    try:
        return net_moves(pairs, disk.content_of)
    except BadRequest:
        return ()


def _checked(disk: Disk, changes: tuple[PathChange, ...]) -> tuple[PathChange, ...]:
    after = {path: entry.content for path, entry in disk.rows.items()} | {
        change.path: change.content for change in changes
    }
    for change in changes:
        for path in after:
            if (
                change.content
                and after[path]
                and path != change.path
                and (path in ancestors(change.path) or change.path in ancestors(path))
            ):
                return ()
    return changes
