"""A simulated daemon: the real Replica, and a shell that does what it asks with a store that takes
its time, fails, and dies at any moment.

Reads and pieces are worked at all at once, and come to an end in any order; transactions, of joins
and of clients' calls, one after the other. Each has two moments, of which a crash may fall between:
when it is durable, and when the core is told.
"""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from imagepipe.core.replication import messages
from imagepipe.core.replication.actions import (
    Action,
    DiscardTransfer,
    Examine,
    ForgetUpstreams,
    Join,
    Notify,
    ReadChanges,
    ReadPieces,
    Redirect,
    RefetchDone,
    Release,
    ReportRejected,
    SendReply,
    SendRequest,
    StorePieces,
)
from imagepipe.core.replication.fetches import ReceiveResult
from imagepipe.core.replication.link import GETS_MAX, PULLS_MAX
from imagepipe.core.replication.messages import Batch, Changes, Get
from imagepipe.core.replication.replica import Replica
from imagepipe.core.replication.subscribers import READS_OF_ALL_MAX, SUBSCRIBERS_MAX
from imagepipe.core.rows import join
from imagepipe.core.rows.entries import Entry, PathChange, Row
from tests.simulation.contents import GET_BYTES, is_good
from tests.simulation.disk import Disk

if TYPE_CHECKING:
    from tests.simulation.world import World

CLUSTER = "simulated"
TICKS_AT_ONCE_MAX = 20
MENDED_SECONDS_MAX = 60.0
NEVER = float("inf")
T = TypeVar("T")


class Node:
    """`disk` and the wall clock survive a crash, the rest does not.

    liars: hostile peers that it pulls from besides `upstreams`, until they are cut off.

    wall_ms: what its clock is off by. slowness: how long the store takes at most, in seconds. full:
    the disk is. dies_after_commit: it crashes when the next transaction is durable.
    """

    def __init__(
        self,
        world: "World",
        name: str,
        upstreams: tuple[str, ...],
        disk: Disk,
        clock: tuple[float, float],
    ) -> None:
        self.name = name
        self.upstreams = upstreams
        self.liars: tuple[str, ...] = ()
        self.disk = disk
        self.clock_offset, self.clock_rate = clock
        self.boot = 0
        self.up = False
        self.stalled_until = 0.0
        self.slowness = 0.02
        self.full = False
        self.dies_after_commit = False
        self._world = world
        self._forget()

    def _forget(self) -> None:
        self.boot += 1
        self.up = False
        self.pins: Counter[str] = Counter()
        self.transfers: dict[int, dict[int, bytes]] = {}
        self.mends: dict[int, float] = {}
        self._joining = 0
        self._writer_free = 0.0
        self._armed = NEVER
        self._ticks = (0.0, 0)

    # Life and death.

    def start(self) -> None:
        """Start the daemon."""
        if self.up:
            return
        self.up = True
        disk, rows_max = self.disk, self._world.plan.rows_max
        disk.start(f"{self._world.random.getrandbits(48):x}")
        pending = [join.Pending(upstream, row) for (upstream, _), row in disk.pending.items()]
        self.replica = Replica(
            disk.node,
            disk.epochs,
            disk.seq,
            disk.cursors,
            pending,
            self.wall_ms,
            rows_max=rows_max,
            get_bytes_max=GET_BYTES,
            pending_max=self._world.plan.pending_max,
        )
        for upstream in self.links:
            self.replica.add_link(upstream, self._world.now)
        self._world.note(self.name, "starts", self.disk.node, self.disk.epochs[-1])
        self._perform()

    def crash(self) -> None:
        """Kill it: what is not on the disk is gone."""
        if self.up:
            self._world.note(self.name, "crashes")
            self._forget()

    def wall_ms(self) -> int:
        """Its wall clock."""
        return int(1_700_000_000_000 + self.clock_offset + self._world.now * 1000 * self.clock_rate)

    # What comes in. While the process is stopped everything waits.

    def hear(self, receive: Callable[[str, bytes], None], sender: str, data: bytes) -> None:
        """A message has arrived."""
        if self.up:
            self._when_running(self.boot, lambda: receive(sender, data), True)

    def doorbell(self, upstream: str, data: bytes) -> None:
        """A Head was published."""
        if upstream in self.links and (head := self._decoded(messages.decode_head, upstream, data)):
            self._world.note(self.name, "hears", upstream, head)
            self.replica.heard_head(upstream, head, self._world.now)

    def reply(self, upstream: str, data: bytes) -> None:
        """An answer has come."""
        message = (
            self._decoded(messages.decode_reply, upstream, data) if upstream in self.links else None
        )
        if message is None:
            return
        if isinstance(message, Batch) and upstream in self.upstreams:
            self._world.oracle.told(message)
        self._world.note(self.name, "gets from", upstream, message)
        self.replica.answered(upstream, message, self._world.now)

    def request(self, client: str, data: bytes) -> None:
        """Somebody asks."""
        puller = self._world.network.puller(client)
        message = self._decoded(messages.decode_request, client.split(" ", 1)[0], data)
        if message is None:
            return
        self._world.note(self.name, "is asked by", client, message)
        key = client.split(" ", 1)[0] if self._world.liar else ""
        self.replica.asked(client.encode(), message, self._world.now, key)
        if isinstance(message, Changes):
            self._world.oracle.acknowledged(self, message.node, puller)

    def _decoded(self, decode: Callable[[str, bytes], T], sender: str, data: bytes) -> T | None:
        """A message; None: it is not one, which only a hostile peer sends."""
        try:
            return decode(CLUSTER, data)
        except (messages.Malformed, messages.Foreign) as error:
            liar = self._world.liar
            self._world.oracle.require(
                liar is not None and sender == liar.name,
                f"{sender} has sent {self.name} a message that {error}",
            )
            self._world.note(self.name, "drops a message of", sender, error)
            if isinstance(error, messages.Foreign) and sender in self.links:
                self.replica.refuse(sender, str(error), self._world.now)
            return None

    @property
    def links(self) -> tuple[str, ...]:
        """All that it pulls from."""
        return (*self.upstreams, *self.liars)

    def cut_off(self, liar: str) -> None:
        """The operator removes a peer for good."""
        self.liars = tuple(name for name in self.liars if name != liar)
        if self.up and liar in self.replica.links:
            self.replica.remove_link(liar, self._world.now)
            self._perform()

    def relink(self, upstream: str) -> None:
        """The operator removes a link, and adds it again."""
        if self.up and upstream in self.replica.links:
            self._world.note(self.name, "links anew", upstream)
            self.replica.remove_link(upstream, self._world.now)
            self._perform()
            self._later(
                self._world.random.uniform(0, 1),
                lambda: self.replica.add_link(upstream, self._world.now),
            )

    def write(self, decide: Callable[[Disk], tuple[PathChange, ...]], min_acks: int) -> None:
        """A client's call."""
        if self.up:
            self._in_turn(lambda: self._write(decide, min_acks))

    def ask_for_news(self) -> None:
        """A call wants to know what the upstreams have now; in a while it looks which of them have
        told.
        """
        if self.up and self.stalled_until <= self._world.now and not self._world.clones:
            since = self._world.now
            had = {
                name: (
                    self._world.nodes[name].disk,
                    list(self._world.nodes[name].disk.rows.values()),
                )
                for name in self.upstreams
            }
            self.replica.refresh(since)
            self._perform()
            for _ in range(4):
                self._work(
                    self._world.random.uniform(0, 3), lambda: self._look_for_news(since, had)
                )

    def _look_for_news(self, since: float, had: dict[str, tuple[Disk, list[Entry]]]) -> None:
        for name, (disk, rows) in had.items():
            link = self.replica.links.get(name)
            if (
                link
                and link.current_as_of >= since
                and self._world.nodes[name].disk is disk
                and not self._world.clones
            ):
                missed = [
                    row
                    for row in self._world.oracle.reliable(rows)
                    if not self.disk.dominates(row)
                    and not any(path == row.path for _, path in self.disk.pending)
                ]
                self._world.oracle.require(
                    not missed,
                    f"{self.name} takes itself to be as of {since} of {name} without {missed}",
                )

    def collect(self) -> None:
        """Remove objects that nothing names."""
        if self.up:
            self._world.note(self.name, "collects")
            self.disk.collect(self.pins)

    def repair(self) -> None:
        """An operator runs verify --repair: the bytes of live rows that were spoilt are fetched
        from whoever has them.
        """
        if self.up:
            self._when_running(self.boot, self._repair, True)

    def _repair(self) -> None:
        contents = {
            entry.content
            for entry in self.disk.rows.values()
            if entry.content and entry.content.digest in self.disk.damaged
        }
        if contents:
            number = self.replica.refetch(
                sorted(contents, key=lambda content: content.digest), self._world.now
            )
            self.mends[number] = self._world.now
            self._world.note(self.name, "mends", number, contents)

    # Doing what the core asks.

    def _perform(self) -> None:
        for action in self.replica.take_actions():
            self._do(action)
        self._arm()

    def _do(self, action: Action) -> None:
        match action:
            case SendRequest(link, message):
                self._world.note(self.name, "asks", link, message)
                self._check_bounds(link)
                self._world.network.ask(self, link, messages.encode(CLUSTER, message))
            case SendReply(client, reply):
                self._world.network.answer(self, client.decode(), messages.encode(CLUSTER, reply))
            case Notify(head):
                self._world.network.ring(self, messages.encode(CLUSTER, head))
            case Examine():
                self._world.note(self.name, "examines", action)
                self._work(self._pause(), lambda: self._examine(action))
            case StorePieces():
                self._world.note(
                    self.name,
                    "keeps",
                    action.link,
                    action.rid,
                    [part.transfer for part in action.parts],
                )
                for part in action.parts:
                    self.transfers.setdefault(part.transfer, {})
                self._work(self._pause(), lambda: self._keep(action))
            case DiscardTransfer(transfer):
                self.transfers.pop(transfer, None)
            case Join():
                self._world.note(self.name, "joins", action)
                self._joining += 1
                self._world.oracle.require(
                    self._joining == 1, f"{self.name} joins two batches at once"
                )
                self._in_turn(lambda: self._join(action))
            case Release(rows):
                self._unpin(rows)
            case ForgetUpstreams(upstreams):
                self._in_turn(lambda: self.disk.forget(upstreams))
            case ReadChanges():
                self._work(self._pause(), lambda: self._read_changes(action))
            case ReadPieces():
                self._work(self._pause(), lambda: self._read_pieces(action))
            case RefetchDone(number):
                took = self._world.now - self.mends.pop(number)
                self._world.oracle.require(
                    took <= MENDED_SECONDS_MAX, f"{self.name} has fetched bytes for {took} s"
                )
            case Redirect() | ReportRejected():
                pass

    def _examine(self, action: Examine) -> None:
        now = self._world.now
        if self._fails():
            self._later(0.0, lambda: self.replica.pull_failed(action.pull, self._world.now))
            return
        self.pins.update(_digests(action.rows))
        lacking = [
            content
            for content in join.missing_contents(action.rows, self.disk.rows.get)
            if not self.disk.has_bytes(content)
        ]
        self._world.note(self.name, "has examined", action.pull, lacking, now)
        self._later(
            self._pause(), lambda: self.replica.examined(action.pull, lacking, self._world.now)
        )

    def _keep(self, action: StorePieces) -> None:
        if self._fails():
            self._later(
                0.0, lambda: self.replica.store_failed(action.link, action.rid, self._world.now)
            )
            return
        results: dict[int, ReceiveResult] = {}
        for part, piece in zip(action.parts, action.pieces, strict=True):
            pieces = self.transfers.get(part.transfer)
            if pieces is None:
                continue
            pieces[part.offset] = piece
            results[part.transfer] = ReceiveResult.MORE
            if sum(map(len, pieces.values())) == part.content.size:
                results[part.transfer] = self._complete(
                    part.content.digest, b"".join(pieces[offset] for offset in sorted(pieces))
                )
                del self.transfers[part.transfer]
        self._later(
            self._pause(),
            lambda: self.replica.pieces_stored(
                action.link, action.rid, list(results.items()), self._world.now
            ),
        )

    def _complete(self, digest: str, data: bytes) -> ReceiveResult:
        if not is_good(digest, data):
            return ReceiveResult.DAMAGED
        self.disk.keep(digest, data)
        return ReceiveResult.COMPLETE

    def _join(self, action: Join) -> None:
        self._joining -= 1
        self._unpin(action.rows)
        if self._fails():
            self._later(0.0, lambda: self.replica.pull_failed(action.pull, self._world.now))
            return
        seq = self.disk.seq
        joined = self.disk.join(action)
        self._world.note(self.name, "has joined", action.pull, joined)
        if action.upstream and action.cursor:
            self._world.oracle.moved(self, action.upstream, action.cursor)
        self._has_committed(seq, lambda: self.replica.joined(action.pull, joined, self._world.now))

    def _write(self, decide: Callable[[Disk], tuple[PathChange, ...]], min_acks: int) -> None:
        changes = decide(self.disk)
        if not changes or self._fails():
            return
        seq = self.disk.seq
        # As they lie there, not as `known_at` has them: whether that is right is what the oracle
        # looks at.
        rows = [*self.disk.rows.values(), *(row.entry for row in self.disk.pending.values())]
        before = {
            change.path: [row for row in rows if row.path == change.path] for change in changes
        }
        entries = self.disk.write(changes, self.wall_ms())
        self._world.note(self.name, "writes", entries)
        self._world.oracle.dated(self, entries, before)
        self._world.oracle.written(self, entries, min_acks)
        self._has_committed(seq, None)

    def _has_committed(self, before: int, tell: Callable[[], None] | None) -> None:
        if self.dies_after_commit:
            self.dies_after_commit = False
            self.crash()
            self._world.at(self._world.now + self._world.random.uniform(0, 5), self.start)
            return
        seq = self.disk.seq
        if tell:
            self._later(self._pause(), tell)
        if seq != before:
            self._later(self._pause(), lambda: self.replica.committed(seq, self._world.now))

    def _read_changes(self, action: ReadChanges) -> None:
        if self._fails():
            self._later(0.0, lambda: self.replica.read_failed(action.client))
            return
        end, rows = self.disk.seq, self.disk.changes(action.after, action.rows_max)
        self._later(
            self._pause(),
            lambda: self.replica.changes_read(action.client, action.rid, action.after, end, rows),
        )

    def _read_pieces(self, action: ReadPieces) -> None:
        pieces = [self._read(one.digest, one.offset, one.length) for one in action.ranges]
        self._later(
            self._pause(), lambda: self.replica.pieces_read(action.client, action.rid, pieces)
        )

    def _read(self, digest: str, offset: int, length: int) -> bytes | None:
        data = self.disk.objects.get(digest)
        if data is None or (digest in self.disk.damaged and self._world.random.random() < 0.3):
            return None
        return data[offset : offset + length]

    def _unpin(self, rows: tuple[Row, ...]) -> None:
        for digest in _digests(rows):
            self.pins[digest] -= 1
            self._world.oracle.require(
                self.pins[digest] >= 0, f"{self.name} lets go of what it does not hold"
            )

    def _fails(self) -> bool:
        return self.full and self._world.random.random() < 0.7

    # Time.

    def _pause(self) -> float:
        return self._world.random.random() * self.slowness

    def _in_turn(self, do: Callable[[], None]) -> None:
        self._writer_free = max(self._writer_free, self._world.now) + self._pause()
        self._work(self._writer_free - self._world.now, do)

    def _work(self, delay: float, do: Callable[[], None]) -> None:
        self._world.at(self._world.now + delay, self._when_running, self.boot, do, False)

    def _later(self, delay: float, tell: Callable[[], None]) -> None:
        self._world.at(self._world.now + delay, self._when_running, self.boot, tell, True)

    def _when_running(self, boot: int, do: Callable[[], None], is_event: bool) -> None:
        if boot != self.boot:
            return
        if self.stalled_until > self._world.now:
            self._world.at(self.stalled_until, self._when_running, boot, do, is_event)
            return
        do()
        if is_event:
            self._perform()

    def _arm(self) -> None:
        deadline = self.replica.next_deadline(self._world.now)
        if deadline < self._armed:
            self._armed = deadline
            self._world.at(
                deadline, self._when_running, self.boot, lambda: self._tick(deadline), False
            )

    def _tick(self, armed: float) -> None:
        if armed != self._armed:
            return
        now = self._world.now
        self._armed = NEVER
        if self.replica.next_deadline(now) <= now:
            self._ticks = (now, self._ticks[1] + 1 if self._ticks[0] == now else 1)
            self._world.oracle.require(
                self._ticks[1] <= TICKS_AT_ONCE_MAX,
                f"{self.name} ticks for ever: {self._ticks[1]} times at {now}",
            )
            self.replica.tick(now)
            self._check_bounds(None)
            self._perform()
        else:
            self._arm()

    def _check_bounds(self, link: str | None) -> None:
        require = self._world.oracle.require
        for one in [self.replica.links[link]] if link else self.replica.links.values():
            gets = sum(1 for asked in one.asked.values() if isinstance(asked.message, Get))
            require(
                gets + len(one.storing) <= GETS_MAX,
                f"{self.name} has {gets} Gets under way and {len(one.storing)} kept from"
                f" {one.name}",
            )
            require(
                len(one.asked) - gets <= 1,
                f"{self.name} has asked {one.name} two things at once: {one.asked}",
            )
            require(
                len(one.pulls) <= PULLS_MAX,
                f"{self.name} has {len(one.pulls)} batches of {one.name}",
            )
        nodes = [one.node for one in self.replica.links.values() if one.node]
        require(
            len(nodes) == len(set(nodes)),
            f"{self.name} pulls from a node and from a copy of it: {nodes}",
        )
        require(
            len(self.disk.cursors) <= len(self._world.nodes) + 1,
            f"{self.name} keeps {len(self.disk.cursors)} cursors",
        )
        require(
            len(self.replica.subscribers.known) <= SUBSCRIBERS_MAX,
            f"{self.name} remembers too many subscribers",
        )
        reads = self.replica.subscribers.reads_under_way
        require(reads <= READS_OF_ALL_MAX, f"{self.name} reads {reads} answers at once")

    def busy(self) -> "str | None":
        """What it has not come to an end with, or still holds; None: nothing. A poll may always be
        under way.
        """
        links = [
            link.name
            for link in self.replica.links.values()
            if link.pulls or link.storing or any(one.parts for one in link.asked.values())
        ]
        pins = [digest for digest, count in self.pins.items() if count]
        if links or pins or self.transfers or self.mends or self.replica.missing_bytes:
            return (
                f"{self.name}: links {links}, pins {pins}, transfers {self.transfers}, mends"
                f" {self.mends}"
            )
        return None


def _digests(rows: tuple[Row, ...]) -> list[str]:
    return [row.entry.content.digest for row in rows if row.entry.content]


def live(entry: Entry | None) -> bool:
    """Whether a row holds something."""
    return entry is not None and entry.content is not None
