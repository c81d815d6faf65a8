"""Fetching bytes from peers by their digest: which ranges to request from which peer next, and how
to handle the answers.

    want      a pull wants an object that these peers may have; there is one fetch per object,
              however many pulls want it
    take      the next ranges to request from a peer, many small objects at once
    received  a piece was stored: more to come, complete, or damaged
    lacks     the peer does not have it: the next peer that may is asked, from the start of the
              object; when none is left, the fetch is given up

A fetch asks one peer at a time. A peer that is slow while another may have the bytes is skipped,
but may be asked again.
"""

import enum
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from imagepipe.core.replication.messages import GET_BYTES_MAX, RANGES_MAX
from imagepipe.core.rows.entries import Content

SLOW_SOURCE_SECONDS = 1.0
"""How long a peer may make a fetch wait before another that may have the bytes is asked."""


class ReceiveResult(enum.Enum):
    """The state of an object after a piece was received.

    MORE: there is more to come. COMPLETE: it is complete and verified. DAMAGED: its bytes do not
    match the digest. UNWANTED: its bytes are not an image. NO_ROOM: the disk has no room for it. In
    the last two cases no other peer could help.
    """

    MORE = "more"
    COMPLETE = "complete"
    DAMAGED = "damaged"
    UNWANTED = "unwanted"
    NO_ROOM = "no room"


@dataclass(frozen=True, slots=True)
class Part:
    """A range of an object, requested in a transfer: one attempt to get the whole object from one
    peer.
    """

    transfer: int
    content: Content
    offset: int
    length: int


@dataclass(slots=True)
class _Fetch:
    """Invariant: `source` is the peer asked in the attempt `transfer`, or None if there is none;
    `others` may be asked after it.
    """

    content: Content
    wanted_by: set[int]
    others: deque[str]
    source: str | None = None
    transfer: int = 0
    next_offset: int = 0
    waits_since: float = 0.0
    # doubled each time; otherwise neither of two slow peers would ever be allowed to finish
    patience: float = SLOW_SOURCE_SECONDS

    @property
    def waits_until(self) -> float:
        """Until when the fetch waits for its source. Compare this sum with the time: a difference
        of times, once rounded, may stay below the patience for ever.
        """
        return self.waits_since + self.patience


@dataclass(frozen=True, slots=True)
class Ended:
    """The fetch of `content` has ended, because the object is here or because no peer has it;
    `pulls` waited for it.
    """

    content: Content
    pulls: frozenset[int]


class Fetches:
    """All fetches of a node. bytes_max: the most bytes requested at once."""

    def __init__(self, bytes_max: int = GET_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        # not by digest: a peer may be wrong about the size, and others right
        self._fetches: dict[Content, _Fetch] = {}
        self._transfers: dict[int, _Fetch] = {}
        # peer -> transfers with ranges not requested yet
        self._queues: dict[str, deque[int]] = {}
        self._last_transfer = 0
        self._ended: list[int] = []

    def want(self, content: Content, pull: int, peers: Sequence[str], now: float) -> None:
        """`pull` wants an object that each of `peers` (at least one) may have."""
        fetch = self._fetches.get(content)
        if fetch is None:
            fetch = self._fetches[content] = _Fetch(content, {pull}, deque(peers))
            self._next_source(fetch, now)
            return
        fetch.wanted_by.add(pull)
        fetch.others.extend(
            peer for peer in peers if peer != fetch.source and peer not in fetch.others
        )

    def take(self, peer: str) -> tuple[Part, ...]:
        """The ranges to ask `peer` for next; `bytes_max` in all at most."""
        queue = self._queues.get(peer, deque())
        parts: list[Part] = []
        room = self._bytes_max
        while queue and room and len(parts) < RANGES_MAX:
            fetch = self._transfers.get(queue[0])
            if fetch is None:
                queue.popleft()
                continue
            length = min(room, fetch.content.size - fetch.next_offset)
            parts.append(Part(fetch.transfer, fetch.content, fetch.next_offset, length))
            fetch.next_offset += length
            room -= length
            if fetch.next_offset == fetch.content.size:
                queue.popleft()
        return tuple(parts)

    def is_under_way(self, transfer: int) -> bool:
        """Whether pieces of this transfer are still needed."""
        return transfer in self._transfers

    def received(self, transfer: int, result: ReceiveResult, now: float) -> Ended | None:
        """The store has processed a piece, with this result."""
        fetch = self._transfers.get(transfer)
        if fetch is None:
            return None
        fetch.waits_since = now
        if result is ReceiveResult.MORE:
            return None
        if result is ReceiveResult.COMPLETE:
            del self._transfers[transfer]
            return self._end(fetch)
        if result is not ReceiveResult.DAMAGED:
            fetch.others.clear()
        return self._fail(fetch, now)

    def content_of(self, transfer: int) -> Content | None:
        """The content that a transfer fetches; None if the transfer has ended."""
        fetch = self._transfers.get(transfer)
        return fetch.content if fetch else None

    def lacks(self, transfer: int, now: float) -> Ended | None:
        """The peer asked in this transfer does not have the object."""
        fetch = self._transfers.get(transfer)
        return None if fetch is None else self._fail(fetch, now)

    def lose(self, peer: str, now: float) -> list[Ended]:
        """`peer` can no longer be asked."""
        ended = []
        for fetch in list(self._fetches.values()):
            if peer in fetch.others:
                fetch.others.remove(peer)
            if fetch.source == peer and (end := self._fail(fetch, now)):
                ended.append(end)
        self._queues.pop(peer, None)  # none of its transfers is under way any more
        return ended

    def drop(self, pull: int) -> None:
        """`pull` is given up: stop fetching what no other pull wants."""
        for content, fetch in list(self._fetches.items()):
            fetch.wanted_by.discard(pull)
            if not fetch.wanted_by:
                self._end_attempt(fetch)
                del self._fetches[content]

    def skip(self, now: float) -> None:
        """Ask other peers where one has made a fetch wait for too long."""
        for fetch in self._waiting():
            if now >= fetch.waits_until and fetch.source is not None:
                fetch.patience *= 2
                fetch.others.append(fetch.source)
                self._next_source(fetch, now)

    def next_deadline(self) -> float:
        """The earliest time at which `skip` has something to do; infinite if there is none."""
        return min((fetch.waits_until for fetch in self._waiting()), default=float("inf"))

    def take_ended(self) -> list[int]:
        """The transfers that have ended with an incomplete object since the last call."""
        ended, self._ended = self._ended, []
        return ended

    @property
    def missing_bytes(self) -> int:
        """How many bytes have not been requested yet."""
        return sum(fetch.content.size - fetch.next_offset for fetch in self._fetches.values())

    def _waiting(self) -> Iterator[_Fetch]:
        return (fetch for fetch in self._fetches.values() if fetch.others)

    def _fail(self, fetch: _Fetch, now: float) -> Ended | None:
        if fetch.others:
            self._next_source(fetch, now)
            return None
        self._end_attempt(fetch)
        return self._end(fetch)

    def _end(self, fetch: _Fetch) -> Ended:
        del self._fetches[fetch.content]
        return Ended(fetch.content, frozenset(fetch.wanted_by))

    def _next_source(self, fetch: _Fetch, now: float) -> None:
        self._end_attempt(fetch)
        self._last_transfer += 1
        fetch.transfer = self._last_transfer
        fetch.source = fetch.others.popleft()
        fetch.next_offset = 0
        fetch.waits_since = now
        self._transfers[fetch.transfer] = fetch
        self._queues.setdefault(fetch.source, deque()).append(fetch.transfer)

    def _end_attempt(self, fetch: _Fetch) -> None:
        if self._transfers.pop(fetch.transfer, None) is not None:
            self._ended.append(fetch.transfer)
