"""The ids of a range that are left to do, as sorted ranges, so that millions take hardly any memory
if they are done roughly in order.

    IdRanges([(1, 9)]).remove(4)    -> (1, 3), (5, 9)

There are never more than RANGES_MAX ranges. Beyond that, neighbours are merged, and the ids that
were done between them are done again.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator

RANGES_MAX = 50_000

Range = tuple[int, int]
"""The first and the last id."""


class IdRanges:
    """Invariant: the ranges are sorted, not empty, and do not touch."""

    def __init__(self, ranges: Iterable[Range], ranges_max: int = RANGES_MAX) -> None:
        self._ranges = list(ranges)
        self._ranges_max = ranges_max
        self._count = sum(last - first + 1 for first, last in self._ranges)

    def __len__(self) -> int:
        """The number of ids that are left."""
        return self._count

    @property
    def ranges(self) -> tuple[Range, ...]:
        """What is left."""
        return tuple(self._ranges)

    def ids(self) -> Iterator[int]:
        """All that are left now, in order, whatever is removed meanwhile."""
        for first, last in self.ranges:
            yield from range(first, last + 1)

    def remove(self, number: int) -> None:
        """One is done; nothing happens if it is not there."""
        at = bisect_right(self._ranges, number, key=lambda one: one[0]) - 1
        if at < 0 or self._ranges[at][1] < number:
            return
        first, last = self._ranges[at]
        self._ranges[at : at + 1] = [
            part for part in ((first, number - 1), (number + 1, last)) if part[0] <= part[1]
        ]
        self._count -= 1
        if len(self._ranges) > self._ranges_max:
            self._join()

    def _join(self) -> None:
        """Half as many ranges."""
        joined = [
            (self._ranges[at][0], self._ranges[min(at + 1, len(self._ranges) - 1)][1])
            for at in range(0, len(self._ranges), 2)
        ]
        self._ranges = joined
        self._count = sum(last - first + 1 for first, last in joined)


def are_ranges(value: object, within: Range) -> bool:
    """Whether a value that was read from somewhere is a list of [first, last], as `ranges` returned
    it, inside another range.
    """
    if not isinstance(value, list):
        return False
    end = within[0] - 2
    for one in value:
        if not (
            isinstance(one, list)
            and len(one) == 2
            and all(type(number) is int for number in one)
            and end + 1 < one[0] <= one[1] <= within[1]
        ):
            return False
        end = one[1]
    return True
