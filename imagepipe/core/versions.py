"""The version of a write: one for all paths of a call.

    above the wall clock                  of two nodes that write without hearing of each other, the later one wins
    above every row known of its paths    this node's, deletes included, and those that wait for their bytes

So a write wins over everything that its node has heard of at that path, whatever the clocks say, while a stamp from the
future affects the path that it was given to and no other. Because all paths of a call share a version, one of two
calls that store the same outputs wins in all of them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from imagepipe.core.entries import Entry
from imagepipe.core.erasure import erasure_path
from imagepipe.core.stamp import Version, next_stamp

AHEAD_SECONDS = 3600
"""Images that are dated further ahead of the clock than this are worth a warning."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """`images` live images are dated more than AHEAD_SECONDS ahead of this node's clock, the one at `path` furthest: `seconds`."""

    images: int
    path: str
    seconds: float


def next_version(paths: Iterable[str], node: str, wall_milliseconds: int, known_at: Callable[[str], Iterable[Entry]]) -> Version:
    """The version of what `node` writes to `paths` now; `known_at` returns all rows that it knows of a path.

    The row that erases a path counts as one of it: an image stored after that was heard of is not erased by it.
    """
    around = dict.fromkeys(place for path in paths for place in (path, erasure_path(path)))
    return Version(next_stamp(wall_milliseconds, (entry.version.stamp for place in around for entry in known_at(place))), node)
