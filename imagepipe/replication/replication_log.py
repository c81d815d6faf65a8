"""What replication logs: a line when something changes for an operator, none while all is well, and
never one per message.
"""

from collections.abc import Callable, Sequence

from twisted.logger import Logger

from imagepipe.core.replication.link import Link
from imagepipe.core.replication.replica import Replica
from imagepipe.errors import quoted
from imagepipe.runtime.rate_limited_log import RateLimitedLog

SILENT_SECONDS = 15.0
"""A peer that has sent nothing for this long is reported as silent."""

BEHIND_SECONDS = 5.0
"""Catching up is logged only if this node was behind for longer than this."""

LOG_INTERVAL_SECONDS = 10.0
"""The least time between two lines about bad messages, and between two about refused changes."""

SKEW_SECONDS = 60.0
"""Clocks that differ by more deserve a warning: of two simultaneous writes, the one with the later
clock wins.
"""

_log = Logger()


class ReplicationLog:
    """Compares a Replica with what was last logged about it. `seconds` is the clock."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._logged: dict[str, str] = {}  # peer -> the last line about it
        self._behind: dict[str, float] = {}
        self._skewed: set[str] = set()
        self._full: set[str] = set()
        self._pending_since = float("inf")
        self._bad = 0
        self._bad_logged_at = float("-inf")
        self._refused = 0
        self._refused_logged_at = float("-inf")
        self._rejected: dict[str, RateLimitedLog] = {}
        self.bad_messages = 0
        self.clocks_ahead: dict[str, float] = {}

    def note(self, replica: Replica) -> None:
        """Log what has changed about the peers."""
        now = self._seconds()
        for link in replica.links.values():
            self._note_state(link, now)
            self._note_lag(link, now)
            self._note_full(link)
        self._note_pending(len(replica.pending), now)
        for gone in self._logged.keys() - replica.links.keys():
            del self._logged[gone]
            self._behind.pop(gone, None)
            self.clocks_ahead.pop(gone, None)
            self._skewed.discard(gone)
            self._rejected.pop(gone, None)
            self._full.discard(gone)

    def pending_seconds(self) -> float:
        """How long there have been rows waiting for their bytes."""
        return max(0.0, self._seconds() - self._pending_since)

    def log_bad_message(self, who: str, why: Exception) -> None:
        """A message was dropped."""
        self.bad_messages += 1
        self._bad += 1
        now = self._seconds()
        if now - self._bad_logged_at >= LOG_INTERVAL_SECONDS:
            _log.warn(
                "replication: {count} messages dropped, the last from {who}: {why}",
                count=self._bad,
                who=who,
                why=str(why),
            )
            self._bad = 0
            self._bad_logged_at = now

    def log_refused_rows(self, who: str, why: Sequence[str]) -> None:
        """Rows of a message were refused; `why` has a sentence for each."""
        self._refused += len(why)
        now = self._seconds()
        if now - self._refused_logged_at >= LOG_INTERVAL_SECONDS:
            _log.warn(
                "replication: {count} changes refused, the last from {who}: {why}",
                count=self._refused,
                who=who,
                why=why[-1],
            )
            self._refused = 0
            self._refused_logged_at = now

    def log_rejected(self, name: str, path: str, why: str) -> None:
        """The bytes of a peer's row are not fetched."""
        self._rejected.setdefault(
            name, RateLimitedLog(_log, self._seconds, LOG_INTERVAL_SECONDS)
        ).warn(
            "replication: not fetching {path} from peer {name}: {why}",
            path=quoted(path),
            name=name,
            why=why,
        )

    def note_clock(self, name: str, ahead_seconds: float) -> None:
        """Record how far the peer's clock is ahead of this node's."""
        self.clocks_ahead[name] = ahead_seconds
        if abs(ahead_seconds) < SKEW_SECONDS:
            self._skewed.discard(name)
        elif name not in self._skewed:
            self._skewed.add(name)
            _log.warn(
                "replication: the clock of peer {name} is {seconds:.0f} s {way} this node's;"
                " of two simultaneous writes, the one with the later clock wins",
                name=name,
                seconds=abs(ahead_seconds),
                way="ahead of" if ahead_seconds > 0 else "behind",
            )

    def _note_state(self, link: Link, now: float) -> None:
        if link.refused:
            self._log_if_new(link.name, f"cannot be pulled from: {link.refused}", bad=True)
        elif link.head is None:
            if now - link.added >= SILENT_SECONDS:
                self._log_if_new(link.name, "has not been heard from yet", bad=True)
        elif now - link.heard >= SILENT_SECONDS:
            self._log_if_new(link.name, "is silent", bad=True)
        else:
            named = (
                f", which calls itself {link.peer_name}"
                if link.peer_name not in ("", link.name)
                else ""
            )
            self._log_if_new(link.name, f"is connected: node {link.head.node}{named}", bad=False)

    def _note_lag(self, link: Link, now: float) -> None:
        if link.behind_since is not None:
            self._behind.setdefault(link.name, link.behind_since)
        elif (
            since := self._behind.pop(link.name, None)
        ) is not None and now - since >= BEHIND_SECONDS:
            _log.info(
                "replication: caught up with peer {name} after {seconds:.0f} s",
                name=link.name,
                seconds=now - since,
            )

    def _note_full(self, link: Link) -> None:
        if link.is_full and link.name not in self._full:
            self._full.add(link.name)
            _log.warn(
                "replication: too many changes from peer {name} are waiting for their bytes; until"
                " some arrive, only changes that need no bytes are accepted from it",
                name=link.name,
            )
        elif not link.is_full and link.name in self._full:
            self._full.discard(link.name)
            _log.info("replication: accepting all changes from peer {name} again", name=link.name)

    def _note_pending(self, count: int, now: float) -> None:
        if count and self._pending_since == float("inf"):
            self._pending_since = now
            _log.warn(
                "replication: no peer can send the bytes of {count} changes at the moment; asking"
                " all of them until one can",
                count=count,
            )
        elif not count and self._pending_since != float("inf"):
            self._pending_since = float("inf")
            _log.info("replication: no changes are waiting for their bytes any longer")

    def _log_if_new(self, name: str, what: str, *, bad: bool) -> None:
        if self._logged.get(name) != what:
            self._logged[name] = what
            (_log.warn if bad else _log.info)(
                "replication: peer {name} {what}", name=name, what=what
            )
