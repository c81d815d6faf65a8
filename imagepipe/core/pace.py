"""A bounded rate: how long to wait after a piece of work, so that there is no more of it a second than was agreed (a token bucket)."""

BURST_SECONDS = 0.25
"""So much work may be caught up with after a pause."""


class Pace:
    """`a_second` bytes a second."""

    def __init__(self, a_second: float) -> None:
        self._a_second = a_second
        self._next = float("-inf")

    def wait(self, count: int, now: float) -> float:
        """For how many seconds after `count` bytes there is nothing to be done."""
        self._next = max(self._next, now - BURST_SECONDS) + count / self._a_second
        return max(0.0, self._next - now)
