"""Bytes that are not asked for again for a while, because what came last time was of no use.

wrong bytes    longer each time: the peer may be mended, but until then every attempt is wasted
no image       for long: the same bytes would come again; only a new release may think otherwise
no room        not here: every turn of the pending rows looks at the disk again
"""

from collections import OrderedDict
from dataclasses import dataclass

from imagepipe.core.rows.entries import Content

WRONG_SECONDS = 5.0
WRONG_SECONDS_MAX = 60.0
UNWANTED_SECONDS = 3600.0

REJECTED_MAX = 4096
"""How many of them are known at most; the oldest is forgotten for one more, and asked for again."""


@dataclass(frozen=True, slots=True)
class _Rejection:
    until: float
    times: int
    why: str


class RejectedContents:
    """Which contents are not asked for now."""

    def __init__(self) -> None:
        self._rejected: OrderedDict[Content, _Rejection] = OrderedDict()

    def note_wrong(self, content: Content, now: float) -> None:
        """A peer has sent other bytes than the digest says."""
        before = self._rejected.get(content)
        times = before.times + 1 if before else 1
        pause = min(WRONG_SECONDS * (1 << min(times - 1, 8)), WRONG_SECONDS_MAX)
        self._note(
            content,
            _Rejection(now + pause, times, "the bytes received for it do not match its digest"),
        )

    def note_unwanted(self, content: Content, now: float) -> None:
        """Its bytes are no image."""
        self._note(
            content,
            _Rejection(
                now + UNWANTED_SECONDS,
                1,
                "its bytes are not an image in a format that this release knows",
            ),
        )

    def note_received(self, content: Content) -> None:
        """Its bytes have come after all."""
        self._rejected.pop(content, None)

    def has(self, content: Content, now: float) -> bool:
        """Whether it is not to be asked for now."""
        found = self._rejected.get(content)
        return found is not None and now < found.until

    def why(self, content: Content) -> str | None:
        """What was wrong with its bytes; None: nothing that is known."""
        found = self._rejected.get(content)
        return found.why if found else None

    def _note(self, content: Content, rejected: _Rejection) -> None:
        self._rejected[content] = rejected
        self._rejected.move_to_end(content)
        if len(self._rejected) > REJECTED_MAX:
            self._rejected.popitem(last=False)
