"""The replication state machine. It decides what to request from which peer and when, and handles
the answers. It does no I/O.

    heard_head, answered              an upstream has sent a message
    asked, changes_read, ...          a subscriber has sent a request (subscribers.py)
    examined, pieces_stored, joined   an action is done
    committed                         this node's catalogue has changed
    tick                              time has passed

    after each of them: take_actions(), and next_deadline() for the next tick

The same calls give the same actions, in an order that keeps replication safe: a cursor moves only
in the transaction that joins the rows; rows are acknowledged only after that transaction; only
committed changes are announced. Everything else may be lost, duplicated, late or out of order:

    a change notification is lost    the next one or the next poll makes up for it
    a request or answer is lost      the request is repeated when overdue
    this node dies                   it resumes from the durable cursor
    an upstream is replaced,         its node id or its epoch differs: everything is pulled again
      restored or rebuilt
    bytes are unavailable            their rows become pending, and every peer is asked for the
                                     bytes; other rows are not held up
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

from imagepipe.core.replication.actions import Action, Redirect
from imagepipe.core.replication.downloads import Downloads
from imagepipe.core.replication.fetches import ReceiveResult
from imagepipe.core.replication.link import (
    Link,
    Pull,
)
from imagepipe.core.replication.messages import (
    GET_BYTES_MAX,
    ROWS_MAX,
    Batch,
    Changes,
    Get,
    Head,
    Hello,
    Pieces,
    Refused,
    Reply,
    Request,
)
from imagepipe.core.replication.pending import PENDING_MAX, PendingRows
from imagepipe.core.replication.progress import Progress
from imagepipe.core.replication.pulls import Pulls
from imagepipe.core.replication.subscribers import Subscribers
from imagepipe.core.replication.upstream_requests import Requests
from imagepipe.core.replication.upstreams import Upstreams
from imagepipe.core.rows.entries import Content, Row
from imagepipe.core.rows.epochs import Epoch
from imagepipe.core.rows.join import Cursor, JoinResult, Pending
from imagepipe.errors import quoted

OWN_NODE = "it has this node's own id: its data folder is a copy, or it is this node itself"


class Replica:
    """One node's part in replication.

    node: its id. epochs, last_seq, cursors, pending: the durable state at the start. sync: where it
    accepts requests, as in Head. publishes: whether it publishes change notifications. wall_ms: the
    wall clock, sent to peers so that they can compare it with theirs. rows_max: the most rows sent
    or retried at once. get_bytes_max: the most bytes that a Get asks for. pending_max: the most
    rows of one upstream that may wait for their bytes. refusal: why this node does not fetch the
    bytes of a row, or None if it does. name: the node's name.
    """

    def __init__(
        self,
        node: str,
        epochs: Sequence[Epoch],
        last_seq: int,
        cursors: Mapping[str, Cursor],
        pending: Iterable[Pending],
        wall_ms: Callable[[], int],
        *,
        sync: str = "",
        publishes: bool = True,
        rows_max: int = ROWS_MAX,
        get_bytes_max: int = GET_BYTES_MAX,
        pending_max: int = PENDING_MAX,
        refusal: Callable[[Row], str | None] = lambda _: None,
        name: str = "",
    ) -> None:
        self.subscribers = Subscribers(
            node, epochs, last_seq, sync, wall_ms, publishes=publishes, rows_max=rows_max, name=name
        )
        self.pending = PendingRows(pending)
        self._node = node
        self._rows_max = rows_max
        self._actions: list[Action] = []
        self._ids = itertools.count(1)
        self._pulls = Pulls(self._actions)
        self._progress = Progress(cursors, self.pending, pending_max, self._actions)
        self._downloads = Downloads(get_bytes_max, refusal, self._pulls, self._actions)
        self._upstreams = Upstreams(self._progress, self._pulls, self._downloads, self._ids)
        self.links = self._upstreams.links
        self._requests = Requests(
            node, self.subscribers, self._progress, self._downloads, self._ids, self._actions
        )

    # Upstreams.

    def add_link(self, name: str, now: float) -> None:
        """Pull from one more upstream."""
        self.links[name] = Link(name, added=now, poll_at=now)
        self._go_on(self.links[name], now)

    def remove_link(self, name: str, now: float) -> None:
        """Stop pulling from this upstream, and drop everything that is not joined yet."""
        self._upstreams.drop_all(self.links.pop(name), now)
        self._go_on_all(now)

    # Messages from peers.

    def heard_head(self, name: str, head: Head, now: float) -> None:
        """The upstream has sent its identity and its newest sequence number, as a change
        notification or as the answer to a Hello.
        """
        link = self.links.get(name)
        if link is None:
            return
        if head.node == self._node:
            self.refuse(name, OWN_NODE, now)
            return
        if link.node != head.node:
            if link.head and link.head.node != head.node and not link.may_restart(now):
                return
            if not self._upstreams.make_room(link, head.node, now):
                self._go_on_all(now)
                return
            self._upstreams.drop_all(link, now)
            link.refused = None
            if link.head is not None and link.head.node != head.node:
                self._progress.forget(name)
            link.cursor = self._progress.cursor_of(name)
            link.looks_ahead, link.ahead = False, None
        if link.sync != head.sync and link.may_restart(now):
            link.sync = head.sync
            self._actions.append(Redirect(name, head.sync))
        if not link.is_heard(now):
            # it is back: requests sent in the meantime have not reached it
            for rid, asked in list(link.asked.items()):
                self._requests.repeat(link, rid, asked, now)
        link.heard = now
        link.note_name(head.name, now)
        link.note_head(head, now)
        self._go_on_all(now)

    def answered(self, name: str, message: Reply, now: float) -> None:
        """The upstream has answered. Unexpected and outdated answers are dropped."""
        link = self.links.get(name)
        if link is None:
            return
        if isinstance(message, Head):
            link.asked = {
                rid: asked
                for rid, asked in link.asked.items()
                if not isinstance(asked.message, Hello)
            }
            link.answered = now
            self.heard_head(name, message, now)
            return
        asked = link.asked.pop(message.rid, None)
        if asked is None:
            return
        link.heard = link.answered = now
        # it answers: overdue requests were lost, and need no longer back off
        for other in link.asked.values():
            other.tries = 0
        if isinstance(message, Refused):
            self.refuse(name, f"it answered {quoted(message.why)}", now)
        elif isinstance(message, Batch) and isinstance(asked.message, Changes):
            self._upstreams.take_batch(link, asked, message, now)
        elif isinstance(message, Pieces) and isinstance(asked.message, Get):
            link.delivered = now
            if self._downloads.answered(name, asked, message, now):
                link.storing.add(message.rid)
        else:  # an answer of the wrong type: wait, rather than ask again at once
            self._upstreams.back_off(link, now)
        self._go_on_all(now)

    def refuse(self, name: str, why: str, now: float) -> None:
        """The upstream is unusable, as its own or another peer's message has shown."""
        link = self.links.get(name)
        if link is None:
            return
        self._upstreams.refuse(link, why, now)
        self._go_on_all(now)

    def asked(self, client: bytes, message: Request, now: float, key: str = "") -> None:
        """A subscriber has sent a request over the connection `client`. key: as in
        Subscribers.asked.
        """
        self._actions += self.subscribers.asked(client, message, now, key)

    # Completed actions.

    def committed(self, seq: int, now: float) -> None:
        """The catalogue has changed: everything up to `seq` is durable and can be served."""
        self.subscribers.committed(seq)
        self._actions += self.subscribers.notify(now)

    def changes_read(
        self, client: bytes, rid: int, after: int, end: int, rows: Sequence[Row]
    ) -> None:
        """ReadChanges is done; `end` was the newest sequence number at the same moment.

        If `end` were older, a full batch could claim to be the last although one of its rows had
        been renumbered to come after it. If it were newer, a batch that is not full could claim
        to be complete.
        """
        self._actions += self.subscribers.changes_read(client, rid, after, end, rows)

    def pieces_read(self, client: bytes, rid: int, pieces: Sequence[bytes | None]) -> None:
        """ReadPieces is done."""
        self._actions += self.subscribers.pieces_read(client, rid, pieces)

    def read_failed(self, client: bytes) -> None:
        """ReadChanges or ReadPieces failed."""
        self.subscribers.read_failed(client)

    def examined(self, pull_id: int, lacking: Sequence[Content], now: float) -> None:
        """Examine is done: these bytes are needed and missing."""
        if pull := self._pulls.examined(pull_id):
            peers = [pull.link] if pull.link else self._upstreams.reachable(now)
            if peers:
                self._downloads.fetch(pull, lacking, peers, now)
        self._go_on_all(now)

    def pieces_stored(
        self, name: str, rid: int, results: Sequence[tuple[int, ReceiveResult]], now: float
    ) -> None:
        """StorePieces is done, with a result for each transfer."""
        link = self.links.get(name)
        if link:
            link.storing.discard(rid)
        for transfer, result in results:
            self._downloads.stored(name, transfer, result, now)
        self._go_on_all(now)

    def store_failed(self, name: str, rid: int, now: float) -> None:
        """StorePieces failed, perhaps because the disk is full. The rows become pending and do not
        hold up others, which may include the deletes that free space.
        """
        link = self.links.get(name)
        if link:
            link.storing.discard(rid)
            self._upstreams.lose_bytes(link, now)
        self._go_on_all(now)

    def joined(self, pull_id: int, outcome: JoinResult, now: float) -> None:
        """Join is done and durable."""
        self.pending.settle(outcome.settled)
        self.pending.add(outcome.added)
        relieved = {upstream for upstream, _ in outcome.settled}
        for each in self.links.values():
            each.unacknowledged |= each.name in relieved
        pull = self._pulls.end(pull_id)
        if pull.link is None and outcome.settled:
            self.pending.try_at = now  # bytes are available again: retry the others now
        self._progress.joined(pull)
        if link := self._upstreams.leave_queue(pull):
            if pull.upstream is None:
                link.ahead = pull.cursor
            else:
                link.cursor = pull.cursor
                link.unacknowledged = True
                if pull.last:
                    link.note_current(pull.asked_at, now)
        self._progress.forget_removed(self.links, self._pulls)
        self._go_on_all(now)

    def pull_failed(self, pull_id: int, now: float) -> None:
        """Examine or Join failed, for example because the disk is full, and left nothing behind.
        Nothing is pulled from the upstream for a while.
        """
        if link := self._upstreams.leave_queue(self._pulls.end(pull_id)):
            self._upstreams.back_off(link, now)
        self._go_on_all(now)

    # Time.

    def tick(self, now: float) -> None:
        """Do what is due."""
        self._actions += self.subscribers.notify(now)
        for link in self.links.values():
            if now >= link.hopeless_at:
                self._upstreams.lose_bytes(link, now)
            for rid, asked in list(link.asked.items()):
                if now >= link.overdue_at(asked):
                    self._requests.repeat(link, rid, asked, now)
        self._downloads.tick(now)
        self._retry_pending(now)
        self._go_on_all(now)

    def next_deadline(self, now: float) -> float:
        """The latest time for the next call of `tick`; never before `now`."""
        times = [time for link in self.links.values() for time in link.deadlines(now)]
        if self.pending:
            times.append(self.pending.try_at)
        return max(now, min([*times, self.subscribers.notify_at, self._downloads.next_deadline()]))

    def take_actions(self) -> list[Action]:
        """The actions since the last call, in the order in which they must begin."""
        self._downloads.discard_ended()
        actions = self._actions.copy()
        self._actions.clear()
        return actions

    # Requests from the daemon.

    def refetch(self, contents: Sequence[Content], now: float) -> int:
        """Fetch bytes of this node's rows again from the reachable peers. RefetchDone reports the
        end, with the number returned here.
        """
        number = next(self._ids)
        self._downloads.refetch(number, contents, self._upstreams.reachable(now), now)
        self._go_on_all(now)
        return number

    def refresh(self, now: float) -> None:
        """Ask every upstream for changes. `is_current` reports whether everything from the
        reachable ones has arrived.
        """
        for link in self.links.values():
            link.refresh_from = now
            self._go_on(link, now)

    def is_current(self, since: float, now: float) -> bool:
        """Whether everything that the reachable upstreams had at the time `since` is here."""
        return self._upstreams.is_current(since, now)

    def has_pulled_all(self, now: float) -> bool:
        """Whether everything that the reachable upstreams have announced is here."""
        return self._upstreams.has_pulled_all(now)

    @property
    def missing_bytes(self) -> int:
        """How many bytes of the current batches have not been requested yet."""
        return self._downloads.missing_bytes

    def why_pending(self, row: Row) -> str:
        """Why a pending row has no bytes here, as far as is known."""
        return self._downloads.why_missing(row) or "no reachable peer has its bytes"

    # Next steps.

    def _go_on_all(self, now: float) -> None:
        for link in self.links.values():
            self._go_on(link, now)
        for pull in self._pulls:
            if pull.link is None:
                self._pulls.join_if_complete(pull)
        self._downloads.end_refetches(now)

    def _go_on(self, link: Link, now: float) -> None:
        """Join what is complete, and send the requests that can be sent now."""
        if link.node is None:
            if now >= link.hello_at and not link.asked:
                self._requests.hello(link, now)
            return
        if link.pulls:
            self._pulls.join_if_complete(link.pulls[0])
        if now < link.idle_until:
            return
        link.is_full = self._progress.is_full(link)
        if link.can_ask_for_changes() and link.wants_changes(now):
            link.begin()
            self._requests.changes(link, now)
        self._requests.pieces(link, now)

    def _retry_pending(self, now: float) -> None:
        if not self.pending or now < self.pending.try_at:
            return
        busy = {pull.waited_for for pull in self._pulls if pull.waited_for is not None}
        for upstream, rows in self.pending.take_turn(now, self._rows_max, busy).items():
            pull = Pull(
                next(self._ids), rows, None, None, None, from_start=False, asked_at=now, last=False
            )
            pull.waited_for = upstream
            self._pulls.begin(pull)
