"""imagepipe.ini: read, checked as a whole, and handed on as frozen settings.

settings    the values, one class a section
loading     the file -> Settings, or ConfigError with every problem in it
parsing     the text -> checked values, by ConfigObj and its validate
spec        every option, its check and its default
quantities, values, files    the checks
rules       what options must be to each other and to the machine
exposure    a warning if anybody may write
"""

from imagepipe.config.loading import load
from imagepipe.config.settings import (
    EngineChoice,
    GraphiteSettings,
    HttpSettings,
    ImageMagickSettings,
    ImagesSettings,
    NetworkSettings,
    Peer,
    ReplicationSettings,
    Settings,
)

__all__ = [
    "EngineChoice",
    "GraphiteSettings",
    "HttpSettings",
    "ImageMagickSettings",
    "ImagesSettings",
    "NetworkSettings",
    "Peer",
    "ReplicationSettings",
    "Settings",
    "load",
]
