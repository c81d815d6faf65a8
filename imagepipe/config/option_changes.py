"""What differs between two configurations, for the log of a reload, and which of it needs a
restart.

    [images] io_threads: 1 -> 2
    [http] secrets: changed                secret values are never shown
"""

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from imagepipe.config.settings import Peer, Settings

OPTIONS = {
    "request_bytes_max": "max_request",
    "width_max": "maximum_width",
    "quality_default": "default_quality",
    "cache_bytes_max": "cache_size",
    "acks_min": "min_acks",
    "ack_timeout_seconds": "ack_timeout",
    "timeout_seconds": "timeout",
    "pixels_max": "max_pixels",
    "bytes_max": "max_bytes",
    "size_max": "max_size",
}
"""Field -> option, where their names differ."""

RESTART_ONLY = (("images", "path"), ("images", "umask"))
"""Section and field of the options that an open store cannot change."""

_SECTIONS = ("network", "http", "replication", "images", "imagemagick", "graphite")


@dataclass(frozen=True, slots=True)
class OptionChange:
    """An option that differs. text: a line for the log. needs_restart: it takes effect only at the
    next start.
    """

    section: str
    option: str
    text: str
    needs_restart: bool


def changes(before: Settings, after: Settings) -> tuple[OptionChange, ...]:
    """The options that differ, in the order of the file."""
    return tuple(
        _change(
            section,
            field,
            getattr(getattr(before, section), field.name),
            getattr(getattr(after, section), field.name),
        )
        for section in _SECTIONS
        for field in fields(getattr(before, section))
        if getattr(getattr(before, section), field.name)
        != getattr(getattr(after, section), field.name)
    )


def applicable(running: Settings, wanted: Settings) -> Settings:
    """`wanted`, as far as it can take effect without a restart."""
    return replace(
        wanted, images=replace(wanted.images, path=running.images.path, umask=running.images.umask)
    )


def _change(section: str, field: "dataclasses.Field[Any]", before: Any, after: Any) -> OptionChange:
    option = OPTIONS.get(field.name, field.name)
    # Fields left out of the repr are secret; a child's environment may be.
    is_secret = not field.repr or isinstance(before, Mapping)
    show = oct if field.name == "umask" else _displayed
    text = f"[{section}] {option}: " + (
        "changed" if is_secret else f"{show(before)} -> {show(after)}"
    )
    return OptionChange(section, option, text, (section, field.name) in RESTART_ONLY)


def _displayed(value: object) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(_displayed(one) for one in value)
    if isinstance(value, Peer):
        return f"{value.name}@{value.endpoint}" if value.name else value.endpoint
    if isinstance(value, enum.Enum):
        return str(value.value)
    return str(value).partition("?")[0]  # the query of a URL may contain a key
