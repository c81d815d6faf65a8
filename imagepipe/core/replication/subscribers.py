"""The upstream's side of the protocol: sends change notifications, answers requests from pullers,
and tracks how far each of them has got.

Answers do not depend on any state about the puller: it may send any request at any time,
repeatedly, in any order, over a new connection.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imagepipe.core.node_names import clean_name
from imagepipe.core.replication.actions import Action, Notify, ReadChanges, ReadPieces, SendReply
from imagepipe.core.replication.messages import (
    ROWS_MAX,
    Changes,
    Head,
    Hello,
    Pieces,
    Refused,
    Request,
    batch,
)
from imagepipe.core.rows.entries import Row
from imagepipe.core.rows.epochs import Epoch, holds

HEAD_SECONDS = 1.0
"""How often a notification is sent when nothing has changed."""

NOTIFY_SECONDS = 0.01
"""The shortest time between two notifications when something has changed."""

READS_MAX = 16
"""How many answers to one client are read at once. Requests beyond that are dropped; the client
repeats them.
"""

READS_OF_ALL_MAX = 128

ABSENT_SECONDS = 60.0
"""A subscriber that has sent no request for this long is forgotten when the cluster changes, until
it sends one again.
"""

SUBSCRIBERS_MAX = 256
"""How many subscribers are tracked. Beyond that, the one silent for longest is forgotten."""

OWN_NODE = "you have my node id: your data folder is a copy of mine"


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A node that pulls from this one: everything up to `acked` is durable there. heard: when it
    last sent a request.

    node, name: the id and the name that it claims. key: the key that it has proved to hold; empty
    without keys.
    """

    acked: int
    heard: float
    node: str
    name: str = ""
    key: str = ""


class Subscribers:
    """The subscribers of this node. epochs: the node's epochs, the current one last. last_seq: its
    newest durable sequence number.

    sync: as in Head. wall_ms: the wall clock. publishes: whether change notifications are sent.
    rows_max, name: as in Replica.
    """

    def __init__(
        self,
        node: str,
        epochs: Sequence[Epoch],
        last_seq: int,
        sync: str,
        wall_ms: Callable[[], int],
        *,
        publishes: bool,
        rows_max: int = ROWS_MAX,
        name: str = "",
    ) -> None:
        self.name = name
        # by key, or by node id where there are no keys
        self.known: dict[str, Subscriber] = {}
        self._node_of: dict[bytes, str] = {}  # connection -> the node id for which it acknowledges
        self.dropped = 0
        self.last_seq = last_seq
        self._node = node
        self._epochs = tuple(epochs)
        self._sync = sync
        self._wall_ms = wall_ms
        self._publishes = publishes
        self._rows_max = rows_max
        self._reads: Counter[bytes] = Counter()
        self._notified = float("-inf")
        self._notify_at = float("-inf") if publishes else float("inf")

    def listens(
        self, sync: str, now: float, *, publishes: bool, keys: frozenset[str] | None = None
    ) -> None:
        """The cluster has changed, and perhaps where this node accepts requests and whether it
        publishes. If it does, it sends a notification at once.

        keys: the names of the keys that may connect, or None without keys.
        """
        self._sync = sync
        self._publishes = publishes
        self._notify_at = float("-inf") if publishes else float("inf")
        self.known = {
            who: one
            for who, one in self.known.items()
            if now - one.heard < ABSENT_SECONDS
            and (one.key in keys if keys is not None else not one.key)
        }

    def head(self) -> Head:
        """The Head of this node."""
        return Head(
            self._node, self._epochs[-1].id, self.last_seq, self._sync, self._wall_ms(), self.name
        )

    def committed(self, seq: int) -> None:
        """Changes up to the number `seq` are durable."""
        if seq > self.last_seq:
            self.last_seq = seq
            if self._publishes:
                self._notify_at = min(self._notify_at, self._notified + NOTIFY_SECONDS)

    def notify(self, now: float) -> list[Action]:
        """Send a change notification if it is time."""
        if now < self._notify_at:
            return []
        self._notified = now
        self._notify_at = now + HEAD_SECONDS
        return [Notify(self.head())]

    @property
    def notify_at(self) -> float:
        """When the next notification is due."""
        return self._notify_at

    def asked(self, client: bytes, message: Request, now: float, key: str = "") -> list[Action]:
        """A request has arrived over the connection `client`. key: the key that the client has
        proved to hold; empty without keys.
        """
        if isinstance(message, Hello | Changes) and message.node == self._node:
            return [SendReply(client, Refused(message.rid, OWN_NODE))]
        if isinstance(message, Hello):
            return [SendReply(client, self.head())]
        if isinstance(message, Changes):
            self._note_acked(message, now, client, key)
        if self._reads[client] >= READS_MAX or self.reads_under_way >= READS_OF_ALL_MAX:
            self.dropped += 1
            return []
        self._reads[client] += 1
        if isinstance(message, Changes):
            return [
                ReadChanges(
                    client,
                    message.rid,
                    message.after if self._holds(message) else 0,
                    self._rows_max,
                )
            ]
        return [ReadPieces(client, message.rid, message.ranges)]

    def changes_read(
        self, client: bytes, rid: int, after: int, end: int, rows: Sequence[Row]
    ) -> list[Action]:
        """`rows` were read; `end` was the newest number at the same moment."""
        self._has_read(client)
        answer = batch(rid, self._node, self._epochs[-1].id, after, end, rows, self._rows_max)
        # rows can be read a moment before `committed` reports them, and the client will
        # acknowledge them
        self.committed(answer.end)
        return [SendReply(client, answer)]

    def pieces_read(self, client: bytes, rid: int, pieces: Sequence[bytes | None]) -> list[Action]:
        """Bytes were read."""
        self._has_read(client)
        return [SendReply(client, Pieces(rid, tuple(pieces)))]

    def read_failed(self, client: bytes) -> list[Action]:
        """A read failed: the client will repeat its request."""
        self._has_read(client)
        return []

    @property
    def reads_under_way(self) -> int:
        """How many answers are being read."""
        return self._reads.total()

    def confirmed_by(self, count: int) -> int:
        """The sequence number up to which `count` other nodes (at least one) have everything on
        disk.
        """
        acked = sorted(self._acked().values(), reverse=True)
        return acked[count - 1] if len(acked) >= count else 0

    def confirmations(self, seq: int) -> int:
        """How many other nodes have everything up to the sequence number `seq` on disk."""
        return sum(1 for acked in self._acked().values() if acked >= seq)

    def _acked(self) -> dict[str, int]:
        """How far each node has got. A key speaks for one node, and a node counts once, however
        many keys claim its id.
        """
        acked: dict[str, int] = {}
        for one in self.known.values():
            acked[one.node] = max(one.acked, acked.get(one.node, 0))
        return acked

    def _holds(self, message: Changes) -> bool:
        """Whether everything sent to the puller so far is still valid."""
        return holds(self._epochs, self.last_seq, message.epoch, max(message.after, message.end))

    def _note_acked(self, message: Changes, now: float, client: bytes, key: str) -> None:
        # Not the greatest number ever acknowledged: a node that lost its folder, or was restored,
        # has less than before. And 0 if rows sent to it are no longer valid: rows that it was not
        # sent, because they had changed by then, may have become valid again.
        acked = min(message.acked, message.after) if self._holds(message) else 0
        who = key or message.node
        if not key:
            self._bind(client, message.node)
        self.known.pop(who, None)
        self.known[who] = Subscriber(acked, now, message.node, clean_name(message.name), key)
        if len(self.known) > SUBSCRIBERS_MAX:
            del self.known[next(iter(self.known))]

    def _bind(self, client: bytes, node: str) -> None:
        """Let a connection acknowledge for one node only: the last one that it has named."""
        before = self._node_of.pop(client, node)
        if before != node:
            self.known.pop(before, None)
        self._node_of[client] = node
        if len(self._node_of) > SUBSCRIBERS_MAX:
            del self._node_of[next(iter(self._node_of))]

    def _has_read(self, client: bytes) -> None:
        self._reads[client] -= 1
        if not self._reads[client]:
            del self._reads[client]
