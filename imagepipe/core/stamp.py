"""Versions: hybrid logical clock values (replication.md, section 3).

    stamp = max(wall clock in ms << 16, last stamp + 1)

The upper 48 bits are milliseconds since 1970, the lower 16 count what happened within one. The last stamp includes every one received,
so a node that saw a version always writes a greater one, whatever the clocks say. Ties go by origin.
"""

from dataclasses import dataclass

from imagepipe.errors import NotStored

COUNTER_BITS = 16
STAMP_MAX = 1 << 62
"""A stamp above this is malformed: it would leave no room to write over it."""

_CLOCK_MAX = 1 << 61


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """Which of two writes of one path is the newer: the greater. `origin` is the node id of the writer."""

    stamp: int
    origin: str


def next_stamp(wall_milliseconds: int, last: int) -> int:
    """The stamp of a write now, on a node whose newest known stamp is `last`.

    However wrong the clock is, it leaves room for more writes than there will be. Raises NotStored where a peer has told of a stamp that does not.
    """
    stamp = max(min(wall_milliseconds << COUNTER_BITS, _CLOCK_MAX), last + 1)
    if stamp > STAMP_MAX:
        raise NotStored("a peer has told of the greatest version that there can be, and nothing could be written over it on any node")
    return stamp


def milliseconds(stamp: int) -> int:
    """When `stamp` was given, in milliseconds since 1970."""
    return stamp >> COUNTER_BITS
