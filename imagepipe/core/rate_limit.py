"""A bounded rate: how long to wait after a piece of work, so that there is no more of it a second
than was agreed (a token bucket).
"""

import re

from imagepipe.errors import BadRequest, quoted

BURST_SECONDS = 0.25
"""So much work may be caught up with after a pause."""

RATE_DEFAULT = 50 << 20
"""Bytes a second."""

RATE_MIN = 1 << 10

_RATE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([KMGT]iB)?(?:/s)?", re.ASCII | re.IGNORECASE)
_UNITS = {"": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}


class RateLimit:
    """`a_second` bytes a second."""

    def __init__(self, a_second: float) -> None:
        self._a_second = a_second
        self._next = float("-inf")

    def wait(self, count: int, now: float) -> float:
        """For how many seconds after `count` bytes there is nothing to be done."""
        self._next = max(self._next, now - BURST_SECONDS) + count / self._a_second
        return max(0.0, self._next - now)


def parse_rate(text: str) -> float:
    """Bytes a second, from `50 MiB`, `50MiB/s` or a number of bytes; the default from an empty
    text. Raises BadRequest.
    """
    if not text:
        return RATE_DEFAULT
    found = _RATE.fullmatch(text)
    rate = float(found[1]) * _UNITS[(found[2] or "").lower()] if found else 0
    if rate < RATE_MIN:
        raise BadRequest(
            "rate",
            f"{quoted(text)} is not a rate of 1 KiB a second or more: write 50 MiB, for example",
        )
    return rate
