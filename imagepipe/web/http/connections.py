"""The connections of a process, on all its ports. Their number is limited, so that there are always
descriptors left for work.

At the limit, a new connection replaces the one whose client has kept the server waiting longest. If
all of them are waiting for the server, it replaces a read-only one, from the network with the most
connections.

A new connection only replaces one from its own network or from a network with more connections, so
that clients that connect again and again do not push out those of other networks.
"""

from collections import deque
from typing import Protocol

from twisted.logger import Logger

from imagepipe.core.requests.client_timeouts import CONNECTIONS_MAX, PhaseWait, slowest

SHARE_LOOKED_UP = 0.01
"""The share of all connections that one search for slow ones returns: a search takes milliseconds.
"""

REPORT_SECONDS = 60.0

_log = Logger()


class TrackedConnection(Protocol):
    """A connection with a client."""

    @property
    def wait(self) -> PhaseWait:
        """What the server is waiting for; the same object until that changes."""
        ...

    @property
    def network(self) -> str:
        """Where the client is: see clients.network_of."""
        ...

    @property
    def is_read_only(self) -> bool:
        """Whether the request under way changes nothing."""
        ...

    def make_room(self) -> None:
        """Close the connection now, even in the middle of a request."""
        ...


class Connections:
    """The open connections, at most `count_max`."""

    def __init__(self, count_max: int = CONNECTIONS_MAX) -> None:
        self.count_max = count_max
        self._count = 0
        self._networks: dict[str, dict[TrackedConnection, None]] = {}
        self._slow: deque[tuple[TrackedConnection, PhaseWait]] = deque()
        self._reported = float("-inf")

    def add(self, connection: TrackedConnection, now: float) -> bool:
        """Count a new connection, closing another one if necessary.

        False if none can be closed; then the new one must be rejected.
        """
        if self._count >= self.count_max:
            self._report(now)
            loser = self._slowest_connection(connection.network) or self._reader_beside(
                connection.network
            )
            if loser is None:
                return False
            self.remove(loser)
            loser.make_room()
        self._networks.setdefault(connection.network, {})[connection] = None
        self._count += 1
        return True

    def remove(self, connection: TrackedConnection) -> None:
        """Forget a closed connection."""
        network = self._networks.get(connection.network, {})
        if connection in network:
            del network[connection]
            self._count -= 1
            if not network:
                del self._networks[connection.network]

    def _reader_beside(self, network: str) -> TrackedConnection | None:
        busiest = max(self._networks.values(), key=len)
        if len(busiest) < len(self._networks.get(network, ())) + 2:
            return None
        return next((one for one in busiest if one.is_read_only), None)

    def _slowest_connection(self, network: str) -> TrackedConnection | None:
        if (known := self._known_slow(network)) is not None:
            return known
        count = max(1, int(self.count_max * SHARE_LOOKED_UP))
        networks = (
            them for name, them in self._networks.items() if self._may_replace(network, name)
        )
        connections = (one for them in networks for one in them)
        self._slow = deque(slowest(((one, one.wait) for one in connections), count))
        return self._known_slow(network)

    def _known_slow(self, network: str) -> TrackedConnection | None:
        """A connection that was slow in the last search and has made no progress since."""
        for _ in range(len(self._slow)):
            connection, wait = self._slow.popleft()
            if connection in self._networks.get(connection.network, ()) and connection.wait is wait:
                if self._may_replace(network, connection.network):
                    return connection
                self._slow.append((connection, wait))  # for a newcomer of another network
        return None

    def _may_replace(self, newcomer: str, network: str) -> bool:
        return network == newcomer or len(self._networks[network]) > len(
            self._networks.get(newcomer, ())
        )

    def _report(self, now: float) -> None:
        if now - self._reported >= REPORT_SECONDS:
            self._reported = now
            _log.warn(
                "all {count} connections are in use; disconnecting the slowest clients",
                count=self.count_max,
            )
