"""An engine that writes no AVIF worth having, and another that encodes those of its outputs.

ImageMagick 6 lays AVIF on white. It makes a TIFF of such an output, in its place, from which the
other engine makes the AVIF.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from tempfile import TemporaryDirectory

from imagepipe.core.rendering.formats import AVIF, TIFF, Format
from imagepipe.core.rendering.plan import RenderPlan, SourceFacts
from imagepipe.core.rendering.two_step import encoding, unencoded
from imagepipe.engines.engine import Engine, Source
from imagepipe.engines.memory_file import Image


class AvifOutput:
    """An Engine that does what `engine` does, but for AVIF. Closing the two is their owner's
    business.
    """

    def __init__(self, engine: Engine, encoder: Engine) -> None:
        self._engine = engine
        self._encoder = encoder

    @contextmanager
    def open(self, image: Image, format: Format) -> Iterator["AvifOutputSource"]:
        """See Engine."""
        with self._engine.open(image, format) as source:
            yield AvifOutputSource(source.facts, source, self._encoder)

    def abort(self) -> None:
        """See Engine."""

    def close(self) -> None:
        """See Engine."""


class AvifOutputSource:
    """A Source; see `engine`."""

    def __init__(self, facts: SourceFacts, source: Source, encoder: Engine) -> None:
        self.facts = facts
        self._source = source
        self._encoder = encoder

    def render(self, plan: RenderPlan, folder: Path) -> None:
        """See Source."""
        self._source.render(unencoded(plan), folder)
        for n, output in enumerate(plan.outputs):
            if output.format == AVIF:
                self._encode(encoding(plan, output), folder / str(n))

    def _encode(self, plan: RenderPlan, file: Path) -> None:
        """Make an AVIF of the TIFF in `file`, in its place."""
        with TemporaryDirectory(dir=file.parent, prefix="encoded-") as folder:
            with FileIO(file) as tiff, self._encoder.open(tiff, TIFF) as picture:
                picture.render(plan, Path(folder))
            (Path(folder) / "0").replace(file)
