"""The engine for every image: libvips for what it reads and writes, ImageMagick for all the rest.

The rest is the formats that libvips does not read; of TIFF the many kinds that it does not (floating point, Lab, 4 bits a channel); and GIFs whose frames it
would put together otherwise.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from imagepipe.core.formats import GIF, TIFF, Format
from imagepipe.engines import vips
from imagepipe.engines.engine import Engine, Source
from imagepipe.engines.memory_file import Image
from imagepipe.engines.vips_process import NotRead


class AutoEngine:
    """An Engine that passes each image on to the one of two that is for it; it closes both.

    `vips` is any Engine that reads vips.FORMATS, or raises NotRead; `imagemagick` any that reads every format of ours.
    """

    def __init__(self, vips: Engine, imagemagick: Engine) -> None:
        self._vips = vips
        self._imagemagick = imagemagick

    @contextmanager
    def open(self, image: Image, format: Format) -> Iterator[Source]:
        """See Engine."""
        # A stack, so that what the caller raises later is not taken for the opening's failure.
        with ExitStack() as stack:
            yield self._open(image, format, stack)

    def abort(self) -> None:
        """See Engine."""
        self._vips.abort()
        self._imagemagick.abort()

    def close(self) -> None:
        """See Engine."""
        self._vips.close()
        self._imagemagick.close()

    def _open(self, image: Image, format: Format, stack: ExitStack) -> Source:
        if format in vips.FORMATS:
            try:
                return stack.enter_context(self._vips.open(image, format))
            except NotRead:
                if format not in (TIFF, GIF):
                    raise
        return stack.enter_context(self._imagemagick.open(image, format))
