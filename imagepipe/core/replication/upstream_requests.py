"""The requests that this node sends to its upstreams, and repeats when no answer comes."""

from collections.abc import Iterator

from imagepipe.core.replication.actions import Action, SendRequest
from imagepipe.core.replication.downloads import Downloads
from imagepipe.core.replication.link import HELLO_SECONDS, POLL_SECONDS, Link, PendingRequest
from imagepipe.core.replication.messages import Changes, Get, Hello, Range
from imagepipe.core.replication.progress import Progress
from imagepipe.core.replication.subscribers import Subscribers
from imagepipe.core.rows.join import Cursor


class Requests:
    """Invariant: every request sent is in `asked` of its link until it is answered or given up.

    node: this node's id; its name is that of `subscribers`. ids: unused numbers. actions: where
    the actions go.
    """

    def __init__(
        self,
        node: str,
        subscribers: Subscribers,
        progress: Progress,
        downloads: Downloads,
        ids: Iterator[int],
        actions: list[Action],
    ) -> None:
        self._node = node
        self._subscribers = subscribers
        self._progress = progress
        self._downloads = downloads
        self._ids = ids
        self._actions = actions

    def hello(self, link: Link, now: float) -> None:
        """Ask who the upstream is."""
        link.hello_at = now + HELLO_SECONDS
        message = Hello(next(self._ids), self._node, self._subscribers.name)
        self._ask(link, PendingRequest(message, now, now))

    def changes(self, link: Link, now: float) -> None:
        """Ask for the next batch of rows."""
        link.poll_at = now + POLL_SECONDS
        link.unacknowledged = False
        message = self._changes(next(self._ids), link)
        self._ask(link, PendingRequest(message, now, now, position=link.position))

    def pieces(self, link: Link, now: float) -> None:
        """Ask for as many pieces as are allowed at once."""
        while link.gets_free() > 0 and (parts := self._downloads.take(link.name)):
            ranges = tuple(Range(part.content.digest, part.offset, part.length) for part in parts)
            self._ask(link, PendingRequest(Get(next(self._ids), ranges), now, now, parts=parts))

    def repeat(self, link: Link, rid: int, asked: PendingRequest, now: float) -> None:
        """Send a request again, unless its answer is no longer needed."""
        if asked.parts and not self._downloads.is_needed(asked.parts):
            del link.asked[rid]
            return
        asked.sent = now
        asked.tries += 1
        if isinstance(asked.message, Changes):
            asked.message = self._changes(rid, link)
        self._actions.append(SendRequest(link.name, asked.message))

    def _ask(self, link: Link, asked: PendingRequest) -> None:
        link.asked[asked.message.rid] = asked
        self._actions.append(SendRequest(link.name, asked.message))

    def _changes(self, rid: int, link: Link) -> Changes:
        position = link.position
        # Acknowledgements count in the epoch of the durable cursor, so there is none while a batch
        # of a newer epoch is under way.
        acked = (
            self._progress.acked(link)
            if link.cursor and position and link.cursor.epoch == position.epoch
            else 0
        )
        start = position or Cursor("", 0)
        name = self._subscribers.name
        return Changes(rid, self._node, start.epoch, start.seq, acked, start.end, name)
