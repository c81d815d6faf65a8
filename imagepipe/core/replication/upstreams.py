"""The upstreams of this node, and the batches that each of them has sent.

No two links lead to the same node, and giving up on an upstream leaves nothing behind: neither
requests, nor fetches, nor rows, except those that are being joined.
"""

from collections.abc import Iterator

from msgspec import structs

from imagepipe.core.replication.downloads import Downloads
from imagepipe.core.replication.link import (
    BACK_OFF_SECONDS,
    REFUSED_SECONDS,
    Link,
    PendingRequest,
    Pull,
    PullStage,
)
from imagepipe.core.replication.messages import Batch
from imagepipe.core.replication.progress import Progress
from imagepipe.core.replication.pulls import Pulls
from imagepipe.core.rows.join import Cursor

TWICE = (
    "another entry leads to a node of the same id: it is the same node, or the data folder of one"
    " is a copy of the other's"
)


class Upstreams:
    """`links`, by name. ids: numbers not used yet."""

    def __init__(
        self, progress: Progress, pulls: Pulls, downloads: Downloads, ids: Iterator[int]
    ) -> None:
        self.links: dict[str, Link] = {}
        self._progress = progress
        self._pulls = pulls
        self._downloads = downloads
        self._ids = ids

    def reachable(self, now: float) -> list[str]:
        """The links over which an upstream can be expected to answer."""
        return [link.name for link in self.links.values() if link.is_reachable(now)]

    def is_current(self, since: float, now: float) -> bool:
        """Whether everything that the reachable upstreams had at the time `since` is here."""
        links = [
            link for link in self.links.values() if link.is_reachable(now) or link.is_awaited(now)
        ]
        return all(link.current_as_of >= since or link.looks_ahead for link in links)

    def has_pulled_all(self, now: float) -> bool:
        """Whether everything that the reachable upstreams have announced is here."""
        return not any(
            link.is_ahead or link.pulls for link in self.links.values() if link.is_reachable(now)
        )

    def make_room(self, link: Link, node: str, now: float) -> bool:
        """Make `link` the only link to the node. False if that is impossible now, because another
        link leads there or because rows from the link's previous node are still being joined.

        Of two links, one could lead to a copy of the data folder, and the changes of two nodes with
        one id cannot be told apart.
        """
        for other in self.links.values():
            if other is not link and other.node == node:
                if other.is_heard(now):
                    self.refuse(link, TWICE, now)
                    return False
                self.drop_all(other, now)
                other.head = None
        return not self._pulls.is_joining(link.name)

    def take_batch(self, link: Link, asked: PendingRequest, message: Batch, now: float) -> None:
        """Begin a pull of the rows that answer a request, if they follow what was pulled before."""
        position = link.position
        # another node has taken its place: ask who it is
        if link.head is None or message.node != link.node:
            self.drop_all(link, now)
            self._progress.forget(link.name)
            link.head = None
            return
        if message.after not in (0, position.seq if position else 0):
            self.back_off(link, now)
            return
        if message.after == 0 and position and position.seq:  # our cursor means nothing to it
            if not link.may_restart(now):
                self.back_off(link, now)
                return
            if link.looks_ahead:
                self._begin_again(link, now)
                if link.pulls:
                    return
                link.looks_ahead, link.ahead = False, None
        # The answer overrides what the upstream announced before the request; but it may have
        # announced more since it wrote the answer.
        if (
            message.epoch != link.head.epoch
            or asked.sent >= link.head_at
            or message.end > link.head.seq
        ):
            if message.epoch == link.head.epoch and message.end > link.head.seq:
                link.missed_notifications += 1
            link.note_head(structs.replace(link.head, epoch=message.epoch, seq=message.end), now)
        is_last = message.upto == message.end
        cursor = Cursor(message.epoch, message.upto, 0 if is_last else message.end)
        if position != cursor or message.rows:
            pull = Pull(
                next(self._ids),
                message.rows,
                link.name,
                None if link.looks_ahead else link.name,
                cursor,
                message.after == 0,
                asked.first_sent,
                is_last,
            )
            link.pulls.append(pull)
            self._pulls.begin(pull)
        elif link.pulls:
            link.pulls[-1].asked_at = asked.first_sent
            link.pulls[-1].last = True
        elif not link.looks_ahead:
            link.note_current(asked.first_sent, now)

    def leave_queue(self, pull: Pull) -> Link | None:
        """Remove an ended pull from its link, and return the link; None if it was dropped."""
        link = self.links.get(pull.link or "")
        if link is None or pull not in link.pulls:
            return None
        link.pulls.remove(pull)
        return link

    def refuse(self, link: Link, why: str, now: float) -> None:
        """Pull nothing from the upstream for a while."""
        self.drop_all(link, now)
        link.refused = why
        link.hello_at = now + REFUSED_SECONDS

    def back_off(self, link: Link, now: float) -> None:
        """Send the upstream no requests for a moment."""
        self._begin_again(link, now)
        link.idle_until = now + BACK_OFF_SECONDS

    def drop_all(self, link: Link, now: float) -> None:
        """Drop everything that is being pulled from the upstream. A join that has begun continues,
        but the link does not wait for it.
        """
        self._begin_again(link, now)
        link.pulls.clear()

    def lose_bytes(self, link: Link, now: float) -> None:
        """Fetch no more bytes from the upstream: other peers may have them, or their rows become
        pending.
        """
        link.asked = {rid: asked for rid, asked in link.asked.items() if not asked.parts}
        self._downloads.lose(link.name, now)

    def _begin_again(self, link: Link, now: float) -> None:
        """Drop everything that is being pulled from the upstream, except rows being joined."""
        for pull in list(link.pulls):
            if pull.stage is not PullStage.JOINING:
                link.pulls.remove(pull)
                self._downloads.drop(pull)
                self._pulls.drop(pull)
        link.asked.clear()
        self.lose_bytes(link, now)
