"""Work on everything that is stored: adopting files, verifying, housekeeping on demand."""

from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

from imagepipe.storage.access import Access
from imagepipe.storage.parts import Parts
from imagepipe.storage.verify.findings import VerifyObserver
from imagepipe.storage.verify.repair import Repairs
from imagepipe.storage.verify.verify import Verifier
from imagepipe.storage.writer.claims import Claim


class Maintenance:
    """For any thread; blocks, but for `tidy`. Every method is documented in Store."""

    def __init__(self, parts: Parts, access: Access) -> None:
        self._parts = parts
        self._access = access

    def claim(self, claims: Sequence[Claim]) -> Sequence[str | None]:
        """See Store."""
        parts = self._parts
        digests = [one.content.digest for one in claims]
        with self._access.writing(), parts.pins.pinned(digests):
            for one in claims:
                parts.objects.add(one.content.digest, one.staged, one.content.size)
            parts.objects.flush(digests)
            refusals = self._access.run(lambda: parts.claims.claim(claims))
        self._access.abandon([digest for digest, why in zip(digests, refusals, strict=True) if why])
        return refusals

    def verify(self, observer: VerifyObserver, staging: Path, *, repair: bool) -> None:
        """See Store. staging: a folder to fetch missing objects to."""
        parts = self._parts
        repairs = Repairs(
            parts.catalogue, parts.tree, parts.housekeeping, parts.layout.found, parts.now_ms
        )
        with self._access.writing():
            Verifier(
                parts.catalogue,
                parts.tree,
                parts.objects,
                parts.claims,
                repairs,
                self._access.run,
                staging,
                observer,
                repair=repair,
            ).run()

    def tidy(self) -> "Future[bool]":
        """See Store."""
        return self._access.queue(self._parts.housekeeping.finish)
