"""Storing an image, from checked arguments to a durable result.

    on an I/O thread:  decode base64 -> recognise -> read the header -> plan -> render -> objects
                       -> commit
    then               wait until enough peers have confirmed the commit

Nothing here knows XML-RPC, HTTP or which engine it is.
"""

import contextlib
from collections.abc import Callable

from imagepipe.core.queues.turns import JobKind
from imagepipe.core.rendering import formats
from imagepipe.core.rendering.formats import Format
from imagepipe.core.rendering.plan import RenderSettings, check_source, plan_render
from imagepipe.core.requests.call_arguments import StoreRequest
from imagepipe.engines.engine import Engine
from imagepipe.errors import InternalError, NotAnImage, NotStored
from imagepipe.monitoring.counters import Counters
from imagepipe.monitoring.engine_check import EngineCheck
from imagepipe.runtime.profiling import StageTimer, measured
from imagepipe.runtime.render_queue import RenderQueue, TimedResult
from imagepipe.storage.disk import refusal
from imagepipe.storage.store import Commit, ImageFacts, StagedImage, Store
from imagepipe.usecases.peers import Peers


class StoreOperation:
    """Renders and stores images. Called on the reactor's thread."""

    def __init__(
        self,
        queue: RenderQueue,
        store: Store,
        engine: Engine,
        settings: RenderSettings,
        peers: Peers,
        counters: Counters,
        engine_check: EngineCheck,
    ) -> None:
        self._queue = queue
        self._store = store
        self._engine = engine
        self._settings = settings
        self._peers = peers
        self._counters = counters
        self._engine_check = engine_check

    async def store(
        self,
        image: Callable[[], bytes],
        request: StoreRequest,
        *,
        kind: JobKind = JobKind.WRITE,
        only_new: bool = False,
        stages: StageTimer | None = None,
    ) -> TimedResult[Commit]:
        """Render and store what `request` asks for. Everything is durable and visible when this
        returns.

        `image` returns the source's bytes and is called on an I/O thread. kind: READ if a GET made
        this server store it. only_new: never replace what was stored or deleted before. stages: if
        given, records where the time goes. Raises Overloaded, BadRequest, NotStored, TooFewPeers.
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
                if (
                    not self._store.free_space()
                ):  # space was not the problem, or there is none to free
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
