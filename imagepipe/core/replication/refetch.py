"""Bytes of rows that are here already, and are fetched once more because they are missing or
rotten: which of them are on their way, and for how long.

Nothing is joined when they come: the map has its rows, and the store has put the bytes in their
place. Who wanted them looks at them itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from imagepipe.core.rows.entries import Content

MEND_SECONDS = 30.0
"""For so long bytes may be on their way, and for as long again as a slow line takes for them."""

MEND_BYTES_A_SECOND = 128 << 10


@dataclass(slots=True)
class _Mend:
    missing: set[Content]
    until: float


class Mends:
    """Those that are under way, by number."""

    def __init__(self) -> None:
        self._mends: dict[int, _Mend] = {}

    def begin(self, number: int, contents: Iterable[Content], now: float) -> None:
        """These are asked for."""
        missing = set(contents)
        self._mends[number] = _Mend(
            missing,
            now + MEND_SECONDS + sum(content.size for content in missing) / MEND_BYTES_A_SECOND,
        )

    def settle(self, number: int, content: Content) -> None:
        """One of them is here, or nobody has it."""
        self._mends[number].missing.discard(content)

    def take_ended(self, now: float) -> list[int]:
        """Those for which nothing is on its way any more, or for too long."""
        ended = [
            number for number, mend in self._mends.items() if not mend.missing or now >= mend.until
        ]
        for number in ended:
            del self._mends[number]
        return ended

    def next_deadline(self) -> float:
        """When the first of them has taken too long; infinite: there is none."""
        return min((mend.until for mend in self._mends.values()), default=float("inf"))
