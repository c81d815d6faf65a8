"""The connections of a process, on all its ports: never so many that no descriptor is left for work.

When there are too many, the client that has kept the server waiting longest makes room for the next.
"""

from collections import deque
from typing import Protocol

from twisted.logger import Logger

from imagepipe.core.patience import CONNECTIONS_MAX, Wait, slowest

SHARE_LOOKED_UP = 0.01
"""Which share of all connections one search for slow ones finds: searching takes milliseconds."""

REPORT_SECONDS = 60.0

_log = Logger()


class Connection(Protocol):
    """A connection with a client."""

    @property
    def wait(self) -> Wait:
        """What the server waits for; the same object until that changes."""
        ...

    def make_room(self) -> None:
        """Close the connection now, whatever is on its way."""
        ...


class Connections:
    """The open connections, at most `count_max`."""

    def __init__(self, count_max: int = CONNECTIONS_MAX) -> None:
        self.count_max = count_max
        self._open: set[Connection] = set()
        self._slow: deque[tuple[Connection, Wait]] = deque()
        self._reported = float("-inf")

    def add(self, connection: Connection, now: float) -> bool:
        """Note a new connection, closing a slow one if there is no room; False if that fails too.

        Then every other client waits for the server, and the new one has to be turned away.
        """
        if len(self._open) >= self.count_max:
            self._report(now)
            slow = self._slowest()
            if slow is None:
                return False
            self._open.discard(slow)
            slow.make_room()
        self._open.add(connection)
        return True

    def remove(self, connection: Connection) -> None:
        """It is closed."""
        self._open.discard(connection)

    def _slowest(self) -> Connection | None:
        if (known := self._known_slow()) is not None:
            return known
        count = max(1, int(self.count_max * SHARE_LOOKED_UP))
        self._slow.extend(slowest(((one, one.wait) for one in self._open), count))
        return self._known_slow()

    def _known_slow(self) -> Connection | None:
        """One that was slow in the last search and has not moved since."""
        while self._slow:
            connection, wait = self._slow.popleft()
            if connection in self._open and connection.wait is wait:
                return connection
        return None

    def _report(self, now: float) -> None:
        if now - self._reported >= REPORT_SECONDS:
            self._reported = now
            _log.warn(
                "all {count} connections are in use: the slowest clients are disconnected",
                count=self.count_max,
            )
