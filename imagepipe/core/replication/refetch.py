"""Bytes of rows that are here already, and are fetched once more because they are missing or
rotten: which of them are on their way, and for how long.

Nothing is joined when they come: the map has its rows, and the store has put the bytes in their
place. Who wanted them looks at them itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from imagepipe.core.rows.entries import Content

REFETCH_SECONDS = 30.0
"""For so long bytes may be on their way, and for as long again as a slow line takes for them."""

REFETCH_BYTES_PER_SECOND = 128 << 10


@dataclass(slots=True)
class _Refetch:
    missing: set[Content]
    until: float


class Refetches:
    """Those that are under way, by number."""

    def __init__(self) -> None:
        self._refetches: dict[int, _Refetch] = {}

    def begin(self, number: int, contents: Iterable[Content], now: float) -> None:
        """These are asked for."""
        missing = set(contents)
        self._refetches[number] = _Refetch(
            missing,
            now
            + REFETCH_SECONDS
            + sum(content.size for content in missing) / REFETCH_BYTES_PER_SECOND,
        )

    def settle(self, number: int, content: Content) -> None:
        """One of them is here, or nobody has it."""
        self._refetches[number].missing.discard(content)

    def take_ended(self, now: float) -> list[int]:
        """Those for which nothing is on its way any more, or for too long."""
        ended = [
            number
            for number, refetch in self._refetches.items()
            if not refetch.missing or now >= refetch.until
        ]
        for number in ended:
            del self._refetches[number]
        return ended

    def next_deadline(self) -> float:
        """When the first of them has taken too long; infinite: there is none."""
        return min((refetch.until for refetch in self._refetches.values()), default=float("inf"))
