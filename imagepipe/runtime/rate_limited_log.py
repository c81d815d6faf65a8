"""Log lines that a stranger can cause, at a bounded rate: the first at once, then one in ten
seconds that says how many were left out.
"""

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

EVERY_SECONDS = 10.0


class RateLimitedLog:
    """Says one thing seldom. `now` is a monotonic clock; all calls come from one thread."""

    def __init__(
        self, log: Logger, now: Callable[[], float], every_seconds: float = EVERY_SECONDS
    ) -> None:
        self._log = log
        self._now = now
        self._every_seconds = every_seconds
        self._due = float("-inf")
        self._left_out = 0

    def warn(self, text: str, **values: Any) -> None:
        """Log a warning, or count it."""
        if self._is_due():
            self._log.warn(text + "{more}", more=self._more(), **values)

    def failure(self, text: str, **values: Any) -> None:
        """Log the exception that is being handled, with its traceback, or count it."""
        if self._is_due():
            self._log.failure(text + "{more}", more=self._more(), **values)

    def _is_due(self) -> bool:
        now = self._now()
        if now < self._due:
            self._left_out += 1
            return False
        self._due = now + self._every_seconds
        return True

    def _more(self) -> str:
        left_out, self._left_out = self._left_out, 0
        return f" ({left_out} more like it were not logged)" if left_out else ""
