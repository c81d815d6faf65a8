"""Bytes that are not requested again for a while, because those received last time were useless.

wrong bytes    longer each time: the peer may be repaired, but until then attempts are wasted
no image       for long: the same bytes would come again; only a new release may accept them
no room        not handled here: each turn of the pending rows checks the disk again
"""

from collections import OrderedDict
from dataclasses import dataclass

from imagepipe.core.rows.entries import Content

WRONG_SECONDS = 5.0
WRONG_SECONDS_MAX = 60.0
UNWANTED_SECONDS = 3600.0

REJECTED_MAX = 4096
"""The most entries kept. Beyond that the oldest is forgotten, and its bytes requested again."""


@dataclass(frozen=True, slots=True)
class _Rejection:
    until: float
    times: int
    why: str


class RejectedContents:
    """The contents that are not requested for now."""

    def __init__(self) -> None:
        self._rejected: OrderedDict[Content, _Rejection] = OrderedDict()

    def note_wrong(self, content: Content, now: float) -> None:
        """A peer has sent bytes that do not match the digest."""
        before = self._rejected.get(content)
        times = before.times + 1 if before else 1
        pause = min(WRONG_SECONDS * (1 << min(times - 1, 8)), WRONG_SECONDS_MAX)
        self._note(
            content,
            _Rejection(now + pause, times, "the bytes received for it do not match its digest"),
        )

    def note_unwanted(self, content: Content, now: float) -> None:
        """Its bytes are not an image."""
        self._note(
            content,
            _Rejection(
                now + UNWANTED_SECONDS,
                1,
                "its bytes are not an image in a format that this release knows",
            ),
        )

    def note_received(self, content: Content) -> None:
        """Its bytes have arrived after all."""
        self._rejected.pop(content, None)

    def has(self, content: Content, now: float) -> bool:
        """Whether it must not be requested now."""
        found = self._rejected.get(content)
        return found is not None and now < found.until

    def why(self, content: Content) -> str | None:
        """What was wrong with its bytes; None if nothing is known."""
        found = self._rejected.get(content)
        return found.why if found else None

    def _note(self, content: Content, rejected: _Rejection) -> None:
        self._rejected[content] = rejected
        self._rejected.move_to_end(content)
        if len(self._rejected) > REJECTED_MAX:
            self._rejected.popitem(last=False)
