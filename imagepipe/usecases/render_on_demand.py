"""Serves renditions from the cache, or renders each once for all clients waiting for it
(docs/design/contract.md, "Images over HTTP").

    digest of the source, name, formats the client accepts
      -> key known from an earlier request, or from the cached header of the source -> cache
      -> otherwise a queued job: read, header, plan -> key -> cache, or render and cache

A rendition belongs to the bytes of its source, never to a path. The path is looked up for every
request, so nothing stale is served after an image is replaced, moved or deleted.
"""

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import msgspec

from imagepipe.core.queues.turns import JobKind
from imagepipe.core.rendering import formats
from imagepipe.core.rendering.formats import AVIF, WEBP, Format
from imagepipe.core.rendering.output_request import OutputRequest
from imagepipe.core.rendering.plan import RenderPlan, RenderSettings, SourceFacts, plan_render
from imagepipe.core.rendering.renditions import (
    Rendition,
    RenditionLimits,
    cache_key,
    output_request,
)
from imagepipe.core.rows.entries import ImageFacts
from imagepipe.engines.engine import Engine, Source
from imagepipe.errors import BadRequest, NotAcceptable, NotFound, NotStored
from imagepipe.monitoring.counters import Counters
from imagepipe.runtime.render_queue import RenderQueue
from imagepipe.storage.cache.cache import CachedFile, CachedInMemory
from imagepipe.storage.disk import refusal
from imagepipe.storage.memory import LruMemory
from imagepipe.storage.shared_file import SharedFile
from imagepipe.storage.store import Store
from imagepipe.usecases.recent_failures import RecentFailures, Unrenderable, attribute_failure
from imagepipe.usecases.single_flight import KeyLocks, SingleFlight

KEYS_MAX = 20_000
"""How many cache keys are kept in memory."""

_header = msgspec.msgpack.Decoder(SourceFacts)


class SourceVanished(NotFound):
    """The source was removed after its path was looked up: look it up again."""


class RenditionCache(Protocol):
    """The render cache. All methods but `get_in_memory` may block."""

    def get(self, key: str) -> CachedFile | None:
        """The file cached under `key`, opened."""
        ...

    def get_in_memory(self, key: str) -> CachedInMemory | None:
        """What `get` would find, if it is in memory. Never blocks."""
        ...

    def keep_in_memory(self, key: str, file: SharedFile, cached: CachedFile) -> None:
        """Keep what `get` found in memory, provided that the head of `file` is the whole file."""
        ...

    def header(self, source: str) -> bytes | None:
        """The header passed to the last `put` for this source."""
        ...

    def put(
        self, key: str, source: str, staged: Path, facts: ImageFacts, header: bytes
    ) -> CachedFile:
        """Move a file rendered from the source with this digest into the cache; open it."""
        ...

    def forget(self, sources: Collection[str]) -> None:
        """Remove everything rendered from these sources."""
        ...


@dataclass(frozen=True, slots=True)
class RenditionRequest:
    """A rendition and the formats its client accepts (empty if the name gives the format)."""

    rendition: Rendition
    accepted: tuple[Format, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenImage:
    """An image to send; the caller closes its file. etag: without quotes."""

    file: SharedFile
    etag: str
    media_type: str


@dataclass(frozen=True, slots=True)
class RenditionResult:
    """The result of one request. was_rendered: it was not in the cache."""

    key: str
    image: OpenImage
    format: Format
    was_rendered: bool


@dataclass(frozen=True, slots=True)
class RenditionJob:
    """The results of several requests for one source, and how long they took."""

    made: tuple[RenditionResult, ...]
    waited_seconds: float
    ran_seconds: float


def rendition_request(rendition: Rendition, accepted: tuple[Format, ...]) -> RenditionRequest:
    """The request of a client that accepts these formats."""
    return RenditionRequest(rendition, accepted if rendition.is_auto else ())


def all_requests_of(rendition: Rendition) -> tuple[RenditionRequest, ...]:
    """Every request that the name of a rendition can stand for, whatever the client accepts."""
    return (
        (
            RenditionRequest(rendition, (AVIF,)),
            RenditionRequest(rendition, (WEBP,)),
            RenditionRequest(rendition),
        )
        if rendition.is_auto
        else (RenditionRequest(rendition),)
    )


class Renditions:
    """Renders stored images. Runs on the reactor's thread, except for `cached`, which blocks.

    `engine_name` is part of the cache keys.
    """

    def __init__(
        self,
        queue: RenderQueue,
        store: Store,
        cache: RenditionCache,
        engine: Engine,
        engine_name: str,
        settings: RenderSettings,
        limits: RenditionLimits,
        counters: Counters,
        failures: RecentFailures,
    ) -> None:
        self._queue = queue
        self._store = store
        self._cache = cache
        self._engine = engine
        self._engine_name = engine_name
        self._settings = settings
        self._limits = limits
        self._counters = counters
        self._single_flight: SingleFlight[
            tuple[str, tuple[RenditionRequest, ...]], RenditionJob
        ] = SingleFlight(_close)
        self._key_locks = KeyLocks()
        self._failures = failures
        self._keys: LruMemory[tuple[str, RenditionRequest], str] = LruMemory(KEYS_MAX)

    @property
    def making(self) -> int:
        """How many jobs are running or waiting."""
        return len(self._single_flight)

    def cached(self, digest: str, request: RenditionRequest) -> OpenImage | None:
        """The rendition, if it is found in the cache; None does not mean that it is not there.

        May block; runs on any thread.
        """
        key = self._keys.get((digest, request)) or self._key_by_header(digest, request)
        if key is None:
            return None
        self._keys.put((digest, request), key)
        cached = self._cache.get(key)
        image = self._opened(digest, cached) if cached else None
        if cached and image:
            self._cache.keep_in_memory(key, image.file, cached)
        return image

    def in_memory(self, digest: str, request: RenditionRequest) -> OpenImage | None:
        """What `cached` would find, if it is in memory. Never blocks."""
        key = self._keys.get((digest, request))
        found = self._cache.get_in_memory(key) if key else None
        return (
            OpenImage(found.file, found.digest, formats.named(found.facts.format).media_type)
            if found
            else None
        )

    def _key_by_header(self, digest: str, request: RenditionRequest) -> str | None:
        """The key, if the header was cached with another rendition, perhaps by an earlier run."""
        header = self._cache.header(digest)
        try:
            if not header:
                return None
            facts = _header.decode(header)
            facts = replace(facts, format=formats.named(facts.format.name))
            plan = plan_render(
                (
                    output_request(
                        request.rendition, request.accepted, facts, self._limits, self._settings
                    ),
                ),
                facts,
                self._settings,
            )
        # the header is damaged or another version's, or the rendition cannot be made of this source
        except (msgspec.MsgspecError, LookupError, BadRequest):
            return None
        return cache_key(digest, plan, self._engine_name)

    async def make(
        self, digest: str, request: RenditionRequest, client: str
    ) -> tuple[OpenImage, RenditionJob]:
        """The rendition, rendered if it is not cached. `client` gets its fair share of the queue.

        Raises SourceVanished if the source was removed, NotStored if it cannot be rendered,
        NotAcceptable and Overloaded.
        """
        job = await self._join(digest, (request,), client)
        image = job.made[0].image
        image.file.hold()
        return image, job

    async def make_all(self, digest: str, requests: Sequence[RenditionRequest]) -> RenditionJob:
        """Cache renditions of one source, decoding it once for all that are missing.

        The files in the result are closed. Raises what `make` does.
        """
        return await self._join(digest, tuple(requests), "")

    async def _join(
        self, digest: str, requests: tuple[RenditionRequest, ...], client: str
    ) -> RenditionJob:
        keys = [self._keys.get((digest, request)) for request in requests]
        self._failures.check((digest, *((digest, request) for request in requests), *keys))
        return await self._single_flight.join(
            (digest, requests), lambda: self._run(digest, requests, client)
        )

    async def _run(
        self, digest: str, requests: tuple[RenditionRequest, ...], client: str
    ) -> RenditionJob:
        try:
            timed = await self._queue.run(
                lambda: self._make(digest, requests), JobKind.READ, client
            )
        except Unrenderable as failure:
            self._failures.note(failure)
            raise NotStored(str(failure)) from None
        self._counters.render(timed.waited_seconds, timed.ran_seconds)
        for made in timed.result:
            if made.was_rendered:
                self._counters.image_request(made.format)
        return RenditionJob(timed.result, timed.waited_seconds, timed.ran_seconds)

    # On an I/O thread:

    def _make(
        self, digest: str, requests: tuple[RenditionRequest, ...]
    ) -> tuple[RenditionResult, ...]:
        try:
            file = self._store.open_object(digest)
            if file is None:
                raise SourceVanished("path", "the image is no longer there")
            with contextlib.closing(file):
                try:
                    return self._make_of(digest, requests, file)
                except (NotStored, OSError):
                    # space was not the problem, or none can be freed
                    if not self._store.free_space():
                        raise
                    return self._make_of(digest, requests, file)
        except OSError as error:
            raise refusal(error) from error

    def _make_of(
        self, digest: str, requests: tuple[RenditionRequest, ...], file: SharedFile
    ) -> tuple[RenditionResult, ...]:
        format = formats.sniff(file.head[: formats.SNIFF_BYTES])
        if format is None:
            raise NotStored("the stored file is not an image of a known format")
        with contextlib.ExitStack() as rendering:
            rendering.enter_context(self._queue.engine_turn())
            with attribute_failure(digest):
                source = rendering.enter_context(self._engine.open(file.content, format))
            outputs = [
                output_request(
                    request.rendition, request.accepted, source.facts, self._limits, self._settings
                )
                for request in requests
            ]
            plans = []
            for request, output in zip(requests, outputs, strict=True):
                with attribute_failure((digest, request)):
                    plans.append(self._plan(output, source))
            keys = [cache_key(digest, plan, self._engine_name) for plan in plans]
            for request, key in zip(requests, keys, strict=True):
                self._keys.put((digest, request), key)
            self._failures.check(keys)  # another name for the same rendition may have failed
            with self._key_locks.hold(keys), contextlib.ExitStack() as opened:
                images = {
                    key: image
                    for key in dict.fromkeys(keys)
                    if (image := self._cached(digest, key))
                }
                for image in images.values():
                    opened.callback(image.file.close)
                missing = {
                    key: output
                    for key, output in zip(keys, outputs, strict=True)
                    if key not in images
                }
                if missing:
                    images |= self._render(digest, source, missing, rendering)
                opened.pop_all()
        return tuple(
            RenditionResult(key, images[key], plan.outputs[0].format, key in missing)
            for key, plan in zip(keys, plans, strict=True)
        )

    def _plan(self, request: OutputRequest, source: Source) -> RenderPlan:
        try:
            return plan_render((request,), source.facts, self._settings)
        except NotAcceptable:
            raise
        except BadRequest as error:  # a valid request that this stored image does not allow
            raise NotStored(str(error)) from error

    def _cached(self, digest: str, key: str) -> OpenImage | None:
        cached = self._cache.get(key)
        return self._opened(digest, cached) if cached else None

    def _opened(self, digest: str, cached: CachedFile) -> OpenImage | None:
        try:
            return _open_image(cached)
        # it was there a moment ago and is unreadable now: trust nothing rendered from this source
        except OSError:
            self._cache.forget([digest])
            return None

    def _render(
        self,
        digest: str,
        source: Source,
        missing: Mapping[str, OutputRequest],
        rendering: contextlib.ExitStack,
    ) -> dict[str, OpenImage]:
        """Render what is missing, close `rendering` so that the next job can start, and cache."""
        plan = plan_render(tuple(missing.values()), source.facts, self._settings)
        made = {}
        header = msgspec.msgpack.encode(source.facts)
        with self._store.staging() as folder, contextlib.ExitStack() as opened:
            with (
                attribute_failure(next(iter(missing)))
                if len(missing) == 1
                else contextlib.nullcontext()
            ):
                source.render(plan, folder)
            rendering.close()
            for at, (key, output) in enumerate(zip(missing, plan.outputs, strict=True)):
                facts = ImageFacts(output.format.name, output.size.width, output.size.height)
                made[key] = _open_image(
                    self._cache.put(key, digest, folder / str(at), facts, header)
                )
                opened.callback(made[key].file.close)
            opened.pop_all()
        return made


def _open_image(cached: CachedFile) -> OpenImage:
    return OpenImage(
        SharedFile(cached.file, cached.size),
        cached.digest,
        formats.named(cached.facts.format).media_type,
    )


def _close(job: RenditionJob) -> None:
    for image in {made.key: made.image for made in job.made}.values():
        image.file.close()
