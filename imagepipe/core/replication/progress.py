"""How far each upstream has been pulled: the durable cursors, and the rows that are pending.

Both are kept under the name of the link. Those of removed links, which may come back, are kept
too, within limits.
"""

from collections.abc import Collection, Iterable, Mapping

from imagepipe.core.replication.actions import Action, ForgetUpstreams
from imagepipe.core.replication.link import Link, Pull
from imagepipe.core.replication.pending import PendingRows
from imagepipe.core.rows.join import Cursor

CURSORS_MAX = 1000
"""How many cursors are kept."""


class Progress:
    """pending_max: how many rows of one upstream may be pending. actions: where the actions go."""

    def __init__(
        self,
        cursors: Mapping[str, Cursor],
        pending: PendingRows,
        pending_max: int,
        actions: list[Action],
    ) -> None:
        self._cursors = dict(cursors)
        self._pending = pending
        self._pending_max = pending_max
        self._actions = actions

    def cursor_of(self, link: str) -> Cursor | None:
        """The durable cursor."""
        return self._cursors.get(link)

    def forget(self, link: str) -> None:
        """Drop the cursor, because another node has taken the upstream's place."""
        self._cursors.pop(link, None)

    def joined(self, pull: Pull) -> None:
        """The join has moved the cursor."""
        if pull.upstream is not None and pull.cursor is not None:
            self._cursors[pull.upstream] = pull.cursor

    def is_full(self, link: Link) -> bool:
        """Whether the most rows allowed are pending. Without a cursor the upstream starts over,
        which voids its pending rows.
        """
        return link.cursor is not None and self._pending.count(link.name) >= self._pending_max

    def acked(self, link: Link) -> int:
        """The upstream's sequence number up to which everything is here, including bytes."""
        if link.cursor is None or link.node is None:
            return 0
        oldest = self._pending.oldest(link.name)
        return link.cursor.seq if oldest is None else min(link.cursor.seq, oldest - 1)

    def forget_removed(self, links: Collection[str], pulls: Iterable[Pull]) -> None:
        """Limit what is kept of removed links."""
        known = {*links} | {pull.upstream for pull in pulls}
        waiting = [name for name in self._pending.upstreams if name not in known]
        waiting_max = (1 + len(links)) * self._pending_max
        if (
            len(self._cursors) <= CURSORS_MAX
            and sum(map(self._pending.count, waiting)) <= waiting_max
        ):
            return
        gone = tuple({*self._cursors, *waiting} - known)
        self._cursors = {name: cursor for name, cursor in self._cursors.items() if name in known}
        self._pending.drop(gone)
        self._actions.append(ForgetUpstreams(gone))
