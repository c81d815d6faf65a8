"""imagepipe.ini: read, checked as a whole, and turned into frozen settings.

settings            the values, one class per section
loading             the file -> Settings, or ConfigError with every problem in it
parsing             the text -> checked values, by ConfigObj and its validate
spec                every option, its check and its default
quantities, values, path_values    the checks
rules               how options must fit each other and the machine
exposure            a warning if anyone can write
option_changes      what differs between two configurations
server_endpoints    what Twisted's endpoint strings open
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
