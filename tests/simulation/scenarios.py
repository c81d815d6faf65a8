"""Runs worth keeping, by name: what once went wrong, and what an operator would ask about first.

Each is a plan, and a script that is put on the world's timetable before it runs; in the end all
must be as the oracle wants it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from imagepipe.core.rows.entries import Content
from tests.simulation import faults
from tests.simulation.contents import BYTES, CONTENTS
from tests.simulation.network import Weather
from tests.simulation.node import Node
from tests.simulation.plan import HOUR_MS, Plan
from tests.simulation.world import Result, World, simulate
from tests.simulation.writes import put

SMALL, MEDIUM, LARGE, OTHER = CONTENTS[0], CONTENTS[3], CONTENTS[-1], CONTENTS[-2]
Links = dict[str, tuple[str, ...]]
PAIR: Links = {"n0": ("n1",), "n1": ("n0",)}
RING: Links = {"n0": ("n3",), "n1": ("n0",), "n2": ("n1",), "n3": ("n2",)}
MESH: Links = {"n0": ("n1", "n2"), "n1": ("n0", "n2"), "n2": ("n0", "n1")}
BOTH: Links = {"n0": (), "n1": (), "n2": ("n0", "n1")}
STILL = Weather(doorbells=False)
SCENARIOS: dict[str, "Scenario"] = {}


@dataclass(frozen=True)
class Scenario:
    """`script` may do anything to the world; what it wants to happen later it says by
    `world.at`.
    """

    plan: Plan
    script: Callable[[World], None]

    def run(self, seed: int) -> Result:
        """Run it. Raises Failure."""
        return simulate(self.plan, seed, faults.happen, self.script, None)


def _scenario(plan: Plan) -> Callable[[Callable[[World], None]], Callable[[World], None]]:
    def note(script: Callable[[World], None]) -> Callable[[World], None]:
        SCENARIOS[script.__name__.replace("_", " ").strip()] = Scenario(plan, script)
        return script

    return note


def _put(world: World, time: float, node: str, path: str, content: Content | None) -> None:
    world.at(time, lambda: world.nodes[node].write(put((path, content)), 0))


def _must_have(world: World, time: float, node: str, path: str, content: Content) -> None:
    world.at(
        time,
        lambda: world.oracle.require(
            world.nodes[node].disk.content_of(path) == content, f"{node} has no {path} at {time}"
        ),
    )


def _when(world: World, is_so: Callable[[], bool], do: Callable[[], object]) -> None:
    if is_so():
        do()
    else:
        world.later(0.001, lambda: _when(world, is_so, do))


def _is_fetching(node: Node, upstream: str) -> bool:
    return any(asked.parts for asked in node.replica.links[upstream].asked.values())


def _spoil(world: World, time: float, node: str, *, gone: bool) -> None:
    disk = world.nodes[node].disk
    world.at(
        time,
        lambda: (
            faults.spoil(disk, LARGE.digest, gone=gone) if LARGE.digest in disk.objects else None
        ),
    )


def _go_back(world: World, node: Node) -> None:
    node.crash()
    world.replace_disk(node, world.backups[node.name].copy())
    world.later(0.05, node.start)


@_scenario(Plan(RING, writes=40, watch_silence=True))
def _a_ring(world: World) -> None:
    del world


@_scenario(
    Plan(
        MESH,
        writes=40,
        clocks={"n0": (-5 * HOUR_MS, 1.0), "n1": (0.0, 1.02), "n2": (7 * HOUR_MS, 0.97)},
    )
)
def _clocks_off_by_hours(world: World) -> None:
    for second in range(1, 15, 3):
        world.at(second, faults.clock, world, world.nodes["n1"])


@_scenario(Plan(RING, writes=60, late={"n3": 9.0}, rows_max=2))
def _a_newcomer_during_writes_dies_half_way(world: World) -> None:
    for second in (9.3, 10.1, 11.0):
        world.at(second, faults.crash, world, world.nodes["n3"])


@_scenario(Plan(MESH, writes=40))
def _a_peer_hears_but_is_not_heard(world: World) -> None:
    world.at(2, world.network.cut.update, {("n0", "n1"), ("n0", "n2")})
    world.at(12, world.network.cut.clear)


@_scenario(Plan(PAIR, writes=0, rows_max=1))
def _an_upstream_is_restored_while_its_puller_is_half_way(world: World) -> None:
    upstream, puller = world.nodes["n0"], world.nodes["n1"]
    world.at(0.5, world.network.cut.update, {("n0", "n1"), ("n1", "n0")})
    for at, path in enumerate(("a", "b")):
        _put(world, 1 + at / 10, "n0", path, SMALL)
    world.at(2, faults.back_up, world, upstream)
    for at, (path, content) in enumerate((("a", LARGE), ("c", OTHER))):
        _put(world, 2.1 + at / 10, "n0", path, content)
    world.at(3, world.network.cut.clear)

    def go_back() -> None:
        _go_back(world, upstream)
        faults.crash(world, puller)

    world.at(3, _when, world, lambda: "b" in puller.disk.rows, go_back)


@_scenario(Plan(PAIR, writes=30))
def _an_upstream_is_restored_again_and_again(world: World) -> None:
    world.at(4, faults.back_up, world, world.nodes["n0"])
    for second in (6, 9, 9.5, 15):
        world.at(second, _go_back, world, world.nodes["n0"])


@_scenario(Plan(MESH, writes=10, mends=False, seconds=40.0, slowness=0.001))
def _rotten_bytes_hold_up_their_row_alone_and_come_from_another(world: World) -> None:
    _put(world, 21, "n0", "e", LARGE)
    world.at(
        21.003,
        lambda: (
            faults.spoil(world.nodes["n0"].disk, LARGE.digest, gone=False)
            if LARGE.digest in world.nodes["n0"].disk.objects
            else None
        ),
    )
    _put(world, 22, "n0", "f", SMALL)
    _must_have(world, 23, "n1", "f", SMALL)
    _put(world, 30, "n2", "g", LARGE)
    _must_have(world, 39, "n1", "e", LARGE)


@_scenario(Plan(MESH, writes=0, slowness=0.001, seconds=40.0))
def _what_has_rotted_on_two_nodes_comes_from_the_third(world: World) -> None:
    _put(world, 1, "n0", "a", LARGE)
    _put(world, 2, "n1", "b", LARGE)
    world.at(10, lambda: faults.spoil(world.nodes["n0"].disk, LARGE.digest, gone=True))
    world.at(10, lambda: faults.spoil(world.nodes["n1"].disk, LARGE.digest, gone=False))
    world.at(11, world.nodes["n0"].repair)
    world.at(
        19, lambda: world.oracle.require(not world.nodes["n0"].disk.damaged, "n0 is not mended")
    )
    world.at(20, world.nodes["n1"].repair)
    world.at(
        29, lambda: world.oracle.require(not world.nodes["n1"].disk.damaged, "n1 is not mended")
    )


@_scenario(Plan(BOTH, writes=0, slowness=0.001, seconds=40.0))
def _one_of_two_upstreams_hangs_in_the_middle_of_an_object(world: World) -> None:
    hanging, puller = world.nodes["n0"], world.nodes["n2"]
    _put(world, 1, "n0", "a", LARGE)
    world.at(
        1,
        _when,
        world,
        lambda: _is_fetching(puller, "n0"),
        lambda: setattr(hanging, "stalled_until", 35.0),
    )
    _put(world, 2, "n1", "b", SMALL)
    _must_have(world, 3, "n2", "b", SMALL)
    _put(world, 4, "n1", "c", LARGE)
    _must_have(world, 9, "n2", "c", LARGE)


@_scenario(Plan(BOTH, writes=0, slowness=0.001, seconds=60.0, mends=False))
def _a_row_waits_for_one_who_hangs_and_the_others_do_not(world: World) -> None:
    hanging, puller = world.nodes["n0"], world.nodes["n2"]
    _put(world, 1, "n0", "a", LARGE)
    world.at(
        1,
        _when,
        world,
        lambda: _is_fetching(puller, "n0"),
        lambda: setattr(hanging, "stalled_until", 50.0),
    )
    _put(world, 2, "n1", "c", LARGE)
    _spoil(world, 2.003, "n1", gone=True)
    _put(world, 4, "n1", "d", SMALL)
    _must_have(world, 30, "n2", "d", SMALL)


@_scenario(Plan(PAIR, writes=20, weather=STILL))
def _another_node_takes_the_place_and_nobody_rings(world: World) -> None:
    world.at(10, faults.lose_folder, world, world.nodes["n0"])


@_scenario(Plan(MESH, writes=20, weather=STILL, mends=False, seconds=60.0))
def _bytes_come_back_and_nobody_rings(world: World) -> None:
    disk = world.nodes["n0"].disk
    _put(world, 21, "n0", "e", LARGE)
    _spoil(world, 21.03, "n0", gone=True)
    world.at(35, lambda: disk.keep(LARGE.digest, BYTES[LARGE.digest]))
    _must_have(world, 55, "n1", "e", LARGE)


@_scenario(Plan(MESH, writes=40))
def _a_copied_data_folder_runs_beside_the_original(world: World) -> None:
    world.at(6, faults.clone, world, world.nodes["n1"])
    world.at(10, faults.crash, world, world.nodes["n0"])


@_scenario(Plan(PAIR, writes=60, weather=Weather(loss=0.5)))
def _half_of_everything_is_lost(world: World) -> None:
    del world


@_scenario(Plan(MESH, writes=40, weather=Weather(delay_max=0.5)))
def _links_are_removed_with_messages_on_their_way(world: World) -> None:
    for at in range(30):
        world.at(at / 2, faults.relink, world, world.nodes["n1"])
