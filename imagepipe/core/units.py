"""Numbers as people read them: bytes and durations with their units. status.js writes them in the
same way.
"""

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def format_bytes(count: int) -> str:
    """A number of bytes with three digits or so: `25.0 GiB`."""
    power = min(max(count.bit_length() - 1, 0) // 10, len(_UNITS) - 1)
    return f"{count / 1024**power:.1f} {_UNITS[power]}" if power else f"{count} B"


def format_seconds(seconds: float) -> str:
    """A duration in its two largest units: `1 d 2 h`, `5 min 0 s`, `42 s`, `3.5 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{int(seconds)} s"
    minutes, hours = int(seconds) // 60, int(seconds) // 3600
    if minutes < 60:
        return f"{minutes} min {int(seconds) % 60} s"
    if hours < 24:
        return f"{hours} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"


def plural(count: int, noun: str) -> str:
    """A number and its noun, which takes an s: `1 change`, `12 changes`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
