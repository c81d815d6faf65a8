"""Stores originals that arrive over HTTP: sent or named by a POST, or fetched on request
(docs/design/contract.md, "Images over HTTP").

POST    promise the outputs -> store P/original durably -> respond -> render the outputs
GET     fetch once for all clients -> store P/original, unless it was ever stored or deleted
pull    the same for an operator, and report the result
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Any, Protocol

from twisted.internet.defer import Deferred

from imagepipe.core.queues.turns import JobKind
from imagepipe.core.rendering import renditions
from imagepipe.core.rendering.renditions import Rendition, RenditionLimits
from imagepipe.core.requests.call_arguments import OUTPUTS_MAX, StoreRequest
from imagepipe.core.requests.targets import original_of
from imagepipe.errors import BadRequest, Conflict, NotFound, TooFewPeers, TooLarge, quoted
from imagepipe.monitoring.counters import Counters
from imagepipe.runtime.render_queue import TimedResult
from imagepipe.storage.catalogue.orders import Order
from imagepipe.storage.image_info import Commit, ImageInfo
from imagepipe.storage.store import Store
from imagepipe.usecases.promised_outputs import PromisedOutputs
from imagepipe.usecases.query_operations import QueryOperations
from imagepipe.usecases.single_flight import SingleFlight
from imagepipe.usecases.store_operation import StoreOperation

OnThread = Callable[[Callable[[], Any]], Deferred[Any]]

LOOKS_MAX = 3
"""How often to look again when an image appears and is deleted before it can be read."""


class OriginalSources(Protocol):
    """Where originals are fetched from. The caller closes the files."""

    @property
    def has_base(self) -> bool:
        """Whether there is a `source_base`."""
        ...

    async def fetch_image(self, path: str) -> IO[bytes]:
        """The original of the image at `path`, from `source_base`.

        Raises NotFound, TooLarge, SourceFailed and Overloaded.
        """
        ...

    async def fetch_named(self, url: str) -> IO[bytes]:
        """The original at a client's URL. Also raises BadRequest and Forbidden."""
        ...


@dataclass(frozen=True, slots=True)
class FetchedOriginal:
    """A stored original. was_fetched: it was fetched by this request."""

    info: ImageInfo
    was_fetched: bool


class Originals:
    """Stores originals. Runs on the reactor's thread."""

    def __init__(
        self,
        on_thread: OnThread,
        store: Store,
        store_operation: StoreOperation,
        queries: QueryOperations,
        sources: OriginalSources,
        outputs: PromisedOutputs,
        limits: RenditionLimits,
        counters: Counters,
        bytes_max: int,
    ) -> None:
        self._on_thread = on_thread
        self._store = store
        self._store_operation = store_operation
        self._queries = queries
        self._sources = sources
        self._outputs = outputs
        self._limits = limits
        self._counters = counters
        self._bytes_max = bytes_max
        self._single_flight: SingleFlight[tuple[str, str | None], ImageInfo | None] = SingleFlight()

    async def fetch(self, image: str) -> None:
        """Fetch the original of an image that is unknown here, if there is a `source_base`.

        Does nothing if the image has been stored or deleted in the meantime. Raises NotFound,
        TooLarge, NotAnImage, NotStored and Overloaded.
        """
        if self._sources.has_base:
            # the caller looks again and finds what is there now
            with contextlib.suppress(Conflict, TooFewPeers):
                await self._fetch_once(image, None)

    async def pull(self, image: str, source: str | None) -> FetchedOriginal:
        """The original of the image at a clean path. Unless it is stored, it is fetched from the
        URL `source`, or else from `source_base`.

        Raises Conflict if it was deleted or the image itself is stored, BadRequest if there is
        nowhere to fetch it from, and what fetching and storing raise.
        """
        path = original_of(image)
        for _ in range(LOOKS_MAX):
            try:
                return FetchedOriginal(await self._queries.info(path), was_fetched=False)
            except NotFound:
                await self._check_unknown(image, path)
            if source is None and not self._sources.has_base:
                raise BadRequest(
                    "source",
                    "is empty, and there is no [http] source_base to fetch the original from",
                )
            try:
                info = await self._fetch_once(image, source)
            except NotFound:
                raise NotFound("path", f"{quoted(image, 200)} is not at its source") from None
            if info:
                return FetchedOriginal(info, was_fetched=True)
        raise Conflict(
            "path", f"{quoted(path, 200)} is being stored and deleted by others: try again"
        )

    async def post(
        self, image: str, body: IO[bytes] | None, source: str | None, names: Sequence[str]
    ) -> tuple[ImageInfo, TimedResult[Commit]]:
        """Store the original of the image at a clean path, from the URL `source` or else from
        `body`, and promise renditions of these names.

        Both are durable when it returns. The caller closes the body. Raises BadRequest, NotStored
        (and subclasses of both), Overloaded and TooFewPeers.
        """
        order = Order(image, checked_names(names, self._limits))
        path = original_of(image)
        rows = await self._on_thread(lambda: self._store.rows([image]))
        if image in rows and rows[image].entry.content:
            raise _its_own_original(image)
        self._outputs.check_room()
        file = (
            body
            if source is None
            else await self._download(lambda: self._sources.fetch_named(source))
        )
        assert file, "neither a body nor a source"
        try:
            timed = await self._with_promise(
                order, lambda: self._read(file), StoreRequest(path, ())
            )
        finally:
            if file is not body:
                file.close()
        return timed.result.stored[0], timed

    async def _with_promise(
        self, order: Order, image: Callable[[], bytes], request: StoreRequest
    ) -> TimedResult[Commit]:
        """Promise the outputs, then store the original: a crash between the two loses nothing."""
        await self._outputs.promise(order)
        try:
            timed = await self._store_operation.store(image, request)
        except TooFewPeers:  # it is stored all the same
            self._outputs.add(order)
            raise
        except Exception:
            await self._outputs.withdraw(order)
            raise
        self._outputs.add(order)
        return timed

    async def _check_unknown(self, image: str, path: str) -> None:
        """Raise Conflict if a GET would not fetch it either."""
        rows = await self._on_thread(lambda: self._store.rows([image, path]))
        if image in rows and rows[image].entry.content:
            raise _its_own_original(image)
        for known, row in rows.items():
            if row.entry.content is None:
                raise Conflict(
                    "path", f"{quoted(known, 200)} was deleted: store it again to restore it"
                )

    async def _fetch_once(self, image: str, source: str | None) -> ImageInfo | None:
        return await self._single_flight.join((image, source), lambda: self._fetch(image, source))

    async def _fetch(self, image: str, source: str | None) -> ImageInfo | None:
        """Fetch and store; return the facts, or None if the image is known by now."""
        path = original_of(image)
        if await self._is_known(image, path):
            # the caller looked before an earlier fetch had finished, or asked for the original of
            # an image that has none
            return None
        file = await self._download(
            lambda: (
                self._sources.fetch_image(image)
                if source is None
                else self._sources.fetch_named(source)
            )
        )
        try:
            timed = await self._store_operation.store(
                lambda: self._read(file), StoreRequest(path, ()), kind=JobKind.READ, only_new=True
            )
        except Conflict:
            if await self._is_known(image, path):
                return None
            raise
        finally:
            file.close()
        return timed.result.stored[0]

    async def _is_known(self, *paths: str) -> bool:
        return bool(await self._on_thread(lambda: self._store.rows(paths)))

    async def _download(self, fetch: Callable[[], Any]) -> IO[bytes]:
        try:
            file: IO[bytes] = await fetch()
        except NotFound:
            self._counters.original_unavailable()
            raise
        self._counters.original_downloaded()
        return file

    def _read(self, file: IO[bytes]) -> bytes:
        image = file.read(self._bytes_max + 1)
        if len(image) > self._bytes_max:
            raise TooLarge("image", f"has more than {self._bytes_max} bytes (max_bytes)")
        if not image:
            raise BadRequest("image", "is empty: send it as the body, or give its URL as source")
        return image


def _its_own_original(image: str) -> Conflict:
    return Conflict(
        "path", f"{quoted(image)} is itself a stored image, and its renditions are made from it"
    )


def checked_names(names: Sequence[str], limits: RenditionLimits) -> tuple[str, ...]:
    """The names without duplicates. Raises BadRequest or a subclass if a GET would refuse one."""
    once = tuple(dict.fromkeys(names))
    if len(once) > OUTPUTS_MAX:
        raise BadRequest(
            "outputs", f"names {len(once)} renditions; one call may name at most {OUTPUTS_MAX}"
        )
    for name in once:
        rendition: Rendition | None = renditions.parse(name)
        if rendition is None:
            raise BadRequest(
                "outputs",
                f"{quoted(name)} is not the name of a rendition; names look like w500.jpg,"
                " x300.webp, 300x400-q60.jpg, full_size.auto",
            )
        renditions.check(rendition, limits)
    return once
