"""The replication state machine: every decision about what to ask of whom, when, and what an answer
means; no I/O.

    heard_head, answered              an upstream has sent a message
    asked, changes_read, ...          a subscriber has asked (subscribers.py)
    examined, pieces_stored, joined   an action is done
    committed                         this node's catalogue has changed
    tick                              time has passed

    after each of them: take_actions(), and next_deadline() for the next tick

The same calls give the same actions, in an order that is the safety rule: a cursor moves only in
the transaction that joins the rows; an upstream is told that rows are here only after that; nothing
is announced but what was committed. All else may be lost, doubled, late or out of order:

    a doorbell is lost             the next one, or the poll, finds the same
    a request or answer is lost    it is repeated when overdue
    this node dies                 it goes on from the durable cursor
    an upstream is another         its node id and its epoch differ: everything is pulled again;
                                   likewise if restored or rebuilt
    bytes cannot be had            their rows are pending, and are asked for from every peer; the
                                   rest flows on
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import structs

from imagepipe.core.replication.actions import (
    Action,
    DiscardTransfer,
    Examine,
    ForgetUpstreams,
    Join,
    Redirect,
    RefetchDone,
    Release,
    ReportRejected,
    SendRequest,
    StorePieces,
)
from imagepipe.core.replication.fetches import Ended, Fetches, ReceiveResult
from imagepipe.core.replication.link import (
    BACK_OFF_SECONDS,
    HELLO_SECONDS,
    POLL_SECONDS,
    REFUSED_SECONDS,
    Link,
    PendingRequest,
    Pull,
    PullStage,
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
    Range,
    Refused,
    Reply,
    Request,
)
from imagepipe.core.replication.pending import PENDING_MAX, PendingRows
from imagepipe.core.replication.refetch import Refetches
from imagepipe.core.replication.rejected import RejectedContents
from imagepipe.core.replication.subscribers import Subscribers
from imagepipe.core.rows.entries import Content, Row
from imagepipe.core.rows.epochs import Epoch
from imagepipe.core.rows.join import Cursor, JoinResult, Pending
from imagepipe.errors import quoted

CURSORS_MAX = 1000
"""How many links are remembered."""

OWN_NODE = "it has this node's own id: its data folder is a copy, or it is this node itself"
TWICE = (
    "another entry leads to a node of the same id: it is the same node, or the data folder of one"
    " is a copy of the other's"
)


class Replica:
    """One node's part in replication.

    node: its id. epochs, last_seq, cursors, pending: what is durable at the start. sync: where
    requests reach it, as in Head. publishes: whether it has a doorbell. wall_ms: the wall clock,
    told to others for them to compare. rows_max: how many rows are told, or tried again, at once.
    get_bytes_max: how many bytes a Get asks for. pending_max: how many rows of an upstream may wait
    for their bytes. refusal: why this node does not fetch the bytes of a row; None: it does. name:
    what the node calls itself.
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
        self.links: dict[str, Link] = {}
        self.pending = PendingRows(pending)
        self._node = node
        self._cursors = dict(cursors)
        self._rows_max = rows_max
        self._fetches = Fetches(get_bytes_max)
        self._refetches = Refetches()
        self._pending_max = pending_max
        self._refusal = refusal
        self._rejected = RejectedContents()
        self._pulls: dict[int, Pull] = {}
        # the first is being joined: of two at once one could not tell which came first, and what is
        # pending now
        self._joins: deque[Pull] = deque()
        self._last_id = 0
        self._actions: list[Action] = []

    # What to pull from.

    def add_link(self, name: str, now: float) -> None:
        """Pull from one more upstream."""
        self.links[name] = Link(name, added=now, poll_at=now)
        self._go_on(self.links[name], now)

    def remove_link(self, name: str, now: float) -> None:
        """Pull from it no more; what is not joined yet is dropped."""
        self._drop_all(self.links.pop(name), now)
        self._go_on_all(now)

    # What peers say.

    def heard_head(self, name: str, head: Head, now: float) -> None:
        """The upstream says who it is and how far it has come: by its doorbell, or because it was
        asked.
        """
        link = self.links.get(name)
        if link is None:
            return
        if head.node == self._node:
            self.refuse(name, OWN_NODE, now)
            return
        if link.node != head.node:
            if (
                link.head and link.head.node != head.node and not link.may_restart(now)
            ) or not self._make_room(link, head.node, now):
                return
            self._drop_all(link, now)
            link.refused = None
            if link.head is not None and link.head.node != head.node:
                self._cursors.pop(name, None)
            link.cursor = self._cursors.get(name)
            link.looks_ahead, link.ahead = False, None
        if link.sync != head.sync and link.may_restart(now):
            link.sync = head.sync
            self._actions.append(Redirect(name, head.sync))
        if not link.is_heard(now):
            # it is back: what it was asked meanwhile has not reached it
            for rid, asked in list(link.asked.items()):
                self._repeat(link, rid, asked, now)
        link.heard = now
        link.note_name(head.name, now)
        self._note_head(link, head, now)
        self._go_on_all(now)

    def answered(self, name: str, message: Reply, now: float) -> None:
        """The upstream has answered. What nobody asked for, or was answered before, is dropped."""
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
        # it answers: what is overdue was lost, and need not wait longer and longer
        for other in link.asked.values():
            other.tries = 0
        if isinstance(message, Refused):
            self.refuse(name, f"it says {quoted(message.why)}", now)
        elif isinstance(message, Batch) and isinstance(asked.message, Changes):
            self._take_batch(link, asked, message, now)
        elif isinstance(message, Pieces) and isinstance(asked.message, Get):
            link.delivered = now
            self._take_pieces(link, asked, message, now)
        else:  # nonsense: not asked again at once, and again
            self._back_off(link, now)
        self._go_on_all(now)

    def refuse(self, name: str, why: str, now: float) -> None:
        """The upstream cannot be one, as its own or another's message has shown."""
        link = self.links.get(name)
        if link is None:
            return
        self._drop_all(link, now)
        link.refused = why
        link.hello_at = now + REFUSED_SECONDS
        self._go_on_all(now)

    def asked(self, client: bytes, message: Request, now: float, key: str = "") -> None:
        """A puller asks, over the connection `client`. key: as for Upstream."""
        self._actions += self.subscribers.asked(client, message, now, key)

    # What was done.

    def committed(self, seq: int, now: float) -> None:
        """The map has changed: all up to the number `seq` is durable and can be served."""
        self.subscribers.committed(seq)
        self._actions += self.subscribers.notify(now)

    def changes_read(
        self, client: bytes, rid: int, after: int, end: int, rows: Sequence[Row]
    ) -> None:
        """ReadChanges was done; `end` was the newest number at the same moment.

        With an older one a full batch could say that it is the last, though a row that it would
        have had was renumbered to come after it; with a newer one, one that is not full could say
        that all is in it.
        """
        self._actions += self.subscribers.changes_read(client, rid, after, end, rows)

    def pieces_read(self, client: bytes, rid: int, pieces: Sequence[bytes | None]) -> None:
        """ReadPieces was done."""
        self._actions += self.subscribers.pieces_read(client, rid, pieces)

    def read_failed(self, client: bytes) -> None:
        """ReadChanges or ReadPieces failed."""
        self.subscribers.read_failed(client)

    def examined(self, pull_id: int, lacking: Sequence[Content], now: float) -> None:
        """Examine was done: these bytes are wanted, and not here."""
        pull = self._pulls[pull_id]
        if pull.stage is PullStage.DROPPED:
            del self._pulls[pull_id]
            self._actions.append(Release(pull.rows))
            return
        pull.stage = PullStage.FETCHING
        peers = [pull.link] if pull.link else self._reachable(now)
        if peers:
            wanted = self._wanted(pull, lacking, now)
            pull.missing = set(wanted)
            for content in wanted:
                self._fetches.want(content, pull.id, peers, now)
        self._go_on_all(now)

    def pieces_stored(
        self, name: str, rid: int, results: Sequence[tuple[int, ReceiveResult]], now: float
    ) -> None:
        """Keep was done: what became of each transfer."""
        link = self.links.get(name)
        if link:
            link.storing.discard(rid)
        for transfer, result in results:
            self._note_bytes(name, transfer, result, now)
            self._settle(self._fetches.received(transfer, result, now))
        self._go_on_all(now)

    def store_failed(self, name: str, rid: int, now: float) -> None:
        """Keep failed, as on a full disk: the rows go on without their bytes, as pending, for among
        them may be the deletes that make room.
        """
        link = self.links.get(name)
        if link:
            link.storing.discard(rid)
            self._lose_bytes(link, now)
        self._go_on_all(now)

    def joined(self, pull_id: int, outcome: JoinResult, now: float) -> None:
        """Join was done, and is durable."""
        self.pending.settle(outcome.settled)
        self.pending.add(outcome.added)
        relieved = {upstream for upstream, _ in outcome.settled}
        for each in self.links.values():
            each.unacknowledged |= each.name in relieved
        pull = self._pulls.pop(pull_id)
        self._end_join()
        if pull.link is None and outcome.settled:
            self.pending.try_at = now  # the bytes are to be had again: the others need not wait
        if pull.upstream is not None and pull.cursor is not None:
            self._cursors[pull.upstream] = pull.cursor
        if link := self._leave_queue(pull):
            if pull.upstream is None:
                link.ahead = pull.cursor
            else:
                link.cursor = pull.cursor
                link.unacknowledged = True
                if pull.last:
                    self._note_current(link, pull.asked_at, now)
        self._forget_strangers()
        self._go_on_all(now)

    def pull_failed(self, pull_id: int, now: float) -> None:
        """Examine or Join failed, as on a full disk, and nothing is held for it: nothing is pulled
        from there for a while.
        """
        pull = self._pulls.pop(pull_id)
        if pull.stage is PullStage.JOINING:
            self._end_join()
        if link := self._leave_queue(pull):
            self._back_off(link, now)
        self._go_on_all(now)

    # Time.

    def tick(self, now: float) -> None:
        """Do what is due."""
        self._actions += self.subscribers.notify(now)
        for link in self.links.values():
            if now >= link.hopeless_at:
                self._lose_bytes(link, now)
            for rid, asked in list(link.asked.items()):
                if now >= link.overdue_at(asked):
                    self._repeat(link, rid, asked, now)
        self._fetches.skip(now)
        self._retry_pending(now)
        self._go_on_all(now)

    def next_deadline(self, now: float) -> float:
        """When `tick` has something to do, at the latest; `now` or later."""
        times = [time for link in self.links.values() for time in link.deadlines(now)]
        if self.pending:
            times.append(self.pending.try_at)
        return max(
            now,
            min(
                [
                    *times,
                    self.subscribers.notify_at,
                    self._fetches.next_deadline(),
                    self._refetches.next_deadline(),
                ]
            ),
        )

    def take_actions(self) -> list[Action]:
        """What is to be done, in order; since this was last asked."""
        self._actions += [DiscardTransfer(transfer) for transfer in self._fetches.take_ended()]
        actions, self._actions = self._actions, []
        return actions

    # What the daemon asks for.

    def refetch(self, contents: Sequence[Content], now: float) -> int:
        """Fetch bytes that rows of this node name, from the peers that can be reached;
        RefetchDone
        with the number returned says that it is over.
        """
        number = self._new_id()
        peers = self._reachable(now)
        self._refetches.begin(number, contents if peers else (), now)
        for content in contents if peers else ():
            self._fetches.want(content, number, peers, now)
        self._go_on_all(now)
        return number

    def refresh(self, now: float) -> None:
        """Ask every upstream what is new; `is_current` tells when all that could be reached have
        told.
        """
        for link in self.links.values():
            link.refresh_from = now
            self._go_on(link, now)

    def is_current(self, since: float, now: float) -> bool:
        """Whether all that the reachable upstreams had at the time `since` is in the map."""
        links = [
            link for link in self.links.values() if link.is_reachable(now) or link.is_awaited(now)
        ]
        return all(link.current_as_of >= since or link.looks_ahead for link in links)

    def has_pulled_all(self, now: float) -> bool:
        """Whether all that the reachable upstreams have spoken of is in the map."""
        return not any(
            link.is_ahead or link.pulls for link in self.links.values() if link.is_reachable(now)
        )

    @property
    def missing_bytes(self) -> int:
        """How many bytes of the batches on their way were not asked for yet."""
        return self._fetches.missing_bytes

    def why_pending(self, row: Row) -> str:
        """Why a pending row has no bytes here, as far as that is known."""
        content = row.entry.content
        why = self._refusal(row) or (self._rejected.why(content) if content else None)
        return why or "no peer that can be reached has its bytes"

    def acked(self, link: Link) -> int:
        """Up to which of its numbers everything of the upstream is in this node's map, bytes and
        all.
        """
        if link.cursor is None or link.node is None:
            return 0
        oldest = self.pending.oldest(link.name)
        return link.cursor.seq if oldest is None else min(link.cursor.seq, oldest - 1)

    # Batches on their way.

    def _take_batch(self, link: Link, asked: PendingRequest, message: Batch, now: float) -> None:
        position = link.position
        # another node has taken its place: it is asked who it is
        if link.head is None or message.node != link.node:
            self._drop_all(link, now)
            self._cursors.pop(link.name, None)
            link.head = None
            return
        if message.after not in (0, position.seq if position else 0):
            self._back_off(link, now)
            return
        if message.after == 0 and position and position.seq:  # the cursor is not held
            if not link.may_restart(now):
                self._back_off(link, now)
                return
            if link.looks_ahead:
                self._begin_again(link, now)
                if link.pulls:
                    return
                link.looks_ahead, link.ahead = False, None
        # What it answers counts for more than what it said before it was asked; but it may have
        # rung since it wrote the answer.
        if (
            message.epoch != link.head.epoch
            or asked.sent >= link.head_at
            or message.end > link.head.seq
        ):
            if message.epoch == link.head.epoch and message.end > link.head.seq:
                link.missed_notifications += 1
            self._note_head(
                link, structs.replace(link.head, epoch=message.epoch, seq=message.end), now
            )
        last = message.upto == message.end
        cursor = Cursor(message.epoch, message.upto, 0 if last else message.end)
        rows = message.rows
        if position != cursor or rows:
            from_start = message.after == 0
            upstream = None if link.looks_ahead else link.name
            link.pulls.append(
                self._new_pull(
                    rows,
                    link.name,
                    upstream,
                    cursor,
                    asked.first_sent,
                    from_start=from_start,
                    last=last,
                )
            )
        elif link.pulls:
            link.pulls[-1].asked_at = asked.first_sent
            link.pulls[-1].last = True
        elif not link.looks_ahead:
            self._note_current(link, asked.first_sent, now)

    def _new_pull(
        self,
        rows: tuple[Row, ...],
        link: str | None,
        upstream: str | None,
        cursor: Cursor | None,
        asked_at: float,
        *,
        from_start: bool,
        last: bool,
    ) -> Pull:
        pull = Pull(self._new_id(), rows, link, upstream, cursor, from_start, asked_at, last)
        self._pulls[pull.id] = pull
        self._actions.append(Examine(pull.id, rows))
        return pull

    def _take_pieces(self, link: Link, asked: PendingRequest, message: Pieces, now: float) -> None:
        here = []
        for at, part in enumerate(asked.parts):
            piece = message.pieces[at] if at < len(message.pieces) else None
            if piece is None or len(piece) != part.length:
                self._settle(self._fetches.lacks(part.transfer, now))
            elif self._fetches.is_under_way(part.transfer):
                here.append((part, piece))
        if here:
            link.storing.add(message.rid)
            self._actions.append(
                StorePieces(
                    link.name,
                    message.rid,
                    tuple(part for part, _ in here),
                    tuple(piece for _, piece in here),
                )
            )

    def _forget_strangers(self) -> None:
        """Bound what is known of links that were removed."""
        known = {*self.links} | {pull.upstream for pull in self._pulls.values()}
        waiting = [name for name in self.pending.upstreams if name not in known]
        waiting_max = (1 + len(self.links)) * self._pending_max
        if (
            len(self._cursors) <= CURSORS_MAX
            and sum(map(self.pending.count, waiting)) <= waiting_max
        ):
            return
        gone = tuple({*self._cursors, *waiting} - known)
        self._cursors = {name: cursor for name, cursor in self._cursors.items() if name in known}
        self.pending.drop(gone)
        self._actions.append(ForgetUpstreams(gone))

    def _wanted(self, pull: Pull, lacking: Sequence[Content], now: float) -> list[Content]:
        """Those of the `lacking` bytes that are to be fetched; the others' rows are pending without
        further ado.
        """
        refused = {}
        for row in pull.rows:
            content = row.entry.content
            if content is not None and (why := self._refusal(row)):
                refused[content] = row, why
        wanted = []
        for content in lacking:
            if content in refused:
                self._report(pull.link, *refused[content])
            elif not self._rejected.has(content, now):
                wanted.append(content)
        return wanted

    def _note_bytes(self, name: str, transfer: int, result: ReceiveResult, now: float) -> None:
        content = self._fetches.content_of(transfer)
        if content is None:
            return
        if result is ReceiveResult.COMPLETE:
            self._rejected.note_received(content)
        elif result is ReceiveResult.DAMAGED:
            self._rejected.note_wrong(content, now)
        elif result is ReceiveResult.UNWANTED:
            self._rejected.note_unwanted(content, now)
            for pull in self._pulls.values():
                for row in pull.rows:
                    if row.entry.content == content:
                        self._report(name, row, str(self._rejected.why(content)))

    def _report(self, link: str | None, row: Row, why: str) -> None:
        """Report it once: not again when a pending row has its turn."""
        if link is not None:
            self._actions.append(ReportRejected(link, row.entry.path, why))

    def _leave_queue(self, pull: Pull) -> Link | None:
        """The link whose first pull this was; None if it was dropped meanwhile."""
        link = self.links.get(pull.link or "")
        if link is None or pull not in link.pulls:
            return None
        link.pulls.remove(pull)
        return link

    def _settle(self, ended: Ended | None) -> None:
        if ended:
            for number in ended.pulls:
                if number in self._pulls:
                    self._pulls[number].missing.discard(ended.content)
                else:
                    self._refetches.settle(number, ended.content)

    def _note_head(self, link: Link, head: Head, now: float) -> None:
        link.head = head
        link.head_at = now
        if link.behind_since is None and link.is_ahead:
            link.behind_since = now

    def _note_current(self, link: Link, asked_at: float, now: float) -> None:
        link.current_as_of = max(link.current_as_of, asked_at)
        link.behind_since = now if link.is_ahead else None

    def _make_room(self, link: Link, node: str, now: float) -> bool:
        """Let `link` alone lead to the node; False: it cannot now, because another does, or did and
        what came from there is still being joined.

        Of two links, one could lead to a copy of the data folder, and the changes of two nodes with
        one id cannot be distinguished.
        """
        for other in self.links.values():
            if other is not link and other.node == node:
                if other.is_heard(now):
                    self.refuse(link.name, TWICE, now)
                    return False
                self._drop_all(other, now)
                other.head = None
        return not any(
            pull.link == link.name and pull.stage is PullStage.JOINING
            for pull in self._pulls.values()
        )

    def _drop_all(self, link: Link, now: float) -> None:
        """Forget what is on its way from the upstream. What is being joined will be so, but the
        link does not wait for it.
        """
        self._begin_again(link, now)
        link.pulls.clear()

    def _begin_again(self, link: Link, now: float) -> None:
        """Forget what is on its way from the upstream, up to what is being joined."""
        for pull in list(link.pulls):
            if pull.stage is not PullStage.JOINING:
                link.pulls.remove(pull)
                self._drop(pull)
        link.asked.clear()
        self._lose_bytes(link, now)

    def _lose_bytes(self, link: Link, now: float) -> None:
        """Fetch no more from the upstream: others may have the bytes, or their rows go on as
        pending.
        """
        link.asked = {rid: asked for rid, asked in link.asked.items() if not asked.parts}
        for ended in self._fetches.lose(link.name, now):
            self._settle(ended)

    def _drop(self, pull: Pull) -> None:
        self._fetches.drop(pull.id)
        if pull.stage is PullStage.EXAMINING:
            pull.stage = PullStage.DROPPED
        else:
            del self._pulls[pull.id]
            self._actions.append(Release(pull.rows))

    def _back_off(self, link: Link, now: float) -> None:
        self._begin_again(link, now)
        link.idle_until = now + BACK_OFF_SECONDS

    # What is next.

    def _go_on_all(self, now: float) -> None:
        for link in self.links.values():
            self._go_on(link, now)
        for pull in list(self._pulls.values()):
            if pull.link is None:
                self._join_if_complete(pull)
        self._end_mends(now)

    def _go_on(self, link: Link, now: float) -> None:
        """Join what is complete, and ask the upstream for what can be asked now."""
        if link.node is None:
            if now >= link.hello_at and not link.asked:
                link.hello_at = now + HELLO_SECONDS
                self._ask(
                    link,
                    PendingRequest(
                        Hello(self._new_id(), self._node, self.subscribers.name), now, now
                    ),
                )
            return
        if link.pulls:
            self._join_if_complete(link.pulls[0])
        if now < link.idle_until:
            return
        # Without a cursor it starts over, and voids what is pending.
        link.is_full = (
            link.cursor is not None and self.pending.count(link.name) >= self._pending_max
        )
        if link.can_ask_for_changes() and link.wants_changes(now):
            link.begin()
            self._ask_for_changes(link, now)
        while link.gets_free() > 0 and (parts := self._fetches.take(link.name)):
            ranges = tuple(Range(part.content.digest, part.offset, part.length) for part in parts)
            self._ask(link, PendingRequest(Get(self._new_id(), ranges), now, now, parts=parts))

    def _join_if_complete(self, pull: Pull) -> None:
        if pull.stage is PullStage.FETCHING and not pull.missing:
            pull.stage = PullStage.JOINING
            self._joins.append(pull)
            if len(self._joins) == 1:
                self._join(pull)

    def _join(self, pull: Pull) -> None:
        cursor = pull.cursor if pull.upstream is not None else None
        self._actions.append(Join(pull.id, pull.rows, pull.upstream, cursor, pull.from_start))

    def _end_join(self) -> None:
        self._joins.popleft()
        if self._joins:
            self._join(self._joins[0])

    def _ask_for_changes(self, link: Link, now: float) -> None:
        link.poll_at = now + POLL_SECONDS
        link.unacknowledged = False
        self._ask(
            link,
            PendingRequest(self._changes(self._new_id(), link), now, now, position=link.position),
        )

    def _changes(self, rid: int, link: Link) -> Changes:
        position = link.position
        # An acknowledgement counts in the epoch of the durable cursor; while a batch of a newer one
        # is under way there is none.
        acked = (
            self.acked(link)
            if link.cursor and position and link.cursor.epoch == position.epoch
            else 0
        )
        start = position or Cursor("", 0)
        return Changes(
            rid, self._node, start.epoch, start.seq, acked, start.end, self.subscribers.name
        )

    def _retry_pending(self, now: float) -> None:
        if not self.pending or now < self.pending.try_at:
            return
        busy = {pull.waited_for for pull in self._pulls.values() if pull.waited_for is not None}
        for upstream, rows in self.pending.take_turn(now, self._rows_max, busy).items():
            self._new_pull(
                rows, None, None, None, now, from_start=False, last=False
            ).waited_for = upstream

    def _end_mends(self, now: float) -> None:
        for number in self._refetches.take_ended(now):
            self._fetches.drop(number)
            self._actions.append(RefetchDone(number))

    def _reachable(self, now: float) -> list[str]:
        return [link.name for link in self.links.values() if link.is_reachable(now)]

    def _ask(self, link: Link, asked: PendingRequest) -> None:
        link.asked[asked.message.rid] = asked
        self._actions.append(SendRequest(link.name, asked.message))

    def _repeat(self, link: Link, rid: int, asked: PendingRequest, now: float) -> None:
        if asked.parts and not any(
            self._fetches.is_under_way(part.transfer) for part in asked.parts
        ):
            del link.asked[rid]
            return
        asked.sent = now
        asked.tries += 1
        if isinstance(asked.message, Changes):
            asked.message = self._changes(rid, link)
        self._actions.append(SendRequest(link.name, asked.message))

    def _new_id(self) -> int:
        self._last_id += 1
        return self._last_id
