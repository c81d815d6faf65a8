"""Checks whether the engine renders at all: after an image failed, it must render a known good one.

As a rule, an image that cannot be rendered is at fault itself. But if no process can be started, or
each one crashes, every store fails, and then the node must not count as ready.
"""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from imagepipe.core.rendering.formats import PNG
from imagepipe.core.rendering.geometry import Size
from imagepipe.core.rendering.output_request import OutputRequest
from imagepipe.core.rendering.plan import RenderSettings, plan_render
from imagepipe.engines.engine import Engine
from imagepipe.errors import EngineUnusable, ImagepipeError, InternalError, NotStored

PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c636064620600000e0007d76fe4780000000049454e44ae426082"
)
"""A PNG of one pixel."""

CHECK_INTERVAL_SECONDS = 5.0
"""The least time between two checks."""


class EngineCheck:
    """For any thread. engine: the current engine. staging: creates a folder for the output.
    seconds: a monotonic clock.
    """

    def __init__(
        self,
        engine: Callable[[], Engine],
        staging: Callable[[], AbstractContextManager[Path]],
        seconds: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._staging = staging
        self._seconds = seconds
        self._checking = threading.Lock()
        self._next = seconds()
        self.why_not: str | None = None
        """What is wrong with the engine; None: nothing, as far as is known."""

    def render_failed(self) -> None:
        """An image could not be rendered: check the engine, unless that was just done. Blocks."""
        if self._seconds() < self._next or not self._checking.acquire(blocking=False):
            return
        try:
            self.why_not = self._reason()
            self._next = self._seconds() + CHECK_INTERVAL_SECONDS
        finally:
            self._checking.release()

    def repeat(self) -> None:
        """Check again if the last check failed. Blocks."""
        if self.why_not:
            self.render_failed()

    def _reason(self) -> str | None:
        try:
            with self._staging() as folder, self._engine().open(PICTURE, PNG) as source:
                request = OutputRequest("check", Size(1, 1), PNG)
                source.render(plan_render((request,), source.facts, RenderSettings()), folder)
        except ImagepipeError as error:
            if type(error) not in (NotStored, EngineUnusable, InternalError):
                return None  # the store reports it itself, or it is temporary
            return f"no image can be rendered: {error}"
        except OSError as error:
            return f"no image can be rendered: {error.strerror}"
        return None
