"""A puller's side of the protocol: what it knows about an upstream, and the batches of rows that it
is pulling from there.

    asked      Changes was sent                             -> Batch
    examining  which bytes are needed and missing?          -> examined
    fetching   until no bytes are missing or available      -> fetched, or given up
    ready      earlier batches are joined first
    joining    rows and cursor in one transaction           -> joined; the next Changes
                                                               acknowledges it

While one batch is being joined, the bytes of the next are fetched; there are never more than two.
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
"""How often an upstream is polled when it sends no change notification."""

REPLY_SECONDS = 2.0
"""How long a request waits for an answer, or for any sign that answers are coming, before it is
repeated. The wait doubles each time, up to POLL_SECONDS.
"""

PIECES_SECONDS = 5.0
"""The same for bytes, which take longer over a slow line; up to PIECES_SECONDS_MAX."""

PIECES_SECONDS_MAX = 20.0

HOPELESS_SECONDS = 20.0
"""How long rows wait while an upstream sends none of the bytes requested from it. After that they
become pending.
"""

REACHABLE_SECONDS = 7.5
"""How long a peer counts as reachable after its last message: long enough for a poll and its
answer, because change notifications may not get through.
"""

FIRST_SECONDS = 2.0
"""How long to wait for the first message of a new peer."""

BACK_OFF_SECONDS = 5.0
"""How long an upstream is sent no requests after this node failed to store what it sent."""

HELLO_SECONDS = 1.0
"""The shortest time between two Hellos to an upstream."""

REFUSED_SECONDS = 30.0
"""How long until a refused upstream is sent a Hello again."""

NAME_SECONDS = 60.0
"""The shortest time between two changes of a peer's name."""

RESTARTS_MAX = 4
RESTART_SECONDS = 5.0
"""How many times in a row an upstream may start over, and how long until it may once more."""

PULLS_MAX = 2
GETS_MAX = 8
NEVER = float("-inf")


class PullStage(enum.Enum):
    """How far a pull has got. DROPPED: it was given up while it was being examined, and is removed
    once that is done.
    """

    EXAMINING = "examining"
    FETCHING = "fetching"
    JOINING = "joining"
    DROPPED = "dropped"


@dataclass(slots=True)
class Pull:
    """Rows to be joined into the map. If `link` and `upstream` are None, the rows were pending; if
    only `upstream` is None, the pull looks ahead.

    missing: contents that are being fetched. asked_at: when the upstream was asked; everything that
    it had at that time is in the map once the pull that is `last` has been joined. waited_for: the
    upstream whose rows were pending.
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
    """A request without an answer yet. position: where the batch will begin, for a Changes. parts:
    what a Get asks for. tries: how many times it was repeated since the upstream last answered
    any request.
    """

    message: Request
    first_sent: float
    sent: float
    position: Cursor | None = None
    parts: tuple[Part, ...] = ()
    tries: int = 0

    def overdue_at(self, answered: float) -> float:
        """When to repeat it. Each answer of its kind, the last of which arrived at `answered`,
        postpones that, but not for ever.
        """
        first, most = (
            (PIECES_SECONDS, PIECES_SECONDS_MAX) if self.parts else (REPLY_SECONDS, POLL_SECONDS)
        )
        patience = min(first * (1 << min(self.tries, 8)), most)
        return min(max(self.sent, answered) + patience, self.sent + 2 * most)


@dataclass(slots=True)
class Link:
    """An upstream as named in `subscribe`. Invariant: `pulls` are in the order in which they are
    joined, and each begins where the previous one ends.

    head: its newest known Head, received at head_at. sync: where it announced that it accepts
    requests. refused: why it cannot be an upstream. storing: answers whose bytes are being stored.
    heard, answered, delivered: when it last sent anything, an answer, and pieces. idle_until: no
    requests are sent before then. unacknowledged: there is more to acknowledge. peer_name: its
    name, since named_at. is_full: the most rows allowed are pending. looks_ahead: its pulls do not
    move the cursor, because it was full when they began; ahead: how far they have got. restarts:
    how many times it started over recently, as of restarted_at. current_as_of: everything that it
    had at this time is here; refresh_from: the current_as_of that is wanted.
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
        """The upstream's node id; None if it is unknown or the upstream is refused."""
        return self.head.node if self.head and not self.refused else None

    @property
    def position(self) -> Cursor | None:
        """Where the next batch begins."""
        return self.pulls[-1].cursor if self.pulls else self.ahead or self.cursor

    @property
    def is_ahead(self) -> bool:
        """Whether it has announced more than was pulled or is being pulled."""
        if self.head is None:
            return False
        position = self.position
        return position is None or position.epoch != self.head.epoch or position.seq < self.head.seq

    def begin(self) -> None:
        """Begin the next pull: where the last one ended, or at the cursor if looking ahead starts
        or stops.
        """
        if not self.pulls and self.is_full != self.looks_ahead:
            self.looks_ahead, self.ahead = self.is_full, None

    def may_restart(self, now: float) -> bool:
        """Whether it may start over, as another node or from its first row. An upstream that does
        so all the time must not keep this node busy.
        """
        self.restarts = max(0.0, self.restarts - (now - self.restarted_at) / RESTART_SECONDS)
        self.restarted_at = now
        if self.restarts > RESTARTS_MAX - 1:
            return False
        self.restarts += 1
        return True

    def note_name(self, text: str, now: float) -> None:
        """The peer has sent its name. Names appear in the log and in metrics, so they must not
        change all the time.
        """
        name = clean_name(text)
        if name != self.peer_name and now >= self.named_at + NAME_SECONDS:
            self.peer_name, self.named_at = name, now

    def note_head(self, head: Head, now: float) -> None:
        """Record the upstream's newest Head."""
        self.head = head
        self.head_at = now
        if self.behind_since is None and self.is_ahead:
            self.behind_since = now

    def note_current(self, asked_at: float, now: float) -> None:
        """Everything that the upstream had at `asked_at` is here."""
        self.current_as_of = max(self.current_as_of, asked_at)
        self.behind_since = now if self.is_ahead else None

    def is_awaited(self, now: float) -> bool:
        """Whether it was just added, and its first message may arrive soon."""
        return self.head is None and self.refused is None and now - self.added < FIRST_SECONDS

    def is_heard(self, now: float) -> bool:
        """Whether it has sent anything recently."""
        return self.node is not None and now - self.heard < REACHABLE_SECONDS

    def is_reachable(self, now: float) -> bool:
        """Whether it has sent anything recently and can be pulled from."""
        return self.is_heard(now) and now >= self.idle_until

    def can_ask_for_changes(self) -> bool:
        """Whether there is room for one more batch, and none has been requested."""
        if len(self.pulls) >= PULLS_MAX or any(
            isinstance(asked.message, Changes) for asked in self.asked.values()
        ):
            return False
        if self.pulls and self.is_full != self.looks_ahead:
            return False  # switch only when no pull is under way
        return not self.pulls or not self.pulls[-1].last or self.is_ahead or self.unacknowledged

    def wants_changes(self, now: float) -> bool:
        """Whether there is a reason to ask for a batch."""
        # looking ahead never makes it current
        is_refreshed = self.current_as_of >= self.refresh_from or self.looks_ahead
        if self.is_ahead or self.unacknowledged or now >= self.poll_at or not is_refreshed:
            return True
        return bool(self.pulls) and not self.pulls[-1].last

    def gets_free(self) -> int:
        """How many more Gets may be under way."""
        return GETS_MAX - len(self.storing) - sum(1 for asked in self.asked.values() if asked.parts)

    def overdue_at(self, asked: PendingRequest) -> float:
        """When to repeat a request. An answered poll does not mean that pieces will come; while
        pieces arrive, a batch may have to wait its turn.
        """
        return asked.overdue_at(self.delivered if asked.parts else self.answered)

    @property
    def hopeless_at(self) -> float:
        """When to give up the Gets that are under way."""
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
        """When something becomes due if no message arrives."""
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
