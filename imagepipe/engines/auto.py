"""Chooses the engine for each image: libvips if it can read and write it, otherwise ImageMagick.

ImageMagick takes the formats that libvips does not read, many kinds of TIFF (floating point, Lab,
4 bits a channel), and GIFs whose headers libvips cannot read.

A still image is only decoded by the engine that reads it best; the configured engine renders it.
So `auto` writes everything as libvips does, including AVIF with alpha.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from imagepipe.core.rendering.formats import AVIF, FORMATS, GIF, HEIC, TIFF, Format
from imagepipe.engines.avif_output import AvifOutput
from imagepipe.engines.engine import Engine, Source
from imagepipe.engines.memory_file import Image
from imagepipe.engines.relay import Relay
from imagepipe.engines.vips import vips_engine
from imagepipe.engines.vips.vips_process import UnreadableByVips


class RoutedEngine:
    """An Engine that passes each image on to the first engine of its format's that reads it.

    `owned`: the engines that work; it closes them.
    """

    def __init__(self, routes: Mapping[Format, Sequence[Engine]], owned: Sequence[Engine]) -> None:
        self._routes = routes
        self._owned = owned

    @contextmanager
    def open(self, image: Image, format: Format) -> Iterator[Source]:
        """See Engine."""
        # A stack, so that what the caller raises later is not taken for the opening's failure.
        with ExitStack() as stack:
            yield self._open(image, format, stack)

    def abort(self) -> None:
        """See Engine."""
        for engine in self._owned:
            engine.abort()

    def close(self) -> None:
        """See Engine."""
        for engine in self._owned:
            engine.close()

    def _open(self, image: Image, format: Format, stack: ExitStack) -> Source:
        *others, last = self._routes[format]
        for engine in others:
            try:
                return stack.enter_context(engine.open(image, format))
            except UnreadableByVips:
                pass
        return stack.enter_context(last.open(image, format))


class AutoEngine(RoutedEngine):
    """The engine for every image; `vips` raises UnreadableByVips for what it does not read."""

    def __init__(self, vips: Engine, imagemagick: Engine) -> None:
        decoded = Relay(imagemagick, vips)
        routes: dict[Format, Sequence[Engine]] = {format: [decoded] for format in FORMATS}
        routes |= {format: [vips] for format in vips_engine.FORMATS}
        routes |= {TIFF: [vips, decoded], GIF: [vips, AvifOutput(imagemagick, vips)]}
        super().__init__(routes, [vips, imagemagick])


class ImageMagickFirst(RoutedEngine):
    """ImageMagick for every image.

    It does not read what phones write as HEIC, of HEIC and AVIF it reads neither alpha nor colours,
    and of AVIF it writes no alpha: `vips` decodes the ones and encodes the other.
    """

    def __init__(self, imagemagick: Engine, vips: Engine) -> None:
        rendered = AvifOutput(imagemagick, vips)
        routes: dict[Format, Sequence[Engine]] = {format: [rendered] for format in FORMATS}
        routes |= {format: [Relay(vips, rendered)] for format in (HEIC, AVIF)}
        super().__init__(routes, [imagemagick, vips])
