"""Fetching the bytes that pulls and refetches wait for, and handling the results.

Bytes that this node refuses, or has recently rejected, are not fetched: their rows become pending
at once.
"""

from collections.abc import Callable, Iterable, Sequence

from imagepipe.core.replication.actions import (
    Action,
    DiscardTransfer,
    RefetchDone,
    ReportRejected,
    StorePieces,
)
from imagepipe.core.replication.fetches import Ended, Fetches, Part, ReceiveResult
from imagepipe.core.replication.link import PendingRequest, Pull
from imagepipe.core.replication.messages import Pieces
from imagepipe.core.replication.pulls import Pulls
from imagepipe.core.replication.refetch import Refetches
from imagepipe.core.replication.rejected import RejectedContents
from imagepipe.core.rows.entries import Content, Row


class Downloads:
    """Invariant: every content that a pull or a refetch is missing is being fetched.

    bytes_max: the most bytes that one request asks for. refusal: why this node does not fetch the
    bytes of a row, or None if it does. pulls: the waiting pulls. actions: where the actions go.
    """

    def __init__(
        self,
        bytes_max: int,
        refusal: Callable[[Row], str | None],
        pulls: Pulls,
        actions: list[Action],
    ) -> None:
        self._fetches = Fetches(bytes_max)
        self._refetches = Refetches()
        self._rejected = RejectedContents()
        self._refusal = refusal
        self._pulls = pulls
        self._actions = actions

    def fetch(
        self, pull: Pull, lacking: Iterable[Content], peers: Sequence[str], now: float
    ) -> None:
        """Fetch what `pull` lacks from `peers` (at least one)."""
        wanted = self._acceptable(pull, lacking, now)
        pull.missing = set(wanted)
        for content in wanted:
            self._fetches.want(content, pull.id, peers, now)

    def refetch(
        self, number: int, contents: Sequence[Content], peers: Sequence[str], now: float
    ) -> None:
        """Fetch contents of rows that are already joined; without peers it ends at once."""
        self._refetches.begin(number, contents if peers else (), now)
        for content in contents if peers else ():
            self._fetches.want(content, number, peers, now)

    def take(self, peer: str) -> tuple[Part, ...]:
        """The parts to request from `peer` next."""
        return self._fetches.take(peer)

    def is_needed(self, parts: Iterable[Part]) -> bool:
        """Whether any of the parts is still needed."""
        return any(self._fetches.is_under_way(part.transfer) for part in parts)

    def answered(self, link: str, asked: PendingRequest, message: Pieces, now: float) -> bool:
        """Store the pieces that are still needed. Returns whether there were any."""
        here = []
        for at, part in enumerate(asked.parts):
            piece = message.pieces[at] if at < len(message.pieces) else None
            if piece is None or len(piece) != part.length:
                self._settle(self._fetches.lacks(part.transfer, now))
            elif self._fetches.is_under_way(part.transfer):
                here.append((part, piece))
        if here:
            parts = tuple(part for part, _ in here)
            pieces = tuple(piece for _, piece in here)
            self._actions.append(StorePieces(link, message.rid, parts, pieces))
        return bool(here)

    def stored(self, link: str, transfer: int, result: ReceiveResult, now: float) -> None:
        """A piece of the transfer was stored, with this result."""
        self._note(link, transfer, result, now)
        self._settle(self._fetches.received(transfer, result, now))

    def lose(self, peer: str, now: float) -> None:
        """Stop fetching from this peer."""
        for ended in self._fetches.lose(peer, now):
            self._settle(ended)

    def drop(self, pull: Pull) -> None:
        """Stop fetching what only this pull needs."""
        self._fetches.drop(pull.id)

    def tick(self, now: float) -> None:
        """Replace slow peers with others."""
        self._fetches.skip(now)

    def end_refetches(self, now: float) -> None:
        """Report the refetches that have ended."""
        for number in self._refetches.take_ended(now):
            self._fetches.drop(number)
            self._actions.append(RefetchDone(number))

    def discard_ended(self) -> None:
        """Discard what was received in failed transfers."""
        self._actions += [DiscardTransfer(transfer) for transfer in self._fetches.take_ended()]

    def next_deadline(self) -> float:
        """The earliest time at which a peer counts as slow or a refetch runs out of time."""
        return min(self._fetches.next_deadline(), self._refetches.next_deadline())

    @property
    def missing_bytes(self) -> int:
        """How many bytes have not been requested yet."""
        return self._fetches.missing_bytes

    def why_missing(self, row: Row) -> str | None:
        """Why the bytes of `row` are missing, if that is known."""
        content = row.entry.content
        return self._refusal(row) or (self._rejected.why(content) if content else None)

    def _acceptable(self, pull: Pull, lacking: Iterable[Content], now: float) -> list[Content]:
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

    def _note(self, link: str, transfer: int, result: ReceiveResult, now: float) -> None:
        content = self._fetches.content_of(transfer)
        if content is None:
            return
        if result is ReceiveResult.COMPLETE:
            self._rejected.note_received(content)
        elif result is ReceiveResult.DAMAGED:
            self._rejected.note_wrong(content, now)
        elif result is ReceiveResult.UNWANTED:
            self._rejected.note_unwanted(content, now)
            for pull in self._pulls:
                for row in pull.rows:
                    if row.entry.content == content:
                        self._report(link, row, str(self._rejected.why(content)))

    def _report(self, link: str | None, row: Row, why: str) -> None:
        """Report it once, not each time a pending row is retried."""
        if link is not None:
            self._actions.append(ReportRejected(link, row.entry.path, why))

    def _settle(self, ended: Ended | None) -> None:
        if ended is None:
            return
        for number in ended.pulls:
            if pull := self._pulls.get(number):
                pull.missing.discard(ended.content)
            else:
                self._refetches.settle(number, ended.content)
