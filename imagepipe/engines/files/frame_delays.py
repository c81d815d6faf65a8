"""Converts frame delays between formats without changing their sum.

GIF counts hundredths of a second in two bytes, WebP milliseconds in three.
"""

from collections.abc import Iterable

_HUNDREDTHS_MAX = (1 << 16) - 1
_SHORTEST = 2
"""Browsers show a frame of 0 or 1 hundredths for 10."""


def to_centiseconds(delays_ms: Iterable[int]) -> list[int]:
    """Delays in milliseconds as GIF has them; what is rounded off is made up for by the next ones.

    A frame longer than 10 ms is not made so short that browsers would show it longer than others.
    """
    rounded, owed = [], 0
    for delay in delays_ms:
        owed += delay
        least = _SHORTEST if delay > 10 else 0
        hundredths = min(max((owed + 5) // 10, least), _HUNDREDTHS_MAX)
        rounded.append(hundredths)
        owed = max(owed - 10 * hundredths, -10) if hundredths < _HUNDREDTHS_MAX else 0
    return rounded
