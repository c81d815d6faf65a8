"""The engine named in the settings."""

from collections.abc import Callable
from dataclasses import dataclass

from imagepipe.config.settings import EngineChoice, Settings
from imagepipe.engines.auto import AutoEngine, ImageMagickFirst
from imagepipe.engines.engine import Engine
from imagepipe.engines.magick.magick_engine import ImageMagickEngine
from imagepipe.engines.vips.vips_engine import VipsEngine
from imagepipe.errors import StartError


@dataclass(frozen=True, slots=True)
class ChosenEngine:
    """A running engine, and the number of its processes."""

    engine: Engine
    workers: Callable[[], int]


def start_engine(settings: Settings) -> ChosenEngine:
    """Start the configured engine. Raises StartError.

    The libvips workers are started here, because they take a moment to become ready.
    """
    images = settings.images
    imagemagick = ImageMagickEngine(
        str(settings.imagemagick.convert),
        settings.imagemagick.env,
        images.timeout_seconds,
        images.pixels_max,
    )
    vips = VipsEngine(images.timeout_seconds, images.pixels_max)

    def workers() -> int:
        return len(vips.workers) + len(imagemagick.workers)

    if images.engine is EngineChoice.IMAGEMAGICK:
        return ChosenEngine(ImageMagickFirst(imagemagick, vips), workers)
    try:
        vips.start(images.io_threads)
    except OSError as error:
        vips.close()
        raise StartError(f"cannot start a vips worker: {error.strerror}") from None
    if images.engine is EngineChoice.VIPS:
        return ChosenEngine(vips, workers)
    return ChosenEngine(AutoEngine(vips, imagemagick), workers)


def needs_another_engine(before: Settings, after: Settings) -> bool:
    """Whether any setting that an engine depends on differs."""
    return _engine_settings(before) != _engine_settings(after)


def _engine_settings(settings: Settings) -> tuple[object, ...]:
    images = settings.images
    return (
        images.engine,
        images.timeout_seconds,
        images.pixels_max,
        images.io_threads,
        settings.imagemagick,
    )
