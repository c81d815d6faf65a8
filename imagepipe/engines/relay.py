"""Chains two engines: the first decodes what the second reads badly or not at all.

A TIFF in the folder of the outputs passes the image on; it is removed once they are rendered.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from tempfile import TemporaryDirectory

from imagepipe.core.rendering.formats import TIFF, Format
from imagepipe.core.rendering.plan import RenderPlan, SourceFacts
from imagepipe.core.rendering.two_step import decoding, rendering
from imagepipe.engines.engine import Engine, Source
from imagepipe.engines.memory_file import Image


class Relay:
    """An Engine for formats that are not animated. Closing the two is their owner's business."""

    def __init__(self, decoder: Engine, renderer: Engine) -> None:
        self._decoder = decoder
        self._renderer = renderer

    @contextmanager
    def open(self, image: Image, format: Format) -> Iterator["RelayedSource"]:
        """See Engine."""
        with self._decoder.open(image, format) as source:
            yield RelayedSource(source.facts, source, self._renderer)

    def abort(self) -> None:
        """See Engine."""

    def close(self) -> None:
        """See Engine."""


class RelayedSource:
    """A Source; see `engine`."""

    def __init__(self, facts: SourceFacts, source: Source, renderer: Engine) -> None:
        self.facts = facts
        self._source = source
        self._renderer = renderer

    def render(self, plan: RenderPlan, folder: Path) -> None:
        """See Source."""
        with TemporaryDirectory(dir=folder, prefix="decoded-") as between:
            self._source.render(decoding(plan), Path(between))
            with (
                FileIO(Path(between) / "0") as picture,
                self._renderer.open(picture, TIFF) as decoded,
            ):
                decoded.render(rendering(plan), folder)
