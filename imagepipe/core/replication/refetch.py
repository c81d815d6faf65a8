"""Fetching bytes of existing rows again because they are missing or corrupt: which are being
fetched, and for how long.

Nothing is joined when they arrive: the map already has the rows, and the store has put the bytes in
place. The caller checks the bytes itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from imagepipe.core.rows.entries import Content

REFETCH_SECONDS = 30.0
"""How long a refetch may take, in addition to the time that a slow line needs for the bytes."""

REFETCH_BYTES_PER_SECOND = 128 << 10


@dataclass(slots=True)
class _Refetch:
    missing: set[Content]
    until: float


class Refetches:
    """The refetches under way, by number."""

    def __init__(self) -> None:
        self._refetches: dict[int, _Refetch] = {}

    def begin(self, number: int, contents: Iterable[Content], now: float) -> None:
        """Start a refetch of these contents."""
        missing = set(contents)
        self._refetches[number] = _Refetch(
            missing,
            now
            + REFETCH_SECONDS
            + sum(content.size for content in missing) / REFETCH_BYTES_PER_SECOND,
        )

    def settle(self, number: int, content: Content) -> None:
        """One of the contents is here, or no peer has it."""
        self._refetches[number].missing.discard(content)

    def take_ended(self, now: float) -> list[int]:
        """The refetches that have nothing left to fetch or have run out of time."""
        ended = [
            number
            for number, refetch in self._refetches.items()
            if not refetch.missing or now >= refetch.until
        ]
        for number in ended:
            del self._refetches[number]
        return ended

    def next_deadline(self) -> float:
        """When the first of them runs out of time; infinite if there is none."""
        return min((refetch.until for refetch in self._refetches.values()), default=float("inf"))
