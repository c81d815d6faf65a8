"""Renders what POSTs have promised, one image after the other, also what an earlier run of the daemon still owed."""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from imagepipe.core import renditions
from imagepipe.core.targets import original_of
from imagepipe.counters import Counters, note_failure
from imagepipe.errors import DiskFull, ImagepipeError, NotAcceptable, Overloaded, shown
from imagepipe.renditions import Renditions, Wish, wishes_of
from imagepipe.storage.orders import Order
from imagepipe.storage.store import Store

OnThread = Callable[[Callable[[], Any]], Deferred[Any]]

ORDERS_MAX = 10_000
"""How many images may wait for their outputs."""

AGAIN_SECONDS = 1.0
"""How long to wait where others have filled the queue."""

_log = Logger()


class Outputs:
    """Carries out orders. On the reactor's thread; `reactor` is an IReactorTime. What is not done when it stops is done after the next start."""

    def __init__(self, reactor: Any, on_thread: OnThread, store: Store, made_by: Renditions, counters: Counters) -> None:
        self._reactor = reactor
        self._on_thread = on_thread
        self._store = store
        self._renditions = made_by
        self._counters = counters
        self._waiting: deque[Order] = deque()
        self._working: Deferred[None] | None = None
        self._stopped = False

    @property
    def waiting(self) -> int:
        """How many images wait for their outputs."""
        return len(self._waiting) + (self._working is not None)

    def start(self) -> None:
        """Begin with what an earlier run has left."""
        self._go_on(Deferred.fromCoroutine(self._resume()))

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopped = True
        self._waiting.clear()
        if self._working:
            self._working.cancel()

    def check_room(self) -> None:
        """Raise Overloaded if too many images wait."""
        if len(self._waiting) >= ORDERS_MAX:
            raise Overloaded(f"{len(self._waiting)} images wait for their outputs: try again")

    def add(self, order: Order) -> None:
        """Carry out an order that is durable, and whose image is stored."""
        if order.names and not self._stopped:
            self._waiting.append(order)
            if self._working is None:
                self._go_on(Deferred.fromCoroutine(self._work()))

    def _go_on(self, working: "Deferred[None]") -> None:
        self._working = working
        working.addErrback(self._failed)

    def _failed(self, failure: Any) -> None:
        self._working = None
        if not failure.check(CancelledError) and not self._stopped:
            _log.failure("a bug, please report it: promised outputs are rendered only after the next start", failure)

    async def _resume(self) -> None:
        left = await self._on_thread(self._store.orders)
        if left:
            _log.info("{count} images still wait for outputs that were promised", count=len(left))
        self._waiting.extendleft(reversed(left))
        await self._work()

    async def _work(self) -> None:
        while self._waiting and not self._stopped:
            order = self._waiting.popleft()
            try:
                await self._carry_out(order)
            except DiskFull as error:
                note_failure(self._counters, "outputs", error)
                _log.warn("outputs of {path} are rendered after the next start: {error}", path=shown(order.path, 200), error=error)
                continue
            except ImagepipeError as error:
                note_failure(self._counters, "outputs", error)
                _log.warn("outputs of {path} cannot be rendered: {error}", path=shown(order.path, 200), error=error)
            if not self._stopped:
                await self._on_thread(partial(self._store.fulfil, order))
        self._working = None

    async def _carry_out(self, order: Order) -> None:
        rows = await self._on_thread(lambda: self._store.rows([order.path, original_of(order.path)]))
        content = next((row.entry.content for path in (order.path, original_of(order.path)) if (row := rows.get(path)) and row.entry.content), None)
        if content is None:
            return  # it was deleted meanwhile, or never came
        wishes: list[Wish] = []
        for name in order.names:
            rendition = renditions.parse(name)
            wishes += wishes_of(rendition) if rendition else ()
        while not self._stopped:
            try:
                await self._renditions.make_all(content.digest, wishes)
            except Overloaded:
                await deferLater(self._reactor, AGAIN_SECONDS)
            except NotAcceptable:
                wishes = [wish for wish in wishes if not wish.rendition.is_auto]
                if not wishes:
                    return
            else:
                return
