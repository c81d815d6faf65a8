"""The log: an event of twisted.logger becomes a line of text or of JSON, and the line goes where
twistd is told to put its log.

    twistd [-n] [--logfile FILE | --syslog] imagepipe --log-format text
        2026-01-02T03:04:05+0000 [imagepipe.daemon.service.Daemon#info] stopped: ...
                                                      --log-format json      {"time":
                                                          "2026-01-02T03:04:05.678Z", "level":
                                                          "info", ...}

Nothing that a stranger sends can begin a line: control characters are escaped, and of a traceback
every line but the first begins with a tab. What libraries say of their daily work (a factory
starts, a client times out, a source sent an odd status) is left out; what they warn of is not.

A file is never rotated by itself. SIGUSR1 opens it anew, as logrotate wants it; twistd's own would
then write into a file that is gone.
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
"""Characters of one event; the rest is counted."""

SEQUENCE_LENGTH_MAX = 100
"""Of a field that is a list."""

DEFAULT_FILE = "twistd.log"
"""Where twistd logs to that becomes a daemon and is not told where."""

_LOGGED = ("imagepipe", "twisted.application", "twisted.scripts", "stdout", "stderr")
"""Whose events are a line whatever their level; all others' from a warning on."""

_LOGGED_FROM = tuple(f"{told}." for told in _LOGGED)

_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Whatever some program might take for the end of a line, for a command, or for another direction
of writing; but for line feed and tab.
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
    """Gives the application that twistd makes its log: twistd takes an observer from there, where
    it is not told another by --logger.
    """

    def __init__(self, observer: "LineObserver") -> None:
        super().__init__()
        self._observer = observer

    def setServiceParent(self, parent: Any) -> None:
        parent.setComponent(ILogObserver, self._observer)
        super().setServiceParent(parent)


def observer_for(twistd: Mapping[str, Any], format: str) -> "LineObserver":
    """The observer for the options of twistd, and `format`, a key of FORMATS. Opens the file;
    raises OSError, and SystemExit for what twistd refuses.
    """
    line_of = FORMATS[format]
    if twistd.get("syslog"):
        syslog.openlog(twistd.get("prefix") or "imagepipe", syslog.LOG_PID)
        return LineObserver(_untimed(line_of), _to_syslog)
    file, in_foreground = twistd.get("logfile"), twistd.get("nodaemon")
    if file == "-" and not in_foreground:
        raise SystemExit("A daemon has no standard output to log to: name a file, or use -n.")
    if file == "-" or (in_foreground and not file):
        return LineObserver(
            line_of, LogFile(sys.__stdout__.fileno() if sys.__stdout__ else 1).write
        )
    opened = LogFile.at(Path(file or DEFAULT_FILE).absolute())
    signal.signal(signal.SIGUSR1, lambda *_: opened.reopen())
    return LineObserver(line_of, opened.write)


@implementer(ILogObserver)
class LineObserver:
    """Writes an event as one line, if it is worth one. On any thread."""

    def __init__(self, line_of: LineOf, write: Write) -> None:
        self._line_of = line_of
        self._write = write

    def __call__(self, event: LogEvent) -> None:
        if is_logged(event):
            self._write(self._line_of(event), event)


def is_logged(event: LogEvent) -> bool:
    """Whether the log has a line for an event."""
    level = event.get("log_level")
    if level is None or level >= LogLevel.warn:
        return True
    namespace = str(event.get("log_namespace", ""))
    return namespace in _LOGGED or namespace.startswith(_LOGGED_FROM)


def text_line(event: LogEvent) -> str:
    """An event as twistd writes it; the lines of a traceback below it, with a tab."""
    line = _simple_line(event) or formatEventAsClassicLogText(event) or ""
    # to look takes a tenth of the time that replacing nothing does
    if not (line.isascii() and line.isprintable()):
        line = _CONTROL.sub(_escaped, line)
    return _shortened(line).rstrip("\n")


def json_line(event: LogEvent) -> str:
    """An event as an object: time, level, namespace, message, perhaps traceback, and the event's
    own fields.
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
    """A descriptor that lines are appended to. `write` and `reopen` may be called on any thread, at
    any time: a line goes into one file, whole.
    """

    def __init__(self, descriptor: int, path: Path | None = None) -> None:
        self._descriptor = descriptor
        self._path = path

    @classmethod
    def at(cls, path: Path) -> "LogFile":
        """Open a file, or make it. Raises OSError."""
        return cls(_opened(path), path)

    def write(self, line: str, _event: LogEvent | None = None) -> None:
        """Append a line."""
        rest = (line + "\n").encode(errors="backslashreplace")
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def reopen(self) -> None:
        """Go on in the file that has the path now; a new one, if there is none. Where that cannot
        be opened, in the old one.
        """
        if self._path is None:
            return
        with contextlib.suppress(OSError):
            descriptor = _opened(self._path)
            # In one step: whoever writes meanwhile has the one or the other.
            os.dup2(descriptor, self._descriptor, inheritable=False)
            os.close(descriptor)


def _opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


def _simple_line(event: LogEvent) -> str | None:
    """What formatEventAsClassicLogText makes of most events, which takes it 60 microseconds; None
    for those that it has to look at.
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
    except Exception:  # a field is missing, or cannot be shown: it says so
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
    """The fields that are plain values; what else there is has its place in the message."""
    if "isError" in event:
        return  # an event of twisted.python.log, whose fields are its own
    for name, value in event.items():
        if not name.startswith("log_"):
            plain = _plain(value)
            if plain is not None or value is None:
                yield name, plain


def _plain(value: object) -> object:
    """A value that JSON has, or None."""
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
    """Syslog has a time of its own."""
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
