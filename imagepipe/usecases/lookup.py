"""Finds what a GET asks for: a stored file, or a rendition of one (docs/design/contract.md,
"Images over HTTP").

look in the catalogue      a stored path wins; otherwise a rendition of the image named by the path
                           without its last component, or of that image's original
ask the peers              only if none of these paths has ever been stored or deleted here
fetch the original         likewise, if there is a source_base
404                        at once, if it was deleted
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from imagepipe.core.rendering import formats
from imagepipe.core.rendering.formats import Format
from imagepipe.core.requests.targets import ORIGINAL, Target, original_of
from imagepipe.core.rows.entries import Content, Row
from imagepipe.core.rows.stamp import milliseconds
from imagepipe.errors import BadRequest, InternalError, NotFound, quoted
from imagepipe.storage.image_info import ImageInfo, info_of
from imagepipe.storage.shared_file import SharedFile
from imagepipe.storage.store import Store
from imagepipe.usecases.missing_facts import MissingFacts
from imagepipe.usecases.peers import Peers
from imagepipe.usecases.render_on_demand import (
    OpenImage,
    RenditionJob,
    RenditionRequest,
    Renditions,
    SourceVanished,
    rendition_request,
)

OnThread = Callable[[Callable[[], Any]], Deferred[Any]]

LOOKS_MAX = 3
"""How often to look again when an image is replaced after its lookup, before it is read."""


class OriginalFetcher(Protocol):
    """Fetches originals."""

    async def fetch(self, image: str) -> None:
        """Fetch and store the original of an image that is unknown here, if there is a source."""
        ...


@dataclass(frozen=True, slots=True)
class FoundImage:
    """What to send; the caller closes it. row: the image itself, or the one it was rendered from.
    job: how long rendering took, if it was not in the cache.
    """

    image: OpenImage
    row: Row
    job: RenditionJob | None = None

    @property
    def modified_ms(self) -> int:
        """When the image was written, in milliseconds since 1970."""
        return milliseconds(self.row.entry.version.stamp)

    @property
    def is_dated(self) -> bool:
        """Whether its second of modification distinguishes it from what was there before.

        Never for a rendition: with other settings, the same image gives a different one.
        """
        entry = self.row.entry
        if entry.content is None or entry.content.digest != self.image.etag:
            return False
        replaced = entry.replaced
        return replaced is None or milliseconds(replaced.stamp) // 1000 < self.modified_ms // 1000


@dataclass(frozen=True, slots=True)
class _LookupResult:
    """The result of a lookup. file: the requested stored file. source: the image to render.
    is_known: one of the paths has been stored or deleted.
    """

    file: FoundImage | None
    source: Row | None
    cached: OpenImage | None
    is_known: bool


class Lookup:
    """Finds what requests ask for. Runs on the reactor's thread; `on_thread` runs a short blocking
    call on a thread of its own pool.
    """

    def __init__(
        self,
        on_thread: OnThread,
        store: Store,
        renditions: Renditions,
        originals: OriginalFetcher,
        peers: Peers,
        missing_facts: MissingFacts,
    ) -> None:
        self._missing_facts = missing_facts
        self._on_thread = on_thread
        self._store = store
        self._renditions = renditions
        self._originals = originals
        self._peers = peers

    async def get(
        self,
        target: Target,
        accepted: tuple[Format, ...],
        admit: Callable[[], None],
        *,
        client: str,
        may_fetch: bool = True,
    ) -> FoundImage:
        """The file or rendition that `target` asks for; `accepted`: the formats its client accepts.

        `admit` is called before any work on a rendition, and raises the error to answer with if
        the client may not have it. may_fetch: whether an original may be fetched for a request that
        is not for a rendition. client: the client's name, for fair shares of the queue. Raises
        NotFound, Overloaded, NotStored and subclasses.
        """
        request = (
            rendition_request(target.rendition, accepted)
            if target.rendition and target.image
            else None
        )
        for _ in range(LOOKS_MAX):
            seen = await self._find(
                target, request, admit, may_fetch=may_fetch or request is not None
            )
            if seen.file:
                return seen.file
            if seen.source is None or request is None:
                break
            content = seen.source.entry.content
            assert content
            if seen.cached:
                return FoundImage(seen.cached, seen.source)
            try:
                image, job = await self._renditions.make(content.digest, request, client)
            except SourceVanished:
                continue
            return FoundImage(image, seen.source, job)
        else:
            raise InternalError  # a row without its bytes: verify will report it
        raise _not_found(target)

    def at_hand(self, target: Target, admit: Callable[[], None]) -> FoundImage | None:
        """What `get` would find for a file, or for a rendition other than `.auto`, if all of it is
        in memory. All its bytes are in `head`. Never blocks.
        """
        request = (
            rendition_request(target.rendition, ()) if target.rendition and target.image else None
        )
        seen = self._look_in_memory(target, request)
        if seen is None or seen.file:
            return seen.file if seen else None
        assert seen.cached
        assert seen.source
        try:
            admit()
        except BaseException:
            seen.cached.file.close()
            raise
        return FoundImage(seen.cached, seen.source)

    async def info(self, target: Target, *, may_fetch: bool = True) -> ImageInfo:
        """The facts of the image of `target`. Raises NotFound, and what fetching raises."""
        return info_of(
            await self._missing_facts.complete(await self._source(target, may_fetch=may_fetch))
        )

    async def source(self, image: str) -> Content:
        """The content that renditions of the image at a clean path are rendered from: its own, or
        its original's. Raises what `info` does.
        """
        source = await self._source(Target(f"/{image}", None, image), may_fetch=True)
        assert source.entry.content, "it was found as an image"
        return source.entry.content

    async def _source(self, target: Target, *, may_fetch: bool) -> Row:
        seen = await self._find(target, None, lambda: None, may_fetch=may_fetch)
        if seen.source is None:
            raise _not_found(target)
        return seen.source

    async def _find(
        self,
        target: Target,
        request: RenditionRequest | None,
        admit: Callable[[], None],
        *,
        may_fetch: bool,
    ) -> _LookupResult:
        fetch = partial(self._fetch, target) if may_fetch else _do_nothing
        for learn in (_do_nothing, self._peers.catch_up, fetch):
            await learn()
            seen = self._look_in_memory(target, request) or await self._on_thread(
                lambda: self._look(target, request)
            )
            if seen.file:
                return seen
            if request:
                try:
                    admit()
                except BaseException:
                    if seen.cached:
                        seen.cached.file.close()
                    raise
            if seen.source or seen.is_known:
                return seen
        return seen

    async def _fetch(self, target: Target) -> None:
        image = target.image
        if image is None and target.path and target.path.endswith("/" + ORIGINAL):
            image = target.path.removesuffix("/" + ORIGINAL)
        if image is not None:
            await self._originals.fetch(image)

    def _look_in_memory(
        self, target: Target, request: RenditionRequest | None
    ) -> _LookupResult | None:
        """What `_look` would find, if all of it is in memory. Handing a call to a thread costs more
        than all the rest of a small response.
        """
        sources = _sources(target)
        paths = ([target.path] if target.path else []) + sources
        rows = self._store.rows_in_memory(paths)
        if not rows:
            return None
        row = rows.get(target.path) if target.path else None
        if row and row.entry.content:
            file = self._store.object_in_memory(row.entry.content.digest)
            return (
                _LookupResult(FoundImage(_open_image(row, file), row), None, None, is_known=True)
                if file
                else None
            )
        source = next(
            (rows[path] for path in sources if path in rows and rows[path].entry.content), None
        )
        content = source.entry.content if source else None
        cached = self._renditions.at_hand(content.digest, request) if content and request else None
        return _LookupResult(None, source, cached, is_known=True) if cached else None

    # On a thread:

    def _look(self, target: Target, request: RenditionRequest | None) -> _LookupResult:
        sources = _sources(target)
        paths = ([target.path] if target.path else []) + sources
        if not paths:
            return _LookupResult(None, None, None, is_known=True)
        for _ in range(LOOKS_MAX):
            rows = self._store.rows(paths)
            row = rows.get(target.path) if target.path else None
            if row and row.entry.content:
                image = self._open(row)
                if image is None:
                    continue  # it was replaced a moment ago
                return _LookupResult(FoundImage(image, row), None, None, is_known=True)
            source = next(
                (rows[path] for path in sources if path in rows and rows[path].entry.content), None
            )
            content = source.entry.content if source else None
            cached = (
                self._renditions.cached(content.digest, request) if content and request else None
            )
            # A deleted image with the name of a rendition says nothing about the image that the
            # rendition would be rendered from.
            return _LookupResult(
                None, source, cached, is_known=any(path in rows for path in sources or paths)
            )
        raise InternalError  # a row without its bytes: verify will report it

    def _open(self, row: Row) -> OpenImage | None:
        content = row.entry.content
        assert content
        file = self._store.open_object(content.digest)
        if file is None:
            return None
        self._store.keep_in_memory(content.digest, file)
        return _open_image(row, file)


async def _do_nothing() -> None:
    pass


def _open_image(row: Row, file: SharedFile) -> OpenImage:
    assert row.entry.content
    format = formats.named(row.facts.format) if row.facts else formats.sniff(file.head)
    return OpenImage(
        file, row.entry.content.digest, format.media_type if format else "application/octet-stream"
    )


def _sources(target: Target) -> list[str]:
    """The paths of the images that a rendition may be rendered from, best first."""
    if target.image is None:
        return []
    try:
        return [target.image, original_of(target.image)]
    except BadRequest:  # the path is too long to have an original
        return [target.image]


def _not_found(target: Target) -> NotFound:
    what = target.image if target.image is not None else target.path
    return NotFound(
        "path", f"there is no image {quoted(what if what is not None else target.text, 200)}"
    )
