"""The engine for every image: libvips for what it reads and writes, ImageMagick for all the rest."""

from contextlib import AbstractContextManager

from imagepipe.core.formats import Format
from imagepipe.engines import vips
from imagepipe.engines.engine import Engine, Source


class AutoEngine:
    """An Engine that passes each image on to the one of two that is for its format; it closes both.

    `vips` is any Engine that reads vips.FORMATS, `imagemagick` any that reads every other format of ours.
    """

    def __init__(self, vips: Engine, imagemagick: Engine) -> None:
        self._vips = vips
        self._imagemagick = imagemagick

    def open(self, image: bytes, format: Format) -> AbstractContextManager[Source]:
        """See Engine."""
        return (self._vips if format in vips.FORMATS else self._imagemagick).open(image, format)

    def close(self) -> None:
        """See Engine."""
        self._vips.close()
        self._imagemagick.close()
