"""What of the map the served tree shows, where two nodes have stored `a` and `a/b` without having heard of each other.

A file system has no place that is a file and a folder. Both rows stay live; the one with the greater version is shown and the other is hidden until
the first is deleted. This is worked out from the map alone and never written into it, so that it is the same on every node.
"""

from collections.abc import Iterable

from imagepipe.core.entries import Content, Entry, wins


def shown(entry: Entry | None, related: Iterable[Entry]) -> Content | None:
    """What the tree shows at the path of `entry`, whose ancestors' and descendants' rows are `related`; None: nothing."""
    if entry is None or entry.content is None:
        return None
    return None if any(other.content is not None and wins(other, entry) for other in related) else entry.content
