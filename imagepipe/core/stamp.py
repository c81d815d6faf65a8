"""Versions: hybrid logical clock values (replication.md, section 3).

    stamp = max(wall clock in ms << 16, last stamp + 1)

The upper 48 bits are milliseconds since 1970, the lower 16 count what happened within one. The last stamp includes every one received,
so a node that saw a version always writes a greater one, whatever the clocks say. Ties go by origin.
"""

from dataclasses import dataclass

COUNTER_BITS = 16
STAMP_MAX = 1 << 62
"""A stamp above this is malformed: it would leave no room to write over it."""


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """Which of two writes of one path is the newer: the greater. `origin` is the node id of the writer."""

    stamp: int
    origin: str


def next_stamp(wall_milliseconds: int, last: int) -> int:
    """The stamp of a write now, on a node whose newest known stamp is `last`."""
    return max(wall_milliseconds << COUNTER_BITS, last + 1)


def milliseconds(stamp: int) -> int:
    """When `stamp` was given, in milliseconds since 1970."""
    return stamp >> COUNTER_BITS
