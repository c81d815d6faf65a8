"""What the command line does on the node itself while its daemon is not running. It uses the
daemon's settings and engine, but no reactor.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from imagepipe.config import Settings, load
from imagepipe.config.exposure import configured_address, exposure
from imagepipe.core.rendering.formats import Format
from imagepipe.core.rows.entries import ImageFacts
from imagepipe.daemon.generation.engine_choice import start_engine
from imagepipe.daemon.generation.secret_files import read_secrets
from imagepipe.storage.adopt import Adopted, adopt


def check(file: Path) -> Settings:
    """The settings, with all warnings, that the daemon would load from its configuration and the
    files named there. Raises ConfigError or StartError where the daemon would.
    """
    settings = load(file)
    read_secrets(settings)
    return replace(
        settings,
        warnings=settings.warnings
        + exposure(settings.network, configured_address(settings.network)),
    )


def adopt_tree(
    settings: Settings,
    on_progress: Callable[[Adopted], None],
    on_skipped: Callable[[str, str], None],
    *,
    dry_run: bool,
) -> Adopted:
    """Add the images below `[images] path` to the catalogue. See storage/adopt.py for the arguments
    and errors.
    """
    engine = start_engine(settings).engine

    def facts_of(image: bytes, format: Format) -> ImageFacts:
        with engine.open(image, format) as source:
            size = source.facts.size
            return ImageFacts(format.name, size.width, size.height)

    images = settings.images
    try:
        return adopt(
            images.path,
            umask=images.umask,
            facts_of=facts_of,
            now_ms=lambda: time.time_ns() // 1_000_000,
            on_progress=on_progress,
            on_skipped=on_skipped,
            dry_run=dry_run,
        )
    finally:
        engine.close()
