"""The log: an event of twisted.logger becomes a line of text or JSON, written to the log that
twistd's options name.

    twistd [-n] [--logfile FILE | --syslog] imagepipe --log-format text
        2026-01-02T03:04:05+0000 [imagepipe.daemon.service.Daemon#info] stopped: ...
    twistd [-n] [--logfile FILE | --syslog] imagepipe --log-format json
        {"time": "2026-01-02T03:04:05.678Z", "level": "info", ...}

Nothing that a client sends can begin a line: control characters are escaped, and every line of a
traceback but the first begins with a tab. Routine messages of libraries (a factory starts, a client
times out, a source sent an odd status) are left out; their warnings are logged.

The log file is never rotated by the daemon. SIGUSR1 reopens it, as logrotate expects; twistd's own
log would keep writing to a file that is gone.
"""

import contextlib
import json
import math
import os
import re
import signal
import sys
import syslog
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService
from twisted.logger import (
    ILogObserver,
    LogEvent,
    LogLevel,
    formatEvent,
    formatEventAsClassicLogText,
    formatTime,
)
from zope.interface import implementer

LINE_LENGTH_MAX = 16 << 10
"""Maximum characters of one event; of the rest only the number is logged."""

SEQUENCE_LENGTH_MAX = 100
"""Maximum items logged of a field that is a list."""

DEFAULT_FILE = "twistd.log"
"""The log file when twistd runs in the background without --logfile."""

_LOGGED = ("imagepipe", "twisted.application", "twisted.scripts", "stdout", "stderr")
"""Namespaces whose events are always logged; of all others, only warnings and worse."""

_LOGGED_FROM = tuple(f"{told}." for told in _LOGGED)

_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Characters that a program might take for a line end, a command or a change of writing direction,
except line feed and tab.
"""

_SPECIAL = ("log_failure", "log_flattened", "log_system")

_PRIORITIES = {
    "debug": syslog.LOG_DEBUG,
    "info": syslog.LOG_INFO,
    "warn": syslog.LOG_WARNING,
    "error": syslog.LOG_ERR,
    "critical": syslog.LOG_CRIT,
}

LineOf = Callable[[LogEvent], str]
Write = Callable[[str, LogEvent], None]


class LoggedService(MultiService):
    """Sets the log observer of twistd's application, which twistd uses unless --logger names
    another.
    """

    def __init__(self, observer: "LineObserver") -> None:
        super().__init__()
        self._observer = observer

    def setServiceParent(self, parent: Any) -> None:
        parent.setComponent(ILogObserver, self._observer)
        super().setServiceParent(parent)


def observer_for(twistd: Mapping[str, Any], format: str) -> "LineObserver":
    """The observer for twistd's options and `format`, a key of FORMATS. Opens the file; raises
    OSError, or SystemExit for options that twistd refuses.
    """
    line_of = FORMATS[format]
    if twistd.get("syslog"):
        syslog.openlog(twistd.get("prefix") or "imagepipe", syslog.LOG_PID)
        return LineObserver(_untimed(line_of), _to_syslog)
    file, in_foreground = twistd.get("logfile"), twistd.get("nodaemon")
    if file == "-" and not in_foreground:
        raise SystemExit("A daemon has no standard output to log to: name a file or use -n.")
    if file == "-" or (in_foreground and not file):
        return LineObserver(
            line_of, LogFile(sys.__stdout__.fileno() if sys.__stdout__ else 1).write
        )
    opened = LogFile.at(Path(file or DEFAULT_FILE).absolute())
    signal.signal(signal.SIGUSR1, lambda *_: opened.reopen())
    return LineObserver(line_of, opened.write)


@implementer(ILogObserver)
class LineObserver:
    """Writes each event that is logged as one line. May be called on any thread."""

    def __init__(self, line_of: LineOf, write: Write) -> None:
        self._line_of = line_of
        self._write = write

    def __call__(self, event: LogEvent) -> None:
        if is_logged(event):
            self._write(self._line_of(event), event)


def is_logged(event: LogEvent) -> bool:
    """Whether an event is logged."""
    level = event.get("log_level")
    if level is None or level >= LogLevel.warn:
        return True
    namespace = str(event.get("log_namespace", ""))
    return namespace in _LOGGED or namespace.startswith(_LOGGED_FROM)


def text_line(event: LogEvent) -> str:
    """An event in the format of twistd; the lines of a traceback follow it, each after a tab."""
    line = _simple_line(event) or formatEventAsClassicLogText(event) or ""
    # this check takes a tenth of the time of a substitution that replaces nothing
    if not (line.isascii() and line.isprintable()):
        line = _CONTROL.sub(_escaped, line)
    return _shortened(line).rstrip("\n")


def json_line(event: LogEvent) -> str:
    """An event as an object: time, level, namespace, message, traceback if there is one, and the
    event's own fields.
    """
    told: dict[str, object] = {
        "time": (
            datetime.fromtimestamp(event.get("log_time", 0.0), UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z")
        ),
        "level": event["log_level"].name if event.get("log_level") else "info",
        "namespace": str(event.get("log_namespace", "-")),
        "message": _shortened(formatEvent(event)),
    }
    failure = event.get("log_failure")
    if failure is not None:
        told["traceback"] = _shortened(failure.getTraceback())
    return json.dumps(
        told | {name: value for name, value in _fields(event) if name not in told}
    ).replace("\x7f", "\\u007f")


FORMATS: Mapping[str, LineOf] = {"text": text_line, "json": json_line}
"""The values of --log-format."""


class LogFile:
    """A descriptor to which lines are appended. `write` and `reopen` may be called on any thread at
    any time: each line goes whole into a single file.
    """

    def __init__(self, descriptor: int, path: Path | None = None) -> None:
        self._descriptor = descriptor
        self._path = path

    @classmethod
    def at(cls, path: Path) -> "LogFile":
        """Open a file, creating it if necessary. Raises OSError."""
        return cls(_opened(path), path)

    def write(self, line: str, _event: LogEvent | None = None) -> None:
        """Append a line."""
        rest = (line + "\n").encode(errors="backslashreplace")
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def reopen(self) -> None:
        """Continue in the file now at the path, creating it if necessary. If it cannot be opened,
        continue in the old one.
        """
        if self._path is None:
            return
        with contextlib.suppress(OSError):
            descriptor = _opened(self._path)
            # Atomic: a thread writing at the same time uses either the old or the new file.
            os.dup2(descriptor, self._descriptor, inheritable=False)
            os.close(descriptor)


def _opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


def _simple_line(event: LogEvent) -> str | None:
    """The result of formatEventAsClassicLogText for most events, without the 60 microseconds that
    it takes; None for events that need it.
    """
    form, level = event.get("log_format"), event.get("log_level")
    if (
        not isinstance(form, str)
        or not form
        or "(" in form
        or level is None
        or any(name in event for name in _SPECIAL)
    ):
        return None
    try:
        text = form.format_map(event).replace("\n", "\n\t")
    except Exception:  # a field is missing or cannot be formatted: the slow way reports it
        return None
    seconds = event.get("log_time")
    return (
        f"{'-' if seconds is None else _time(int(seconds))}"
        f" [{event.get('log_namespace', '-')}#{level.name}] {text}"
        if text
        else None
    )


@lru_cache(maxsize=4)
def _time(second: int) -> str:
    return formatTime(second)


def _fields(event: LogEvent) -> Iterator[tuple[str, object]]:
    """The fields that are plain values; all others appear only in the message."""
    if "isError" in event:
        return  # an event of twisted.python.log, whose fields are internal
    for name, value in event.items():
        if not name.startswith("log_"):
            plain = _plain(value)
            if plain is not None or value is None:
                yield name, plain


def _plain(value: object) -> object:
    """The value as JSON can hold it, or None."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str | Path | Exception):
        return _shortened(str(value))
    if isinstance(value, list | tuple | set | frozenset):
        return [
            plain
            for each in list(value)[:SEQUENCE_LENGTH_MAX]
            if (plain := _plain(each)) is not None
        ]
    return None


def _shortened(text: str) -> str:
    more = len(text) - LINE_LENGTH_MAX
    return f"{text[:LINE_LENGTH_MAX]}... ({more} more characters)" if more > 0 else text


def _escaped(match: "re.Match[str]") -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 1 << 8 else f"\\u{code:04x}"


def _untimed(line_of: LineOf) -> LineOf:
    """Without the time, which syslog adds itself."""
    return (
        (lambda event: text_line({**event, "log_time": None})[2:])
        if line_of is text_line
        else line_of
    )


def _to_syslog(line: str, event: LogEvent) -> None:
    level = event.get("log_level")
    priority = _PRIORITIES.get(level.name if level else "info", syslog.LOG_INFO)
    for each in line.split("\n"):
        syslog.syslog(priority, each)
