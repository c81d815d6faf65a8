"""A puller's side of the protocol: what it knows of an upstream, and the batches of rows that are
on their way from there.

    asked      Changes was sent                             -> Batch
    examining  which bytes are wanted and not here?         -> examined
    fetching   until none is missing, or nobody has it      -> fetched, or given up
    ready      the batches before it are joined first
    joining    rows and cursor in one transaction           -> joined, and Changes tells the
        upstream

While one batch is joined the bytes of the next are fetched; there are never more than two.
"""

import enum
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from imagepipe.core.node_names import clean_name
from imagepipe.core.replication.fetches import Part
from imagepipe.core.replication.messages import Changes, Head, Request
from imagepipe.core.rows.entries import Content, Row
from imagepipe.core.rows.join import Cursor

POLL_SECONDS = 5.0
"""How often an upstream is asked though its doorbell did not ring."""

REPLY_SECONDS = 2.0
"""After so long without an answer, or a sign that answers are coming, a question is repeated; each
time after twice as long, up to POLL_SECONDS.
"""

PIECES_SECONDS = 5.0
"""The same for bytes, which take longer on a slow line; up to PIECES_SECONDS_MAX."""

PIECES_SECONDS_MAX = 20.0

HOPELESS_SECONDS = 20.0
"""When an upstream has sent none of the bytes that it was asked for for so long, the rows that wait
for them do so no more, and are pending.
"""

REACHABLE_SECONDS = 7.5
"""For so long after it was last heard of a peer counts as reachable: a poll and its answer, for its
doorbell may not come through.
"""

FIRST_SECONDS = 2.0
"""For so long one may wait for a peer that was never heard of."""

BACK_OFF_SECONDS = 5.0
"""For so long nothing is asked of an upstream after this node could not keep what came from there.
"""

HELLO_SECONDS = 1.0
"""How often at most an upstream is asked who it is."""

REFUSED_SECONDS = 30.0
"""After so long an upstream that cannot be one is asked again who it is."""

NAME_SECONDS = 60.0
"""How long the name that a peer gives itself stays at least."""

RESTARTS_MAX = 4
RESTART_SECONDS = 5.0
"""How often an upstream may begin again at once, and how long it takes until it may once more."""

PULLS_MAX = 2
GETS_MAX = 8
NEVER = float("-inf")


class PullStage(enum.Enum):
    """How far a pull has come. DROPPED: it was given up while it was examined, and is let go of
    once it was.
    """

    EXAMINING = "examining"
    FETCHING = "fetching"
    JOINING = "joining"
    DROPPED = "dropped"


@dataclass(slots=True)
class Pull:
    """Rows on their way into the map. `link` and `upstream` None: rows that were pending.
    `upstream` alone None: it looks ahead.

    missing: contents that are being fetched. asked_at: when the upstream was asked; what it had at
    that time is in the map once the pull that is `last` has been joined. waited_for: the upstream
    whose rows were pending.
    """

    id: int
    rows: tuple[Row, ...]
    link: str | None
    upstream: str | None
    cursor: Cursor | None
    from_start: bool
    asked_at: float
    last: bool
    stage: PullStage = PullStage.EXAMINING
    missing: set[Content] = field(default_factory=set)
    waited_for: str | None = None


@dataclass(slots=True)
class PendingRequest:
    """A request that waits for its answer. `position`: of a Changes, where the batch will begin;
    `parts`: of a Get.

    tries: how often it was repeated since the upstream last answered anything.
    """

    message: Request
    first_sent: float
    sent: float
    position: Cursor | None = None
    parts: tuple[Part, ...] = ()
    tries: int = 0

    def overdue_at(self, answered: float) -> float:
        """When it is to be repeated, where the last answer of its kind came at `answered`; what
        comes in the meantime puts it off, but not for ever.
        """
        first, most = (
            (PIECES_SECONDS, PIECES_SECONDS_MAX) if self.parts else (REPLY_SECONDS, POLL_SECONDS)
        )
        patience = min(first * (1 << min(self.tries, 8)), most)
        return min(max(self.sent, answered) + patience, self.sent + 2 * most)


@dataclass(slots=True)
class Link:
    """An upstream as `subscribe` names it. Invariant: `pulls` are in the order in which they are
    joined, each begins where the one before it ends.

    head: the newest that is known of it, and head_at since when. sync: where it said that it is to
    be asked. refused: why it cannot be an upstream. keeping: answers whose bytes are being kept.
    heard, answered, delivered: when it last said something, answered, and sent pieces. idle_until:
    nothing is asked before. untold: there is more to acknowledge. peer_name: what it calls itself,
    since named_at. is_full: as many of its rows are pending as may be. looks_ahead: its pulls do
    not move the cursor, because it was full when they began; ahead: how far they have come.
    restarts: how often it began again lately, as of restarted_at. current_as_of: all that it had at
    this time is here; refresh_from: the same, as it is wanted.
    """

    name: str
    added: float
    poll_at: float
    head: Head | None = None
    head_at: float = NEVER
    sync: str = ""
    refused: str | None = None
    cursor: Cursor | None = None
    pulls: deque[Pull] = field(default_factory=deque)
    asked: dict[int, PendingRequest] = field(default_factory=dict)
    storing: set[int] = field(default_factory=set)
    heard: float = NEVER
    answered: float = NEVER
    delivered: float = NEVER
    hello_at: float = NEVER
    idle_until: float = NEVER
    unacknowledged: bool = False
    current_as_of: float = NEVER
    refresh_from: float = NEVER
    behind_since: float | None = None
    missed_notifications: int = 0
    peer_name: str = ""
    named_at: float = NEVER
    is_full: bool = False
    looks_ahead: bool = False
    ahead: Cursor | None = None
    restarts: float = 0.0
    restarted_at: float = NEVER

    @property
    def node(self) -> str | None:
        """The upstream's node id, as far as it is known and good."""
        return self.head.node if self.head and not self.refused else None

    @property
    def position(self) -> Cursor | None:
        """Where the next batch begins."""
        return self.pulls[-1].cursor if self.pulls else self.ahead or self.cursor

    @property
    def is_ahead(self) -> bool:
        """Whether it has said that it has more than was pulled or is being pulled."""
        if self.head is None:
            return False
        position = self.position
        return position is None or position.epoch != self.head.epoch or position.seq < self.head.seq

    def begin(self) -> None:
        """The next pull begins now: where the last one ended, or at the cursor if looking ahead
        ends or begins.
        """
        if not self.pulls and self.is_full != self.looks_ahead:
            self.looks_ahead, self.ahead = self.is_full, None

    def may_restart(self, now: float) -> bool:
        """Whether it may begin again, as another node or from its first row; what it does all the
        time is no work for this node.
        """
        self.restarts = max(0.0, self.restarts - (now - self.restarted_at) / RESTART_SECONDS)
        self.restarted_at = now
        if self.restarts > RESTARTS_MAX - 1:
            return False
        self.restarts += 1
        return True

    def note_name(self, text: str, now: float) -> None:
        """The peer has sent its name. Names appear in the log and in metrics, so they may not
        change all the time.
        """
        name = clean_name(text)
        if name != self.peer_name and now >= self.named_at + NAME_SECONDS:
            self.peer_name, self.named_at = name, now

    def note_head(self, head: Head, now: float) -> None:
        """Take this for the newest that is known of the upstream."""
        self.head = head
        self.head_at = now
        if self.behind_since is None and self.is_ahead:
            self.behind_since = now

    def note_current(self, asked_at: float, now: float) -> None:
        """Everything that the upstream had at `asked_at` is here."""
        self.current_as_of = max(self.current_as_of, asked_at)
        self.behind_since = now if self.is_ahead else None

    def is_awaited(self, now: float) -> bool:
        """Whether it has just been added, and may be heard of in a moment."""
        return self.head is None and self.refused is None and now - self.added < FIRST_SECONDS

    def is_heard(self, now: float) -> bool:
        """Whether it was heard of a moment ago."""
        return self.node is not None and now - self.heard < REACHABLE_SECONDS

    def is_reachable(self, now: float) -> bool:
        """Whether it was heard of a moment ago, and can be pulled from."""
        return self.is_heard(now) and now >= self.idle_until

    def can_ask_for_changes(self) -> bool:
        """Whether there is room for one more batch, and none is on its way."""
        if len(self.pulls) >= PULLS_MAX or any(
            isinstance(asked.message, Changes) for asked in self.asked.values()
        ):
            return False
        if self.pulls and self.is_full != self.looks_ahead:
            return False  # from one to the other only when nothing is on its way
        return not self.pulls or not self.pulls[-1].last or self.is_ahead or self.unacknowledged

    def wants_changes(self, now: float) -> bool:
        """Whether there is a reason to ask for one."""
        # looking ahead never makes it current
        is_refreshed = self.current_as_of >= self.refresh_from or self.looks_ahead
        if self.is_ahead or self.unacknowledged or now >= self.poll_at or not is_refreshed:
            return True
        return bool(self.pulls) and not self.pulls[-1].last

    def gets_free(self) -> int:
        """How many more Gets may be under way."""
        return GETS_MAX - len(self.storing) - sum(1 for asked in self.asked.values() if asked.parts)

    def overdue_at(self, asked: PendingRequest) -> float:
        """When a request is to be repeated. A poll that is answered says nothing of pieces; while
        pieces come, a batch may have to wait for its turn.
        """
        return asked.overdue_at(self.delivered if asked.parts else self.answered)

    @property
    def hopeless_at(self) -> float:
        """When the Gets that are under way are given up."""
        return (
            max(
                self.delivered,
                min(
                    (asked.first_sent for asked in self.asked.values() if asked.parts),
                    default=float("inf"),
                ),
            )
            + HOPELESS_SECONDS
        )

    def deadlines(self, now: float) -> Iterator[float]:
        """When something is due here if nothing happens."""
        if self.node is None:
            if not self.asked:
                yield self.hello_at
        elif now < self.idle_until:
            yield self.idle_until
        elif self.can_ask_for_changes():
            yield self.poll_at
        yield self.hopeless_at
        for asked in self.asked.values():
            yield self.overdue_at(asked)
