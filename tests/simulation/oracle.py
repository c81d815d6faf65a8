"""What must hold, all the time and in the end; independent of how the core comes by it.

All the time: a row gives way only to a greater one, and is there only with its bytes; what a node
acknowledged is in its map; a number means one row; a cursor is not ahead of what was joined; a
loser of a conflict is in the history of the node that took it, unless it was erased, and then it is
not. In the end: every node has heard of every change, the trees are equal, nothing waits that could
be had, nothing is held, and the cluster is silent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagepipe.core.paths import ancestors
from imagepipe.core.replication.messages import Batch
from imagepipe.core.replication.subscribers import Subscriber
from imagepipe.core.rows.entries import Content, Entry, wins
from imagepipe.core.rows.epochs import holds
from imagepipe.core.rows.erasure import erased_path, erasure_path, is_erased
from imagepipe.core.rows.join import Cursor
from imagepipe.core.rows.stamp import CLOCK_MAX, STAMP_MAX, Version, milliseconds
from imagepipe.core.rows.visibility import visible
from tests.simulation.contents import CONTENTS, is_good
from tests.simulation.disk import Disk
from tests.simulation.node import Node
from tests.simulation.plan import reaching

if TYPE_CHECKING:
    from tests.simulation.world import World


class Violation(AssertionError):
    """A promise was broken."""


@dataclass(slots=True, eq=False)
class Written:
    """A row that a client's call wrote. lost: the only copy was lost with a disk, nobody having
    been promised another.
    """

    entry: Entry
    disk: Disk
    min_acks: int
    lost: bool = False


class Oracle:
    """What it has seen."""

    def __init__(self, world: "World") -> None:
        self.last_written = 0.0
        self._world = world
        self._written: list[Written] = []
        self._unconfirmed: list[Written] = []
        self._gone: list[Disk] = []
        self._known: dict[tuple[str, Version, str], Entry] = {}
        self._told: dict[tuple[str, str, int], tuple[str, Version]] = {}
        self._lied: set[str] = set()  # paths that a hostile peer has named
        # paths that had the greatest stamp, so that their rows need not converge
        self._spent: set[str] = set()
        # paths that a client has written to together with one of those
        self._undated: set[str] = set()
        self._latest_ms = 0  # of all clocks by which anything was written

    def require(self, truth: bool, text: str) -> None:
        """Fail the run unless it is so."""
        if not truth:
            raise Violation(text)

    def lied(self, path: str, stamp: int) -> None:
        """A hostile peer has made up a row. That it erases a path, or names one that was erased,
        concerns both.
        """
        bare = erased_path(path) or path
        for named in (bare, erasure_path(bare)):
            self._lied.add(named)
            if stamp >= STAMP_MAX:
                self._spent.add(named)

    # All the time.

    def written(self, node: Node, entries: tuple[Entry, ...], min_acks: int) -> None:
        """A client's call was committed."""
        self.last_written = self._world.now
        for entry in entries:
            may_be_erased = (
                not entry.content
                or entry.path in self._spent
                or not is_erased(entry, node.disk.rows)
            )
            self.require(may_be_erased, f"{entry} is erased by what its writer knew")
            of_clocks = {other.version for other in entries if other.version.stamp < CLOCK_MAX}
            self.require(len(of_clocks) <= 1, f"{entries} are of one call")
            one = Written(entry, node.disk, min_acks)
            self._written.append(one)
            self._known[_key(entry)] = entry
            if min_acks:
                self._unconfirmed.append(one)

    def dated(
        self, node: Node, entries: tuple[Entry, ...], known: Mapping[str, Sequence[Entry]]
    ) -> None:
        """A client's call was committed, whose node knew these rows: it is above them, and else as
        old as it is.
        """
        self._latest_ms = max(self._latest_ms, node.wall_ms())
        paths = {entry.path for entry in entries}
        if paths & (self._lied | self._undated):
            self._undated |= paths
        for entry in entries:
            is_forged = entry.version.stamp >= CLOCK_MAX
            self.require(
                not is_forged or entry.path in self._lied,
                f"{entry} is dated as only a liar would, who has not named it",
            )
            if entry.version.stamp >= STAMP_MAX:
                self._spent.add(entry.path)
            for other in known[entry.path]:
                self.require(
                    entry.version > other.version or other.version.stamp >= STAMP_MAX,
                    f"{entry} is not above {other}, which was known",
                )
            is_of_now = milliseconds(entry.version.stamp) <= self._latest_ms
            self.require(
                is_of_now or entry.path in self._undated,
                f"{entry} is dated later than any clock, {self._latest_ms}",
            )

    def changed(self, disk: Disk, before: Entry | None, after: Entry) -> None:
        """A row was written."""
        self.require(
            wins(after, before) or after.path in self._spent, f"{after} was written over {before}"
        )
        if after.content and after.content.digest not in disk.damaged:
            self.require(
                is_good(after.content.digest, disk.objects.get(after.content.digest)),
                f"no bytes of {after}",
            )
        if (
            before
            and before.content
            and before.path not in self._lied
            and before.version.origin == disk.node != after.version.origin
            and before.content != after.content
        ):
            may_go = self._descends(after, before) or is_erased(before, disk.rows)
            self.require(
                may_go or before in disk.history, f"{before} was overwritten in secret by {after}"
            )

    def told(self, batch: Batch) -> None:
        """A batch has come to someone."""
        for row in batch.rows:
            key = (batch.node, batch.epoch, row.entry.seq)
            is_same = self._told.setdefault(key, (row.entry.path, row.entry.version)) == (
                row.entry.path,
                row.entry.version,
            )
            self.require(
                is_same,
                f"number {row.entry.seq} of {batch.node} has meant {self._told[key]} in this epoch,"
                f" and is {row.entry}",
            )

    def moved(self, node: Node, upstream: str, cursor: Cursor) -> None:
        """A cursor has moved."""
        for other in self._world.nodes.values():
            disk = other.disk
            if other.name == upstream and holds(
                disk.epochs, disk.seq, cursor.epoch, max(cursor.seq, cursor.end)
            ):
                for entry in self.reliable(disk.rows.values()):
                    waits = node.disk.pending.get((upstream, entry.path))
                    has = node.disk.dominates(entry) or (
                        waits is not None and not wins(entry, waits.entry)
                    )
                    self.require(
                        entry.seq > cursor.seq or has,
                        f"{node.name} has moved its cursor to {cursor} without {entry}",
                    )

    def acknowledged(self, node: Node, by: str, puller: Node | None) -> None:
        """A node has asked `node` for changes, and so told how far it has come."""
        subscriber = _subscriber(node, puller) if puller else None
        if subscriber is None or puller is None or puller.disk.node != by:
            return
        for entry in self.reliable(node.disk.rows.values()):
            if entry.seq <= subscriber.acked:
                self.require(
                    puller.disk.dominates(entry),
                    f"{puller.name} has acknowledged {entry} of {node.name} without having it",
                )
        for one in [one for one in self._unconfirmed if one.disk is node.disk]:
            if node.replica.subscribers.confirmations(one.entry.seq) >= one.min_acks:
                self._unconfirmed.remove(one)
                disks = [other.disk for other in self._world.nodes.values() if other is not node]
                copies = sum(disk.dominates(one.entry) for disk in disks + self._gone)
                is_newest = (
                    node.disk.rows[one.entry.path].seq == one.entry.seq
                    and one.entry.path not in self._spent
                )
                lies = 1 if self._world.liar else 0  # one key confirms for one node
                self.require(
                    copies >= one.min_acks - lies or not is_newest,
                    f"{one.entry} was confirmed by {one.min_acks}, and {copies} have it",
                )

    def disk_gone(self, disk: Disk, others: list[Disk]) -> None:
        """A disk was lost, or went back to an old state; `others` are all that there are now."""
        self._gone.append(disk)
        for one in self._written:
            if (
                not one.lost
                and disk.dominates(one.entry)
                and not any(other.dominates(one.entry) for other in others)
            ):
                one.lost = True
        self._unconfirmed = [one for one in self._unconfirmed if one.disk is not disk]

    def sample(self) -> None:
        """Every live row's bytes are there, at any moment."""
        for node in self._world.nodes.values():
            disk = node.disk
            for entry in disk.rows.values():
                if entry.content and entry.content.digest not in disk.damaged:
                    self.require(
                        is_good(entry.content.digest, disk.objects.get(entry.content.digest)),
                        f"{node.name} has no bytes of {entry}",
                    )
            for row in disk.pending.values():
                self.require(
                    row.entry.version.stamp < STAMP_MAX,
                    f"{node.name} waits for the bytes of {row}, which nothing can overtake",
                )
            for lost in disk.history:
                self.require(
                    not is_erased(lost, disk.rows), f"{node.name} keeps {lost}, which was erased"
                )

    # In the end.

    def unsettled(self) -> str | None:
        """What is still to come, now that all is well; None: nothing."""
        nodes = self._world.nodes
        for node in nodes.values():
            if not node.up:
                return f"{node.name} is down"
            for name in node.upstreams:
                upstream = nodes[name]
                for entry in self.reliable(upstream.disk.rows.values()):
                    waits = node.disk.pending.get((name, entry.path))
                    is_known = node.disk.dominates(entry) or (
                        waits is not None and waits.entry.version == entry.version
                    )
                    if not is_known and not self._is_beyond_bound(node, name, entry):
                        return f"{node.name} has not heard of {entry} of {name}"
                for entry in (
                    row.entry
                    for (who, path), row in node.disk.pending.items()
                    if who == name and path not in self._spent
                ):
                    told = upstream.disk.rows.get(entry.path)
                    if told is None or told.version != entry.version:
                        return f"{node.name} waits for {entry}, which {name} does not have any more"
                subscriber = _subscriber(upstream, node)
                if subscriber is None or subscriber.acked < self._ackable(node, upstream):
                    return f"{name} has not heard how far {node.name} has come"
            for entry in node.disk.rows.values() if self._world.plan.mends else ():
                content = entry.content
                if content and not is_good(content.digest, node.disk.objects.get(content.digest)):
                    for name in node.upstreams:
                        if is_good(content.digest, nodes[name].disk.objects.get(content.digest)):
                            return (
                                f"{node.name} has no good bytes of {entry.path}, which {name} has"
                            )
            for (_, path), row in node.disk.pending.items():
                content = row.entry.content
                if content in CONTENTS and any(
                    is_good(content.digest, nodes[name].disk.objects.get(content.digest))
                    for name in node.upstreams
                ):
                    return f"{node.name} waits for the bytes of {path}, which can be had"
            if not node.disk.pending and not node.liars and (busy := node.busy()):
                return busy
        return None

    def check_end(self) -> None:
        """Everything that was promised is so."""
        nodes = self._world.nodes
        self.sample()
        waiting = {path for node in nodes.values() for _, path in node.disk.pending} | self._spent
        for node in nodes.values():
            for name in node.upstreams:
                waiting |= {
                    entry.path
                    for entry in nodes[name].disk.rows.values()
                    if self._is_beyond_bound(node, name, entry)
                }
        maps = {
            name: {
                path: _key(entry) for path, entry in node.disk.rows.items() if path not in waiting
            }
            for name, node in nodes.items()
        }
        for name, node in nodes.items():
            for entry in node.disk.rows.values():
                self.require(
                    _key(entry) in self._known or entry.path in self._lied,
                    f"nobody has ever written {entry}, which {name} has",
                )
        links = self._world.plan.links
        for one in self._written:
            if one.lost or one.entry.path in waiting:
                continue
            for name, node in nodes.items():
                if self._world.plan.everywhere or one.disk in [
                    nodes[other].disk for other in reaching(links, name)
                ]:
                    self.require(
                        node.disk.dominates(one.entry), f"{name} has never got {one.entry}"
                    )
        if self._world.plan.everywhere:
            first = next(iter(nodes))
            for name in nodes:
                self.require(
                    maps[name] == maps[first],
                    f"{name} and {first} differ: {maps[name]}, {maps[first]}",
                )
                if not waiting:
                    self.require(
                        _tree(nodes[name].disk) == _tree(nodes[first].disk),
                        f"the trees of {name} and {first} differ",
                    )

    def _ackable(self, node: Node, upstream: Node) -> int:
        waiting = [
            row.entry.seq - 1 for (who, _), row in node.disk.pending.items() if who == upstream.name
        ]
        return min([upstream.disk.seq, *waiting])

    def _is_beyond_bound(self, node: Node, upstream: str, entry: Entry) -> bool:
        """Whether as many rows of the upstream wait as may, and this would be one more, because
        nobody has its bytes.
        """
        copies = [self._world.nodes[name].disk for name in node.upstreams]
        has_bytes = entry.content is None or any(
            is_good(entry.content.digest, disk.objects.get(entry.content.digest)) for disk in copies
        )
        link = node.replica.links.get(upstream)
        return (
            link is not None and link.is_full and not has_bytes and not node.disk.dominates(entry)
        )

    def reliable(self, rows: Iterable[Entry]) -> list[Entry]:
        """Those of a node's rows that other nodes must have too."""
        return [entry for entry in rows if entry.path not in self._spent]

    def _descends(self, entry: Entry, from_: Entry) -> bool:
        """Whether who wrote `entry` had seen `from_`, as far as what was written over what
        tells.
        """
        here: Entry | None = entry
        while here is not None and here.replaced is not None:
            if here.replaced == from_.version:
                return True
            replaced = here.replaced
            here = next(
                (
                    one.entry
                    for one in self._written
                    if one.entry.path == entry.path and one.entry.version == replaced
                ),
                None,
            )
        return False


def _subscriber(node: Node, puller: Node) -> Subscriber | None:
    """What `node` knows of a puller: by its key, or by its id where there are no keys."""
    subscribers = node.replica.subscribers.known
    return subscribers.get(puller.name) or subscribers.get(puller.disk.node)


def _key(entry: Entry) -> tuple[str, Version, str]:
    return entry.path, entry.version, entry.content.digest if entry.content else ""


def _tree(disk: Disk) -> dict[str, Content]:
    tree = {}
    for path, entry in disk.rows.items():
        related = [
            disk.rows[other]
            for other in disk.rows
            if other in ancestors(path) or path in ancestors(other)
        ]
        if content := visible(entry, related):
            tree[path] = content
    return tree
