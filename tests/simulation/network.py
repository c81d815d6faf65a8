"""The simulated network: doorbells, requests and answers, each of which may be lost, doubled, late,
out of order or cut off.

A puller asks over a connection of its own for each link; when either end is gone or the connection
was cut, answers to it are lost.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.hostile_node import HostileNode
    from tests.simulation.node import Node
    from tests.simulation.world import World


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad it is. ordered: what was sent first comes first. doorbells: whether any come through
    at all.
    """

    loss: float = 0.0
    doubled: float = 0.0
    delay_min: float = 0.001
    delay_max: float = 0.005
    ordered: bool = True
    doorbells: bool = True


LATE = 0.3
"""How much of what meets a partition is not lost but comes much later, as a connection that
survives brings it.
"""

LATE_SECONDS_MAX = 20.0


class Network:
    """`cut` are the (source, target) names between which nothing comes through."""

    def __init__(self, world: "World", weather: Weather) -> None:
        self.weather = weather
        self.cut: set[tuple[str, str]] = set()
        self.connections: dict[tuple[str, str], int] = {}
        self.rung = 0
        self.asked = 0
        self._world = world
        self._random = world.random
        self._last: dict[tuple[str, str, str], float] = {}

    def ring(self, source: "Node | HostileNode", data: bytes) -> None:
        """`source` publishes."""
        if not self.weather.doorbells:
            return
        self.rung += 1
        for node in self._world.nodes.values():
            if source.name in node.links:
                self._carry(source.name, node.name, "doorbell", data, None)

    def ask(self, puller: "Node | HostileNode", upstream: str, data: bytes) -> None:
        """`puller` sends a request."""
        self.asked += 1
        connection = self.connections.get((puller.name, upstream), 0)
        client = f"{puller.name} {upstream} {puller.boot} {connection}"
        self._carry(puller.name, upstream, "request", data, client)

    def answer(self, source: "Node | HostileNode", client: str, data: bytes) -> None:
        """`source` answers a client."""
        self._carry(source.name, client.split(" ", 1)[0], "answer", data, client)

    def puller(self, client: str) -> "Node | None":
        """Who asked over this connection, if it still stands."""
        name, upstream, boot, connection = client.split(" ")
        node = self._world.nodes.get(name)
        return (
            node
            if node
            and node.boot == int(boot)
            and self.connections.get((name, upstream), 0) == int(connection)
            else None
        )

    def _carry(self, source: str, target: str, lane: str, data: bytes, client: str | None) -> None:
        weather, chance = self.weather, self._random.random
        if weather.loss and chance() < weather.loss:
            return
        for _ in range(2 if weather.doubled and chance() < weather.doubled else 1):
            time = (
                self._world.now
                + weather.delay_min
                + (weather.delay_max - weather.delay_min) * chance()
            )
            if weather.ordered:
                key = (source, target, lane)
                time = self._last[key] = max(time, self._last.get(key, 0.0))
            self._world.at(time, self._arrive, source, target, lane, data, client, False)

    def _arrive(
        self, source: str, target: str, lane: str, data: bytes, client: str | None, late: bool
    ) -> None:
        if (source, target) in self.cut:
            if not late and self._random.random() < LATE:
                self._world.at(
                    self._world.now + self._random.uniform(1, LATE_SECONDS_MAX),
                    self._arrive,
                    source,
                    target,
                    lane,
                    data,
                    client,
                    True,
                )
            return
        liar = self._world.liar
        if liar and target == liar.name:
            liar.hear(lane, client or source, data)
            return
        node = self._world.nodes[target]
        if lane == "doorbell":
            node.hear(node.doorbell, source, data)
        elif client is not None and lane == "request":
            node.hear(node.request, client, data)
        elif client is not None and self.puller(client) is node:
            node.hear(node.reply, source, data)
