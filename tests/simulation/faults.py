"""What goes wrong in a simulated world, each with the moment at which it passes; `World.heal` ends
what has not.
"""

from collections.abc import Callable

from tests.simulation.contents import BYTES
from tests.simulation.disk import Disk
from tests.simulation.node import Node
from tests.simulation.plan import HOUR_MS
from tests.simulation.world import World
from tests.simulation.writes import random_write

REPAIRED_SECONDS = 1.5
"""How long after an object has gone bad somebody verifies; by then it may be overtaken, the node
down, or the others away.
"""


def happen(world: World, kind: str) -> None:
    """Let a fault of this kind happen now, somewhere."""
    node = world.random.choice(list(world.nodes.values()))
    world.note(node.name, "fault:", kind)
    _FAULTS[kind](world, node)


def crash(world: World, node: Node) -> None:
    """Killed, and started again at once or later."""
    node.crash()
    world.later(world.random.choice((0.05, 2.0, 8.0)) * world.random.random(), node.start)


def crash_after_commit(world: World, node: Node) -> None:
    """Killed when the next transaction is durable, before anyone is told."""
    del world
    node.dies_after_commit = True


def away(world: World, node: Node) -> None:
    """Down until everything heals."""
    del world
    node.crash()


def stall(world: World, node: Node) -> None:
    """Stopped, as by SIGSTOP: it runs nothing, and what is sent to it waits."""
    node.stalled_until = world.now + world.random.choice((0.2, 3.0, 10.0)) * world.random.random()


def partition(world: World, node: Node) -> None:
    """Nothing comes through from or to it, or in one direction only, or between it and one
    other.
    """
    others = [other.name for other in world.nodes.values() if other is not node]
    if world.is_well:
        return
    if world.random.random() < 0.5:
        others = [world.random.choice(others)]
    cut = {(node.name, other) for other in others} | {(other, node.name) for other in others}
    if world.random.random() < 0.4:
        out = world.random.random() < 0.5
        cut = {pair for pair in cut if (pair[0] == node.name) == out}
    world.network.cut |= cut
    world.later(
        world.random.choice((1.0, 6.0, 15.0)) * world.random.random(),
        lambda: world.network.cut.difference_update(cut),
    )


def flap(world: World, node: Node) -> None:
    """Partitions that come and go."""
    for _ in range(world.random.randrange(2, 8)):
        world.later(world.random.uniform(0, 8), lambda: partition(world, node))


def fill_disk(world: World, node: Node) -> None:
    """No space is left, at times."""
    node.full = True
    world.later(world.random.uniform(0, 8), lambda: setattr(node, "full", False))


def rot(world: World, node: Node) -> None:
    """An object goes bad, or is not there any more."""
    if node.disk.objects:
        spoil(
            node.disk,
            world.random.choice(list(node.disk.objects)),
            gone=world.random.random() < 0.4,
        )
        if world.plan.mends:
            world.later(REPAIRED_SECONDS, node.repair)


def spoil(disk: Disk, digest: str, *, gone: bool) -> None:
    """Spoil an object, or take it away."""
    disk.damaged.add(digest)
    if gone:
        del disk.objects[digest]
    else:
        disk.objects[digest] = (
            bytes(len(disk.objects[digest]))[: -1 if len(disk.objects[digest]) % 2 else None] + b"?"
        )


def clock(world: World, node: Node) -> None:
    """The wall clock jumps, back or forth."""
    node.clock_offset += world.random.choice((10.0, 5000.0, HOUR_MS)) * world.random.uniform(-2, 2)


def cut_connection(world: World, node: Node) -> None:
    """A connection breaks, and is made anew: the answers that were on their way are lost."""
    if node.upstreams:
        key = (node.name, world.random.choice(node.upstreams))
        world.network.connections[key] = world.network.connections.get(key, 0) + 1


def relink(world: World, node: Node) -> None:
    """A link is removed and added again."""
    if node.upstreams:
        node.relink(world.random.choice(node.upstreams))


def slow_store(world: World, node: Node) -> None:
    """The disk is slow for a while."""
    node.slowness = 2.0
    world.later(world.random.uniform(0, 5), lambda: setattr(node, "slowness", world.plan.slowness))


def collect(world: World, node: Node) -> None:
    """What nothing names is removed."""
    del world
    node.collect()


def back_up(world: World, node: Node) -> None:
    """The data folder is backed up."""
    world.backups[node.name] = node.disk.copy()


def restore(world: World, node: Node) -> None:
    """The data folder is restored from the backup, often with the clock of that day."""
    backup = world.backups.get(node.name)
    if backup is not None and not world.is_well and backup.node == node.disk.node:
        node.crash()
        world.replace_disk(node, backup.copy())
        if world.random.random() < 0.5:
            clock(world, node)
        world.later(world.random.uniform(0, 3), node.start)


def live_again(world: World, node: Node) -> None:
    """Some seconds are undone by a backup, and lived again under a clock that is behind what was
    written; who was cut off meanwhile is half-way.
    """
    node.clock_offset -= HOUR_MS
    cut = {
        (node.name, other)
        for other in world.nodes
        if other != node.name and world.random.random() < 0.5
    }
    world.network.cut |= cut
    _write(world, node, 4)
    world.later(0.5, lambda: back_up(world, node))
    world.later(0.6, lambda: _write(world, node, 4))
    world.later(1.0, lambda: world.network.cut.difference_update(cut))
    world.later(world.random.uniform(1, 3), lambda: None if world.is_well else rot(world, node))
    undo = world.random.choice((_undo, restore))
    world.later(world.random.uniform(1, 4), lambda: undo(world, node))
    world.later(world.random.uniform(4, 8), lambda: _write(world, node, 3))


def _undo(world: World, node: Node) -> None:
    backup = world.backups.get(node.name)
    if backup is not None and not world.is_well and backup.node == node.disk.node:
        node.crash()
        world.replace_disk(node, backup.copy())
        node.start()
        _write(world, node, 4)  # before it has heard of what it has forgotten


def hide(world: World, node: Node) -> None:
    """Bytes that were just stored are away for a while, and who asks for them may crash
    meanwhile.
    """
    _write(world, node, 2)
    world.later(0.05, lambda: _hide(world, node))


def _write(world: World, node: Node, count: int) -> None:
    for _ in range(0 if world.is_well else count):
        node.write(random_write(world.random), 0)


def _hide(world: World, node: Node) -> None:
    disk = node.disk
    newest = max(
        (entry for entry in disk.rows.values() if entry.content),
        key=lambda entry: entry.seq,
        default=None,
    )
    if newest is None or newest.content is None or newest.content.digest not in disk.objects:
        return
    digest = newest.content.digest
    spoil(disk, digest, gone=True)
    world.later(world.random.uniform(2, 10), lambda: disk.keep(digest, BYTES[digest]))
    pullers = [other for other in world.nodes.values() if node.name in other.upstreams]
    if pullers:
        world.later(
            world.random.uniform(0.5, 5),
            lambda: None if world.is_well else crash(world, world.random.choice(pullers)),
        )


def lose_folder(world: World, node: Node) -> None:
    """The data folder is lost: the node comes back empty, with a new id."""
    node.crash()
    world.replace_disk(node, world.new_disk())
    world.later(world.random.uniform(0, 3), node.start)


def clone(world: World, node: Node) -> None:
    """The data folder of another node is put in the place of its own, and both run."""
    others = [
        other
        for other in world.nodes.values()
        if other is not node and other.name not in world.clones
    ]
    if others and not world.clones:
        world.clones.add(node.name)
        node.crash()
        world.replace_disk(node, world.random.choice(others).disk.copy())
        world.later(world.random.uniform(0, 1), node.start)


_FAULTS: dict[str, Callable[[World, Node], None]] = {
    fault.__name__: fault
    for fault in (
        crash,
        crash_after_commit,
        away,
        stall,
        partition,
        flap,
        fill_disk,
        rot,
        clock,
        cut_connection,
        relink,
        slow_store,
        collect,
        back_up,
        restore,
        live_again,
        hide,
        lose_folder,
        clone,
    )
}
