"""The versions of a write: one for all paths of a call.

    above the wall clock                  of two nodes that write without hearing of each other, the
                                          later one wins
    above every row known of its paths    this node's, deletes included, and those that wait for
                                          their bytes

So a write wins over everything that its node has heard of at that path, whatever the clocks say,
while a stamp from the future affects the path that it was given to and no other. Because all paths
of a call share a version, one of two calls that store the same outputs wins in all of them.

The exception is a path with a stamp that no clock reaches. A peer has forged it, perhaps so that
nothing can exceed it but a little, and a call must not give such a stamp to its other paths. So the
path has a version of its own.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from imagepipe.core.rows.entries import Entry
from imagepipe.core.rows.erasure import erased_path, erasure_path
from imagepipe.core.rows.stamp import Version, is_forged, next_stamp

FUTURE_SECONDS = 3600
"""Images that are dated further ahead of the clock than this are worth a warning."""


@dataclass(frozen=True, slots=True)
class FutureStamps:
    """Live images whose stamps are more than FUTURE_SECONDS ahead of this node's clock: how many,
    and the path of the one furthest ahead and by how many seconds.
    """

    images: int
    path: str
    seconds: float


def next_versions(
    paths: Iterable[str],
    node: str,
    wall_milliseconds: int,
    known_at: Callable[[str], Iterable[Entry]],
) -> dict[str, Version]:
    """The version of what `node` writes to each of `paths` now; `known_at` returns all rows that it
    knows of a path.

    A path and the row that erases it count as one: an image stored after an erasure was heard of is
    not erased by it.
    """
    stamps: dict[str, list[int]] = {}
    for path in paths:
        bare = erased_path(path) or path
        stamps[path] = [
            entry.version.stamp for place in (bare, erasure_path(bare)) for entry in known_at(place)
        ]
    of_clocks = (stamp for known in stamps.values() for stamp in known if not is_forged(stamp))
    shared = next_stamp(wall_milliseconds, of_clocks)
    versions = {}
    for path, known in stamps.items():
        own = any(map(is_forged, known))
        versions[path] = Version(next_stamp(wall_milliseconds, known) if own else shared, node)
    return versions
