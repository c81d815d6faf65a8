"""The use cases: what store, delete, move and the look-ups do, from checked arguments to a durable
result.

    store    on an I/O thread:  decode base64 -> recognise -> read the header -> plan -> render ->
                                objects -> commit
    delete   no thread of its own: the store's writer answers
    move     likewise

    each of them waits until as many peers as it takes have confirmed it; and before an image counts
    as unknown, the peers are asked

Nothing here knows XML-RPC, HTTP or which engine it is.
"""

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from hashlib import sha256
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from imagepipe.core.queues.turns import JobKind
from imagepipe.core.rendering import formats
from imagepipe.core.rendering.formats import Format
from imagepipe.core.rendering.plan import RenderSettings, check_source, plan_render
from imagepipe.core.requests.call_arguments import StoreRequest
from imagepipe.core.requests.history_query import HistoryPage, version_text
from imagepipe.core.rows.entries import Content, Row
from imagepipe.engines.engine import Engine
from imagepipe.errors import BadRequest, InternalError, NotAnImage, NotFound, NotStored, quoted
from imagepipe.monitoring.counters import Counters
from imagepipe.monitoring.engine_check import EngineCheck
from imagepipe.runtime.profiling import StageTimer, measured
from imagepipe.runtime.render_queue import RenderQueue, TimedResult
from imagepipe.storage.catalogue.history import LostVersion
from imagepipe.storage.disk import refusal
from imagepipe.storage.image_info import info_of
from imagepipe.storage.store import Commit, ImageFacts, ImageInfo, StagedImage, Store
from imagepipe.usecases.missing_facts import MissingFacts

T = TypeVar("T")
OnThread = Callable[[Callable[[], Any]], Deferred[Any]]


class Peers(Protocol):
    """The other nodes, as far as a call has to do with them."""

    async def wait_for_confirmations(self, seq: int) -> None:
        """Wait until enough of them have everything up to this node's change `seq`; raises
        TooFewPeers.
        """
        ...

    async def catch_up(self) -> None:
        """Learn what they have; takes a moment, and gives up after it."""
        ...


class Operations:
    """What can be done with images. Called on the reactor thread; `on_thread` runs a short blocking
    call on a thread of its own pool.
    """

    def __init__(
        self,
        reactor: IReactorFromThreads,
        on_thread: OnThread,
        queue: RenderQueue,
        store: Store,
        engine: Engine,
        settings: RenderSettings,
        peers: Peers,
        counters: Counters,
        missing_facts: MissingFacts,
        engine_check: EngineCheck,
    ) -> None:
        self._engine_check = engine_check
        self._missing_facts = missing_facts
        self._reactor = reactor
        self._on_thread = on_thread
        self._queue = queue
        self._store = store
        self._engine = engine
        self._settings = settings
        self._peers = peers
        self._counters = counters

    async def store(
        self,
        image: Callable[[], bytes],
        request: StoreRequest,
        *,
        kind: JobKind = JobKind.WRITE,
        only_new: bool = False,
        stages: StageTimer | None = None,
    ) -> TimedResult[Commit]:
        """Render and store what `request` asks for; all of it is durable and visible when this
        returns.

        `image` gives the source's bytes and is called on an I/O thread. kind: READ for what a GET
        makes this server store. only_new: never over what was stored or deleted before. stages: if
        given, told where the time goes. Raises Overloaded, BadRequest, NotStored, TooFewPeers.
        """

        def render_and_put() -> Commit:
            with stages.on_this_thread() if stages else contextlib.nullcontext():
                with measured("base64"):
                    decoded = image()
                return self._render_and_put(decoded, request, only_new=only_new)

        timed = await self._queue.run(render_and_put, kind)
        self._counters.render(timed.waited_seconds, timed.ran_seconds)
        self._counters.stored(len(request.paths))
        if stages:
            stages.add("queue", timed.waited_seconds)
        with (stages or StageTimer()).measured("confirm"):
            await self._peers.wait_for_confirmations(timed.result.seq)
        return timed

    async def delete(self, paths: Sequence[str]) -> None:
        """Delete clean `paths` as one; those that do not exist count as deleted. Raises
        TooFewPeers.
        """
        await self._catch_up_unless_known(paths)
        commit = await self._answered(self._store.delete(paths))
        self._counters.deleted(len(paths))
        await self._peers.wait_for_confirmations(commit.seq)

    async def erase(self, path: str) -> None:
        """Delete a clean path, and what lost a conflict at it, on every node. Raises NotFound if
        nothing was ever heard of it, TooFewPeers.
        """
        await self._catch_up_unless_known([path])
        if not await self._on_thread(lambda: self._store.look_up(path)):
            raise NotFound("path", f"there is no image {quoted(path)}, and there never was one")
        commit = await self._answered(self._store.erase(path))
        self._counters.deleted(1)
        await self._peers.wait_for_confirmations(commit.seq)

    async def move(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Move images between clean paths, in order, all or none. Raises TooFewPeers."""
        await self._catch_up_unless_known([source for source, _ in pairs])
        commit = await self._answered(self._store.move(pairs))
        self._counters.moved(len(pairs))
        await self._peers.wait_for_confirmations(commit.seq)

    async def info(self, path: str) -> ImageInfo:
        """The facts of the image at a clean path. Raises NotFound; NotStored or Overloaded where
        they have to be read from it and cannot.
        """
        await self._catch_up_unless_known([path])
        row: Row | None = (await self._on_thread(lambda: self._store.rows([path]))).get(path)
        if row is None or row.entry.content is None:
            raise NotFound("path", f"there is no image {quoted(path)}")
        return info_of(await self._missing_facts.complete(row))

    async def list(self, prefix: str, after: str, limit: int) -> Sequence[str]:
        """Stored paths in byte order that begin with `prefix` and are greater than `after`, `limit`
        at most.
        """
        paths: Sequence[str] = await self._on_thread(lambda: self._store.list(prefix, after, limit))
        return paths

    async def history(self, page: HistoryPage) -> Sequence[LostVersion]:
        """The images kept here that lost a conflict, as far as they are asked for."""
        lost: Sequence[LostVersion] = await self._on_thread(lambda: self._store.lost_page(page))
        return lost

    async def restore(self, path: str, beginning: str, to: str) -> TimedResult[Commit]:
        """Store an image at `to` that lost a conflict at `path`, its version beginning so; it is a
        new version then, like any other.

        Raises NotFound and BadRequest if there is none, or several; NotStored if its bytes are no
        longer what they were; and what `store` does.
        """
        found: Sequence[LostVersion] = await self._on_thread(
            lambda: self._store.lost_versions(path, beginning, 2)
        )
        if not found:
            raise NotFound(
                "version",
                f"this node has no version of {quoted(path, 200)} that begins with {beginning}",
            )
        if len(found) > 1:
            texts = " and ".join(version_text(lost.version) for lost in found)
            raise BadRequest(
                "version",
                f"several versions begin with {beginning}, such as {texts}: give more of it",
            )
        content = found[0].content
        return await self.store(lambda: self._lost_bytes(content), StoreRequest(to, ()))

    async def _catch_up_unless_known(self, paths: Sequence[str]) -> None:
        """A path that this node has never heard of may be on a peer. One that was deleted here is
        known.
        """
        if not await self._on_thread(lambda: all(self._store.look_up(path) for path in paths)):
            await self._peers.catch_up()

    def _lost_bytes(self, content: Content) -> bytes:
        """The bytes of an image that lost; they may have gone a moment ago, or rot: no other image
        names them.
        """
        try:
            file = self._store.open_object(content.digest)
            if file is None:
                raise NotStored("the bytes of this version are gone")
            try:
                image = file.read(0, content.size)
            finally:
                file.close()
        except OSError as error:
            raise refusal(error) from error
        if sha256(image).hexdigest() != content.digest:
            raise NotStored("the bytes of this version are corrupt on disk")
        return image

    def _render_and_put(self, image: bytes, request: StoreRequest, *, only_new: bool) -> Commit:
        format = formats.sniff(image[: formats.SNIFF_BYTES])
        if format is None:
            raise NotAnImage(
                "image",
                "is not an image of a known format"
                f" ({', '.join(str(known) for known in formats.FORMATS)})",
            )
        try:
            try:
                return self._render_staged(image, format, request, only_new=only_new)
            except (NotStored, OSError):
                if not self._store.free_space():  # it was not for want of room, or there is none
                    raise
                return self._render_staged(image, format, request, only_new=only_new)
        except OSError as error:  # no memory file, no process, no descriptor left
            self._engine_check.render_failed()
            raise refusal(error) from error
        except (NotStored, InternalError):
            self._engine_check.render_failed()
            raise

    def _render_staged(
        self, image: bytes, format: Format, request: StoreRequest, *, only_new: bool
    ) -> Commit:
        with self._store.staging() as folder:
            with self._queue.engine_turn(), self._engine.open(image, format) as source:
                if request.outputs:
                    plan = plan_render(request.outputs, source.facts, self._settings)
                    with measured("render"):
                        source.render(plan, folder)
                    staged = [
                        StagedImage(
                            output.path,
                            folder / str(at),
                            ImageFacts(output.format.name, output.size.width, output.size.height),
                        )
                        for at, output in enumerate(plan.outputs)
                    ]
                else:
                    check_source(source.facts, self._settings)
                    size = source.facts.size
                    staged = [
                        StagedImage(
                            request.path,
                            folder / "0",
                            ImageFacts(format.name, size.width, size.height),
                        )
                    ]
                    staged[0].file.write_bytes(image)
            return self._store.put(staged, only_new=only_new)

    def _answered(self, future: "Future[T]") -> "Deferred[T]":
        """A future of the store's writer thread, as a Deferred of the reactor's."""
        deferred: Deferred[T] = Deferred()

        def done(future: "Future[T]") -> None:
            error = future.exception()
            if error is None:
                self._reactor.callFromThread(deferred.callback, future.result())
            else:
                self._reactor.callFromThread(deferred.errback, Failure(error))

        future.add_done_callback(done)
        return deferred
