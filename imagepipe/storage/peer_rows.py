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
        """The rows that wait for their bytes, those of one upstream in its order."""
        return self._catalogue.upstreams.pending()

    def changes(self, after: int, limit: int) -> RowPage:
        """At most `limit` rows with sequence numbers above `after`, in order."""
        return self._catalogue.changes(after, limit)

    def read_piece(self, digest: str, offset: int, length: int) -> bytes | None:
        """Some bytes of an object; None if it is missing or has fewer."""
        return self._objects.read(digest, offset, length)

    def pin_rows(self, rows: Sequence[Row]) -> Sequence[Content]:
        """Keep the objects that `rows` name, stored or yet to be received, until `unpin_rows`.
        Returns the contents that must be received before `join`.

        If this raises, nothing is pinned.
        """
        self._health.check()
        with self._access.in_flight.one():
            self.space_bytes = self.space_for_peers()
            digests = _digests(rows)
            self._pins.pin(digests)  # before checking whether they are here
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
        """Undo one `pin_rows`: objects that nothing names and nobody else has pinned are removed
        later.
        """
        free = self._pins.unpin(_digests(rows))
        # `close` unpins everything itself
        with contextlib.suppress(Overloaded), self._access.in_flight.one():
            self._access.abandon(free)

    def receive(self, transfer: int, content: Content, offset: int, data: bytes) -> ReceiveResult:
        """Store bytes of an object from a peer: disjoint ranges, in any order, from several threads
        at once.

        `transfer` is the caller's number for one attempt to get the whole object. COMPLETE: all
        bytes are here and match the digest; they are durable once a row that names them is joined.
        DAMAGED: they do not match, or there are too many. UNWANTED: they are not an image. NO_ROOM:
        the disk has no space for them. In the last three cases the bytes are discarded. Raises
        NotStored on a full disk, and the transfer is discarded; FlushError; Overloaded.
        """
        with self._access.freeing_space(), self._access.writing():
            if not self._reserve.is_allocated:
                self._transfers.discard(transfer)
                return ReceiveResult.NO_ROOM
            received = self._transfers.receive(transfer, content, offset, data)
            if received is ReceiveResult.COMPLETE:
                self._access.abandon([content.digest])  # in case it was unpinned meanwhile
            return received

    def discard(self, transfer: int) -> None:
        """Drop an unfinished transfer, if there is one."""
        self._transfers.discard(transfer)

    def join(
        self,
        rows: Sequence[Row],
        upstream: str | None,
        cursor: Cursor | None,
        *,
        from_start: bool = False,
    ) -> JoinResult:
        """Join rows of distinct paths with the map, after their objects were pinned and, as far as
        possible, received; `cursor` is where they end.

        When this returns, the join is durable and the tree shows it. A row whose bytes are missing
        waits for them in `pending`. upstream None: rows of several upstreams that were pending.
        from_start: the upstream sends its rows from the start again, so its pending rows are void.
        Raises NotStored on a full disk, and then nothing has changed; FlushError; Overloaded.
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
        """Forget the cursors and pending rows of upstreams, by the names of their links; blocks.

        Raises NotStored on a full disk; FlushError; Overloaded.
        """
        with self._access.writing():
            self._access.run(lambda: self._joiner.forget(upstreams))

    def space_for_peers(self) -> int:
        """How many bytes of peers the disk can take and still have space for an image from a
        client.
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
