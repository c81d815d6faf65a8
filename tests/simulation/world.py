"""Virtual time, and one run: writes and faults for a while, then everything heals, and in bounded
time all is as promised.
"""

import heapq
import itertools
import random
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from tests.simulation.disk import Disk
from tests.simulation.hostile_node import HostileNode
from tests.simulation.network import LATE_SECONDS_MAX, Network, Weather
from tests.simulation.node import Node
from tests.simulation.oracle import Oracle, Violation
from tests.simulation.plan import Plan
from tests.simulation.writes import random_write

CONVERGE_SECONDS_MAX = 60.0
SILENCE_SECONDS = 60.0
REPAIR_SECONDS = 3.0
EVENTS_MAX = 800_000
LIAR = "liar"
TRACE_MAX = 150
_SHORT = tuple(
    (re.compile(pattern), short)
    for pattern, short in (
        (r"\b([0-9a-f]{4})[0-9a-f]{4,60}\b", r"\1"),
        (r"Version\(stamp=(\d+), origin='(\w+)'\)", r"\1\2"),
        (r"\b1114112(\d+)", r"~\1"),
        (r"[a-z_]+=", ""),
        (r", (None, 0, 0|None)\)", ")"),
    )
)
"""What makes a trace readable: short digests and versions."""


class Failure(Exception):
    """A run went wrong: the text says how."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a run went: virtual seconds from healing until all had converged, and how many events
    there were.
    """

    converged_seconds: float
    events: int


class World:
    """`trace` has the last events, for a run that fails; `show` is told of each of them. is_well:
    it has healed, and nothing goes wrong any more.
    """

    def __init__(self, plan: Plan, seed: int, show: Callable[[str], None] | None = None) -> None:
        self.plan = plan
        self.random = random.Random(seed)
        self.now = 0.0
        self.events = 0
        self.trace: deque[tuple[object, ...]] = deque(maxlen=TRACE_MAX)
        self.backups: dict[str, Disk] = {}
        self.clones: set[str] = set()
        self.is_well = False
        self.liar: HostileNode | None = None
        self.oracle = Oracle(self)
        self.network = Network(self, plan.weather)
        self._show = show
        self._queue: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._count = itertools.count()
        self.nodes: dict[str, Node] = {}
        for name, upstreams in plan.links.items():
            node = self.nodes[name] = Node(
                self, name, upstreams, self.new_disk(), plan.clocks.get(name, (0.0, 1.0))
            )
            node.slowness = plan.slowness
            node.liars = (LIAR,) if name in plan.victims else ()
            self.at(plan.late.get(name, 0.0), node.start)
        if plan.victims:
            self.liar = HostileNode(self, LIAR, seed)

    # Time.

    def at(self, time: float, do: Callable[..., None], *arguments: object) -> None:
        """Do something at a time."""
        heapq.heappush(self._queue, (time, next(self._count), do, arguments))

    def later(self, delay: float, do: Callable[[], None]) -> None:
        """Do something after a delay."""
        self.at(self.now + delay, do)

    def run_until(self, end: float) -> None:
        """Let time pass."""
        queue = self._queue
        while queue and queue[0][0] <= end:
            time, _, do, arguments = heapq.heappop(queue)
            self.now = max(self.now, time)
            self.events += 1
            if self.events > EVENTS_MAX:
                raise Violation("there is no end to it")
            do(*arguments)
        self.now = end

    def note(self, *what: object) -> None:
        """Remember an event."""
        self.trace.append((self.now, *what))
        if self._show:
            self._show(text_of(self.trace[-1]))

    # Disks.

    def new_disk(self) -> Disk:
        """An empty data folder."""
        return Disk(f"{self.random.getrandbits(64):x}", self.oracle.changed)

    def replace_disk(self, node: Node, disk: Disk) -> None:
        """`node`, which is down, has another data folder from now on."""
        gone, node.disk = node.disk, disk
        self.note(node.name, "has another disk:", disk.node)
        self.oracle.disk_gone(gone, [one.disk for one in self.nodes.values()])

    # A run.

    def chaos(self, fault: Callable[["World", str], None]) -> None:
        """Write, and let go wrong what the plan says."""
        for kind in self.plan.faults:
            self.at(self.random.uniform(0, self.plan.seconds), fault, self, kind)
        for _ in range(self.plan.writes):
            self.at(self.random.uniform(0, self.plan.seconds), self.write_somewhere)
        for second in range(int(self.plan.seconds)):
            self.at(second, self.oracle.sample)
            self.at(
                second + self.random.random(),
                self.random.choice(list(self.nodes.values())).ask_for_news,
            )
        self.run_until(self.plan.seconds)

    def write_somewhere(self) -> None:
        """A client calls a node."""
        node = self.random.choice(list(self.nodes.values()))
        node.write(random_write(self.random), self.random.choice((0, 0, 1, 2)))

    def heal(self) -> None:
        """Everything is well again, but for doorbells that never come through."""
        self.note("world", "heals")
        self.is_well = True
        self.network.weather = Weather(doorbells=self.plan.weather.doorbells)
        self.network.cut = set()
        for node in self.nodes.values():
            node.stalled_until = 0.0
            node.full = node.dies_after_commit = False
            node.slowness = min(self.plan.slowness, 0.02)
        for name in sorted(self.clones):
            self.nodes[name].crash()
            self.replace_disk(self.nodes[name], self.new_disk())
        self.run_until(self.now + 0.01)
        for node in self.nodes.values():
            node.start()

    def cut_off_liar(self) -> None:
        """The operator has noticed."""
        if self.liar:
            self.note("world", "cuts off", self.liar.name)
            self.liar.stop()
            for node in self.nodes.values():
                node.cut_off(self.liar.name)

    def settle(self) -> float:
        """Run on until all is as it must be in the end, and return how long that took."""
        start = repaired = self.now
        while (why := self.oracle.unsettled()) is not None:
            self.oracle.require(
                self.now - max(start, self.oracle.last_written) < CONVERGE_SECONDS_MAX,
                f"after {CONVERGE_SECONDS_MAX} s still: {why}",
            )
            if self.plan.mends and self.now >= repaired + REPAIR_SECONDS:
                repaired = self.now
                for node in self.nodes.values():
                    node.repair()
            self.run_until(self.now + 0.2)
        return self.now - max(start, self.oracle.last_written)

    def watch_silence(self) -> None:
        """A cluster without work says no more than that it is there."""
        self.run_until(self.now + LATE_SECONDS_MAX)
        if any(node.disk.pending for node in self.nodes.values()):
            return
        rung, asked = self.network.rung, self.network.asked
        self.run_until(self.now + SILENCE_SECONDS)
        links = sum(len(node.upstreams) for node in self.nodes.values())
        rung, asked = self.network.rung - rung, self.network.asked - asked
        self.oracle.require(
            rung <= len(self.nodes) * (SILENCE_SECONDS + 1),
            f"{rung} doorbells of {len(self.nodes)} nodes in silence",
        )
        self.oracle.require(
            asked <= links * (SILENCE_SECONDS / 5 + 1),
            f"{asked} requests over {links} links in silence",
        )
        why = self.oracle.unsettled()
        self.oracle.require(why is None, f"it did not stay settled: {why}")
        reads = 0
        for _ in range(20):  # a poll may be under way at any one moment, but not at all of them
            reads = sum(node.replica.subscribers.reads_under_way for node in self.nodes.values())
            if not reads:
                return
            self.run_until(self.now + 0.0973)
        self.oracle.require(False, f"{reads} answers are read for ever")


def simulate(
    plan: Plan,
    seed: int,
    fault: Callable[[World, str], None],
    prepare: Callable[[World], None],
    show: Callable[[str], None] | None,
) -> Result:
    """One run. Raises Failure."""
    world = World(plan, seed, show)
    try:
        prepare(world)
        world.chaos(fault)
        world.heal()
        took = world.settle()
        world.oracle.check_end()
        if world.liar:
            world.cut_off_liar()
            world.settle()
            world.oracle.check_end()
        if plan.watch_silence:
            world.watch_silence()
    except Exception as error:
        tail = "\n".join(text_of(one) for one in world.trace)
        raise Failure(
            f"{tail}\n{plan}\nat {world.now:.3f}: {type(error).__name__}: {error}"
        ) from error
    return Result(took, world.events)


def text_of(event: tuple[object, ...]) -> str:
    """An event as a line."""
    time, who, *what = event
    text = " ".join(map(str, what))
    for pattern, short in _SHORT:
        text = pattern.sub(short, text)
    return f"{time:9.3f} {who} {text}"
