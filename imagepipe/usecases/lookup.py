"""Finds what a GET asks for: a stored file, or a rendition of one (docs/design/contract.md,
"Images over HTTP"). core/requests/lookup decides; here it is read and fetched.

look in memory             without a thread; answers everything that was asked for lately
look on disk               on a thread, if memory does not have all of it
ask the peers              only if none of these paths has ever been stored or deleted here
fetch the original         likewise, if there is a source_base
404                        at once, if it was deleted
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from imagepipe.core.rendering import formats
from imagepipe.core.rendering.formats import Format
from imagepipe.core.requests.lookup import (
    Finding,
    Missing,
    Source,
    StoredFile,
    find,
    paths_of,
)
from imagepipe.core.requests.targets import ORIGINAL, Target, image_target
from imagepipe.core.rows.entries import Content, Row
from imagepipe.core.rows.stamp import milliseconds
from imagepipe.errors import InternalError, NotFound, quoted
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
class Reader:
    """Where a lookup reads. In memory nothing blocks, and None means that it is not there; on disk
    it means that it does not exist.
    """

    rows: Callable[[Sequence[str]], Mapping[str, Row] | None]
    open_object: Callable[[str], SharedFile | None]
    rendition: Callable[[str, RenditionRequest], OpenImage | None]
    is_in_memory: bool


@dataclass(frozen=True, slots=True)
class _Seen:
    """A finding, and the open file to answer it with. Without one, a source has to be rendered."""

    finding: Finding
    image: OpenImage | None = None


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
        self._in_memory = Reader(
            store.in_memory.rows, store.in_memory.open_object, renditions.in_memory, True
        )
        self._on_disk = Reader(store.rows, store.read_object, renditions.cached, False)
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
        request = _request(target, accepted)
        for _ in range(LOOKS_MAX):
            seen = await self._find(
                target, request, admit, may_fetch=may_fetch or request is not None
            )
            found, image = seen.finding, seen.image
            if isinstance(found, Missing):
                break
            if image:
                return FoundImage(image, found.row)
            if request is None:
                break
            try:
                image, job = await self._renditions.make(found.content.digest, request, client)
            except SourceVanished:
                continue
            return FoundImage(image, found.row, job)
        else:
            raise InternalError  # a row without its bytes: verify will report it
        raise _not_found(target)

    def in_memory(self, target: Target, admit: Callable[[], None]) -> FoundImage | None:
        """What `get` would find for a file, or for a rendition other than `.auto`, if all of it is
        in memory. All its bytes are in `head`. Never blocks.
        """
        seen = _look(self._in_memory, target, _request(target, ()))
        if seen is None or seen.image is None or isinstance(seen.finding, Missing):
            return None
        _admit(seen, admit)
        return FoundImage(seen.image, seen.finding.row)

    async def info(self, target: Target, *, may_fetch: bool = True) -> ImageInfo:
        """The facts of the image of `target`. Raises NotFound, and what fetching raises."""
        source = await self._source(target, may_fetch=may_fetch)
        return info_of(await self._missing_facts.complete(source.row))

    async def source(self, image: str) -> Content:
        """The content that renditions of the image at a clean path are rendered from: its own, or
        its original's. Raises what `info` does.
        """
        return (await self._source(image_target(image), may_fetch=True)).content

    async def _source(self, target: Target, *, may_fetch: bool) -> Source:
        seen = await self._find(target, None, lambda: None, may_fetch=may_fetch)
        if not isinstance(seen.finding, Source):
            raise _not_found(target)
        return seen.finding

    async def _find(
        self,
        target: Target,
        request: RenditionRequest | None,
        admit: Callable[[], None],
        *,
        may_fetch: bool,
    ) -> _Seen:
        fetch = partial(self._fetch, target) if may_fetch else _do_nothing
        for learn in (_do_nothing, self._peers.catch_up, fetch):
            await learn()
            seen = _look(self._in_memory, target, request) or await self._on_thread(
                lambda: self._look_on_disk(target, request)
            )
            if request:
                _admit(seen, admit)
            if not isinstance(seen.finding, Missing) or seen.finding.is_known:
                break
        return seen

    async def _fetch(self, target: Target) -> None:
        image = target.image
        if image is None and target.path and target.path.endswith("/" + ORIGINAL):
            image = target.path.removesuffix("/" + ORIGINAL)
        if image is not None:
            await self._originals.fetch(image)

    def _look_on_disk(self, target: Target, request: RenditionRequest | None) -> _Seen:
        """On a thread."""
        for _ in range(LOOKS_MAX):
            if seen := _look(self._on_disk, target, request):
                return seen
        raise InternalError  # a row without its bytes: verify will report it


def _look(reader: Reader, target: Target, request: RenditionRequest | None) -> _Seen | None:
    """What `reader` finds. None if it cannot say: something is not in memory, or the image was
    replaced before its bytes were opened.
    """
    paths = paths_of(target)
    rows = reader.rows(paths) if paths else {}
    if rows is None:
        return None
    finding = find(target, rows)
    if isinstance(finding, StoredFile):
        file = reader.open_object(finding.content.digest)
        return _Seen(finding, _open_image(finding, file)) if file else None
    if isinstance(finding, Source) and request:
        image = reader.rendition(finding.content.digest, request)
        return _Seen(finding, image) if image or not reader.is_in_memory else None
    return _Seen(finding)


def _admit(seen: _Seen, admit: Callable[[], None]) -> None:
    """Call `admit`, unless a stored file was found: anyone may read it."""
    if isinstance(seen.finding, StoredFile):
        return
    try:
        admit()
    except BaseException:
        if seen.image:
            seen.image.file.close()
        raise


def _request(target: Target, accepted: tuple[Format, ...]) -> RenditionRequest | None:
    return (
        rendition_request(target.rendition, accepted) if target.rendition and target.image else None
    )


async def _do_nothing() -> None:
    pass


def _open_image(found: StoredFile, file: SharedFile) -> OpenImage:
    facts = found.row.facts
    format = formats.named(facts.format) if facts else formats.sniff(file.head)
    return OpenImage(
        file, found.content.digest, format.media_type if format else "application/octet-stream"
    )


def _not_found(target: Target) -> NotFound:
    what = target.image if target.image is not None else target.path
    return NotFound(
        "path", f"there is no image {quoted(what if what is not None else target.text, 200)}"
    )
