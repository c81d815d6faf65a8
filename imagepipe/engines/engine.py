"""The interface of every render engine.

    with engine.open(image, format) as source:        the header is read, nothing decoded
        plan = plan_render(..., source.facts, ...)    limits are checked on the facts
        source.render(plan, folder)                   one decode; output n is at folder/n

Engines block; they are called on several I/O threads at once.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from imagepipe.core.rendering.formats import Format
from imagepipe.core.rendering.plan import RenderPlan, SourceFacts
from imagepipe.engines.memory_file import Image


class Source(Protocol):
    """An image whose header was read."""

    @property
    def facts(self) -> SourceFacts:
        """What the header says."""
        ...

    def render(self, plan: RenderPlan, folder: Path) -> None:
        """Write output n of `plan` to `folder/n`, n counting from 0; not flushed.

        Raises NotStored if the image cannot be decoded or an output cannot be written; what is in
        `folder` then is of no use.
        """
        ...


class Engine(Protocol):
    """Reads image headers and renders plans."""

    def open(self, image: Image, format: Format) -> AbstractContextManager[Source]:
        """The image as a source; `format` is what its bytes were recognised as.

        Raises NotStored if the header cannot be read.
        """
        ...

    def abort(self) -> None:
        """Make what is under way fail soon, and all that is opened from now on; for any thread."""
        ...

    def close(self) -> None:
        """End what the engine keeps running. Calls that are under way, or come later, are still
        answered, and leave nothing running behind them.
        """
        ...
