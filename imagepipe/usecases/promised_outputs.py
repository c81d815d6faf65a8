"""Renders the outputs that POSTs promised, one image after another, including those left over from
an earlier run of the daemon.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from imagepipe.core.rendering import renditions
from imagepipe.core.requests.lookup import Source, find, paths_of
from imagepipe.core.requests.targets import image_target
from imagepipe.errors import DiskFull, ImagepipeError, Overloaded, quoted
from imagepipe.monitoring.counters import Counters, note_failure
from imagepipe.storage.catalogue.orders import Order
from imagepipe.storage.store import Store
from imagepipe.usecases.render_on_demand import (
    RenditionRequest,
    Renditions,
    SourceVanished,
    all_requests_of,
)

OnThread = Callable[[Callable[[], Any]], Deferred[Any]]

ORDERS_MAX = 10_000
"""How many images may wait for their outputs."""

AGAIN_SECONDS = 1.0
"""How long to wait while the queue is full."""

FAILURES_MAX = 8
"""If one decode for all outputs of an image fails, each output is tried alone. After this many
failures the image itself is to blame.
"""

_log = Logger()


class PromisedOutputs:
    """Carries out orders. Runs on the reactor's thread. Orders that are unfinished when it stops
    are carried out after the next start.

    Orders wait while there is nothing to render them with. Several orders may promise the same
    output of an image, each for another version of it: the store forgets the promise with the last
    of them.
    """

    def __init__(
        self, reactor: IReactorTime, on_thread: OnThread, store: Store, counters: Counters
    ) -> None:
        self._reactor = reactor
        self._on_thread = on_thread
        self._store = store
        self._renditions: Renditions | None = None
        self._counters = counters
        self._waiting: deque[Order] = deque()
        self._working: Deferred[None] | None = None
        # path and name of each output of the unfinished orders
        self._promised: Counter[tuple[str, str]] = Counter()
        self._writing = DeferredLock()
        self._started = self._stopped = False

    @property
    def waiting(self) -> int:
        """How many images wait for their outputs."""
        return len(self._waiting) + (self._working is not None)

    def make_by(self, renditions: Renditions | None) -> None:
        """Render with `renditions` from now on, or render nothing if it is None. The first time,
        start with what an earlier run left over.
        """
        self._renditions = renditions
        if renditions and not self._started:
            self._started = True
            self._go_on(Deferred.fromCoroutine(self._resume()))
        else:
            self._work_if_need_be()

    def stop(self) -> None:
        """Start nothing more."""
        self._stopped = True
        self._waiting.clear()
        if self._working:
            self._working.cancel()

    def check_room(self) -> None:
        """Raise Overloaded if too many images are waiting."""
        if len(self._waiting) >= ORDERS_MAX:
            raise Overloaded(
                f"{len(self._waiting)} images are waiting for their outputs: try again later"
            )

    async def promise(self, order: Order) -> None:
        """Make an order durable, before `add` or `withdraw`. Raises what `Store.order` does."""
        if not order.names:
            return
        self._promised.update(_promises(order))
        await self._writing.acquire()
        try:
            await self._on_thread(lambda: self._store.order(order))
        except ImagepipeError:
            self._drop(order)
            raise
        finally:
            self._writing.release()

    def add(self, order: Order) -> None:
        """Carry out a promised order whose image has been stored."""
        if order.names and not self._stopped:
            self._waiting.append(order)
            self._work_if_need_be()

    async def withdraw(self, order: Order) -> None:
        """Forget a promised order whose image was refused."""
        if order.names:
            await self._forget(order)

    def _work_if_need_be(self) -> None:
        if self._waiting and self._working is None and self._may_work():
            self._go_on(Deferred.fromCoroutine(self._work()))

    def _go_on(self, working: "Deferred[None]") -> None:
        self._working = working
        working.addErrback(self._failed)

    def _failed(self, failure: Any) -> None:
        self._working = None
        if not failure.check(CancelledError) and not self._stopped:
            _log.failure(
                "a bug, please report it: promised outputs will not be rendered until the next"
                " start",
                failure,
            )

    async def _resume(self) -> None:
        left = await self._on_thread(self._store.orders)
        if left:
            _log.info("{count} images are still waiting for their outputs", count=len(left))
        for order in left:
            self._promised.update(_promises(order))
        self._waiting.extendleft(reversed(left))
        await self._work()

    def _may_work(self) -> bool:
        return self._renditions is not None and not self._stopped

    async def _work(self) -> None:
        while self._waiting and self._may_work():
            order = self._waiting.popleft()
            try:
                await self._carry_out(order)
            except DiskFull as error:
                note_failure(self._counters, "outputs", error)
                _log.warn(
                    "outputs of {path} will be rendered after the next start: {error}",
                    path=quoted(order.path, 200),
                    error=error,
                )
                self._drop(order)
                continue
            except CancelledError:  # it is stopping
                raise
            except Exception:  # a bug: it must not hold up the orders behind
                _log.failure(
                    "outputs of {path} will be rendered after the next start",
                    path=quoted(order.path, 200),
                )
                self._drop(order)
                continue
            if self._may_work():
                await self._forget(order)
            elif not self._stopped:
                self._waiting.appendleft(order)
        self._working = None

    async def _carry_out(self, order: Order) -> None:
        target = image_target(order.path)
        rows = await self._on_thread(lambda: self._store.rows(paths_of(target)))
        source = find(target, rows)
        if not isinstance(source, Source):
            return  # it was deleted in the meantime, or never stored
        requests: list[RenditionRequest] = []
        for name in order.names:
            rendition = renditions.parse(name)
            requests += all_requests_of(rendition) if rendition else ()
        groups, failures = deque([requests] if requests else []), 0
        while groups and failures < FAILURES_MAX and self._may_work():
            group = groups.popleft()
            error = await self._failure(source.content.digest, group)
            if error and len(group) > 1:
                groups.extend([request] for request in group)
            elif error:
                failures += 1
                note_failure(self._counters, "outputs", error)
                name, path = group[0].rendition.name, quoted(order.path, 200)
                _log.warn(
                    "cannot render the output {name} of {path}: {error}",
                    name=name,
                    path=path,
                    error=error,
                )

    async def _failure(
        self, digest: str, requests: Sequence[RenditionRequest]
    ) -> ImagepipeError | None:
        """Render with one decode; return why it failed, if it did. Raises DiskFull."""
        while self._renditions and not self._stopped:
            try:
                await self._renditions.make_all(digest, requests)
            except Overloaded:
                await deferLater(self._reactor, AGAIN_SECONDS)
            except DiskFull:
                raise
            except SourceVanished:  # it was replaced or deleted in the meantime
                break
            except ImagepipeError as error:
                return error
            else:
                break
        return None

    # The store's record. One write at a time: otherwise a new promise could be stored before an
    # earlier one for the same output is deleted, and be lost with it.

    async def _forget(self, order: Order) -> None:
        self._drop(order)
        await self._writing.acquire()
        try:
            names = tuple(name for path, name in _promises(order) if not self._promised[path, name])
            if names:
                await self._on_thread(lambda: self._store.fulfil(Order(order.path, names)))
        except ImagepipeError as error:
            note_failure(self._counters, "outputs", error)
            _log.warn(
                "outputs of {path} will be rendered again after the next start: {error}",
                path=quoted(order.path, 200),
                error=error,
            )
        finally:
            self._writing.release()

    def _drop(self, order: Order) -> None:
        self._promised.subtract(_promises(order))
        for promise in _promises(order):
            if self._promised[promise] <= 0:
                del self._promised[promise]


def _promises(order: Order) -> list[tuple[str, str]]:
    return [(order.path, name) for name in order.names]
