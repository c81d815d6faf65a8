"""What peers bring: bytes of objects first, then the rows that name them.

    pin_rows -> receive, piece by piece -> join -> unpin_rows

Pinned bytes are kept although no row names them yet.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from imagepipe.core.rendering import formats
from imagepipe.core.rendering.header_size import HEAD_BYTES
from imagepipe.core.replication.admission import Admission, facts_of_bytes
from imagepipe.core.replication.fetches import ReceiveResult
from imagepipe.core.rows import join
from imagepipe.core.rows.entries import Content, Row, RowPage
from imagepipe.core.rows.join import Cursor, JoinResult, Pending
from imagepipe.errors import Overloaded
from imagepipe.storage.access import Access
from imagepipe.storage.disk import SPACE_BYTES_MIN
from imagepipe.storage.parts import Parts
from imagepipe.storage.transfers import Transfers
from imagepipe.storage.writer.joiner import JoinRequest


class PeerRows:
    """For any thread; what blocks is not for the reactor's.

    admission: which images are accepted; None: all of them. space_bytes: what `space_for_peers`
    last was.
    """

    def __init__(self, parts: Parts, access: Access) -> None:
        self._access = access
        self._catalogue = parts.catalogue
        self._objects = parts.objects
        self._pins = parts.pins
        self._health = parts.health
        self._reserve = parts.reserve
        self._private = parts.layout.private
        self._joiner = parts.joiner
        self._transfers = Transfers(
            parts.layout.staging, parts.objects, self.space_for_peers, self._is_image
        )
        self.admission: Admission | None = None
        self.space_bytes = 0

    def cursors(self) -> Mapping[str, Cursor]:
        """How far this node has pulled from its upstreams, by node id."""
        return self._catalogue.upstreams.cursors()

    def pending(self) -> Sequence[Pending]:
        """The rows of upstreams that wait for their bytes, an upstream's in its order."""
        return self._catalogue.upstreams.pending()

    def changes(self, after: int, limit: int) -> RowPage:
        """The rows with numbers above `after`, in order, `limit` at most."""
        return self._catalogue.changes(after, limit)

    def read_piece(self, digest: str, offset: int, length: int) -> bytes | None:
        """Some bytes of an object; None if it is missing or has fewer."""
        return self._objects.read(digest, offset, length)

    def pin_rows(self, rows: Sequence[Row]) -> Sequence[Content]:
        """Keep the bytes that `rows` name, here or on their way, until `unpin_rows`; returns those
        that must come before `join`.

        Where this raises nothing is held.
        """
        self._health.check()
        with self._access.in_flight.one():
            self.space_bytes = self.space_for_peers()
            digests = _digests(rows)
            self._pins.pin(digests)  # before it is looked whether they are here
            try:
                return tuple(
                    content
                    for content in join.missing_contents(rows, self._catalogue.look_up)
                    if not self._objects.has(content)
                )
            except BaseException:
                self._pins.unpin(digests)
                raise

    def unpin_rows(self, rows: Sequence[Row]) -> None:
        """Undo one `pin_rows`: bytes that nothing names and nobody else holds will be removed."""
        free = self._pins.unpin(_digests(rows))
        # closing lets go of everything itself
        with contextlib.suppress(Overloaded), self._access.in_flight.one():
            self._access.abandon(free)

    def receive(self, transfer: int, content: Content, offset: int, data: bytes) -> ReceiveResult:
        """Take bytes of an object from a peer: disjoint ranges in any order, of one transfer by
        several threads at once.

        `transfer` is the caller's number for one attempt to get all of it. COMPLETE: the bytes are
        those that the digest says, and are here; they are durable once a row that names them is
        joined. DAMAGED: they are not, or are too many. UNWANTED: they are no image. NO_ROOM: the
        disk has no room for them. In all these cases they are gone. Raises NotStored on a full
        disk, and what came of the transfer is gone; FlushError; Overloaded.
        """
        with self._access.freeing_space(), self._access.writing():
            if not self._reserve.is_allocated:
                self._transfers.discard(transfer)
                return ReceiveResult.NO_ROOM
            received = self._transfers.receive(transfer, content, offset, data)
            if received is ReceiveResult.COMPLETE:
                self._access.abandon([content.digest])  # if it was let go of meanwhile
            return received

    def discard(self, transfer: int) -> None:
        """Forget a transfer that did not end, if there is one."""
        self._transfers.discard(transfer)

    def join(
        self,
        rows: Sequence[Row],
        upstream: str | None,
        cursor: Cursor | None,
        *,
        from_start: bool = False,
    ) -> JoinResult:
        """Join rows of distinct paths with the map, whose bytes were held and received as far as
        they could be; `cursor` is where they end.

        When this returns it is durable, and the tree shows it. A row whose bytes are not here waits
        for them in `pending`. upstream None: rows of several upstreams, which were pending. afresh:
        the upstream sends its rows from the start again, so its pending rows are void. Raises
        NotStored on a full disk, and nothing is changed then; FlushError; Overloaded.
        """
        with self._access.freeing_space(), self._access.writing():
            here = frozenset(
                content
                for content in join.missing_contents(rows, self._catalogue.look_up)
                if self._objects.has(content)
            )
            self._objects.flush(content.digest for content in here)
            rows = [
                self._with_checked_facts(row) if row.entry.content in here else row for row in rows
            ]
            return self._access.run(
                lambda: self._joiner.join(JoinRequest(rows, upstream, cursor, from_start, here))
            )

    def forget_upstreams(self, upstreams: Sequence[str]) -> None:
        """Forget how far upstreams were pulled, by the names of their links, and what waits of
        them; blocks.

        Raises NotStored on a full disk; FlushError; Overloaded.
        """
        with self._access.writing():
            self._access.run(lambda: self._joiner.forget(upstreams))

    def space_for_peers(self) -> int:
        """How many bytes of peers the disk can take so that there is still room for an image that a
        client stores.
        """
        status = os.statvfs(self._private)
        room, total = status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
        own = self.admission.bytes_max if self.admission else 0
        return room - min(SPACE_BYTES_MIN + own, total // 8)

    def _is_image(self, head: bytes) -> bool:
        return self.admission is None or formats.sniff(head) is not None

    def _with_checked_facts(self, row: Row) -> Row:
        content = row.entry.content
        if self.admission is None or row.facts is None or content is None:
            return row
        head = self._objects.read(content.digest, 0, min(content.size, HEAD_BYTES))
        return replace(row, facts=facts_of_bytes(head or b"", row.facts))


def _digests(rows: Sequence[Row]) -> Sequence[str]:
    return [row.entry.content.digest for row in rows if row.entry.content]
