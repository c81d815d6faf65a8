"""Versions: hybrid logical clock values (docs/design/replication.md, "Versions").

    stamp = max(wall clock in ms << 16, newest known stamp + 1)

The upper 48 bits are milliseconds since 1970, the lower 16 count writes within a millisecond. Ties
go by origin. Which stamps are known is decided per path (versions.py), so a wrong stamp affects its
path and no other.
"""

from collections.abc import Iterable
from dataclasses import dataclass

COUNTER_BITS = 16
STAMP_MAX = 1 << 61
"""The greatest stamp, in the year 3084. Anything above it is malformed."""

CLOCK_MAX = 1 << 60
"""Where a clock stops counting (the year 2527): half of all stamps remain for later writes."""


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """Which of two writes of one path is the newer: the greater. `origin` is the node id of the
    writer.
    """

    stamp: int
    origin: str


def next_stamp(wall_milliseconds: int, known: Iterable[int]) -> int:
    """The stamp of a write now, by someone who knows of writes with the stamps `known`.

    It exceeds all of them but STAMP_MAX, which nothing can exceed. No clock reaches that, so it was
    forged, and a write goes over it as if it were not there.
    """
    newest = max((stamp for stamp in known if stamp < STAMP_MAX), default=-1)
    return max(min(wall_milliseconds << COUNTER_BITS, CLOCK_MAX), newest + 1)


def is_forged(stamp: int) -> bool:
    """Whether no clock gives `stamp`, so that a peer made it up; it can still be exceeded."""
    return CLOCK_MAX <= stamp < STAMP_MAX


def milliseconds(stamp: int) -> int:
    """When `stamp` was given, in milliseconds since 1970."""
    return stamp >> COUNTER_BITS
