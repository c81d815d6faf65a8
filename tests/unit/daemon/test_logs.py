"""Events of twisted.logger as lines: what is in them, what is not, and into which file they go."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import LogEvent, Logger, LogLevel, LogPublisher, formatEventAsClassicLogText
from twisted.python import log as legacy
from twisted.python.failure import Failure

from imagepipe.daemon.logs import (
    LINE_LENGTH_MAX,
    SEQUENCE_LENGTH_MAX,
    LogFile,
    is_logged,
    json_line,
    observer_for,
    text_line,
)

BREAKING = "a\r\x0b\x0c\x1b[2K\x85\u2028\u2029\u202e\x7f\x00\ud800b"
"""What one program or another takes for the end of a line, or worse."""


def event_of(say: Callable[[Logger], None], namespace: str = "imagepipe.some.Thing") -> LogEvent:
    """The event that `say` makes."""
    events: list[LogEvent] = []
    observer: Any = events.append
    say(Logger(namespace=namespace, observer=observer))
    return events[0]


def failed(log: Logger) -> None:
    """Log an exception whose text has several lines."""
    log.failure(
        "it failed: {path}",
        Failure(ValueError("first\n2026-01-02T03:04:05+0000 [imagepipe#info] forged")),
        path="a/b",
    )


class TextTests:
    """A line of text."""

    def test_it_is_what_twistd_writes(self) -> None:
        event = event_of(lambda log: log.error("{path} is {what}", path="a", what="late")) | {
            "log_time": 0.0
        }
        assert text_line(event) == text_line(event).strip()
        assert text_line(event).endswith(" [imagepipe.some.Thing#error] a is late")

    @pytest.mark.parametrize(
        "say",
        [
            lambda log: log.info("plain"),
            lambda log: log.error(
                "{path!r} {number:03d} {number.real} {none}", path="a{b}\nc", number=7, none=None
            ),
            lambda log: log.info("{called()}", called=lambda: "called"),
            lambda log: log.info("{missing}"),
            lambda log: log.info("{bad:03d}", bad="text"),
            lambda log: log.info("{empty}", empty=""),
            lambda log: log.info("of a system", log_system="some"),
            failed,
        ],
    )
    @pytest.mark.parametrize("time", [0.0, 1_700_000_000.9, None])
    def test_it_is_the_same_whichever_way_it_is_made(
        self, say: Callable[[Logger], None], time: float | None
    ) -> None:
        event = event_of(say) | {"log_time": time}
        assert text_line(event) == (formatEventAsClassicLogText(event) or "").rstrip("\n")

    def test_control_characters_are_escaped(self) -> None:
        line = text_line(event_of(lambda log: log.info("{path}", path=BREAKING)))
        assert line.endswith(r" a\x0d\x0b\x0c\x1b[2K\x85\u2028\u2029\u202e\x7f\x00\ud800b")
        assert len(line.splitlines()) == 1

    def test_every_line_but_the_first_begins_with_a_tab(self) -> None:
        for event in (
            event_of(failed),
            event_of(lambda log: log.info("{text}", text="a\n2026-01-02 forged\n\nb")),
        ):
            lines = text_line(event).split("\n")
            assert len(lines) > 1
            assert all(line.startswith("\t") for line in lines[1:])

    def test_a_traceback_is_below(self) -> None:
        assert "ValueError: first" in text_line(event_of(failed))

    def test_it_is_not_endless(self) -> None:
        line = text_line(event_of(lambda log: log.info("{text}", text="x" * 1_000_000)))
        assert len(line) < LINE_LENGTH_MAX + 100
        assert line.endswith("more characters)")


class JsonTests:
    """A line of JSON."""

    def test_it_has_the_message_and_the_fields(self) -> None:
        event = event_of(lambda log: log.info("{path}: {bytes} bytes", path="a", bytes=3)) | {
            "log_time": 1.5
        }
        assert json.loads(json_line(event)) == {
            "time": "1970-01-01T00:00:01.500Z",
            "level": "info",
            "namespace": "imagepipe.some.Thing",
            "message": "a: 3 bytes",
            "path": "a",
            "bytes": 3,
        }

    def test_nothing_begins_a_line(self) -> None:
        line = json_line(event_of(lambda log: log.info("{path}", path=BREAKING + "\n{}")))
        assert line.isascii()
        assert line.isprintable()
        assert json.loads(line)["path"] == BREAKING + "\n{}"

    def test_a_failure_is_a_traceback(self) -> None:
        told = json.loads(json_line(event_of(failed)))
        assert told.keys() == {"time", "level", "namespace", "message", "traceback", "path"}
        assert told["message"] == "it failed: a/b"
        assert "ValueError: first" in told["traceback"]

    def test_only_plain_values_are_fields(self) -> None:
        fields: dict[str, object] = {
            "path": Path("a/b"),
            "error": OSError(28, "No space left"),
            "paths": ("a", Path("b"), object(), None),
            "many": list(range(1000)),
            "image": b"\xff\xd8" * 100,
            "object": object(),
            "mapping": {"a": 1},
            "none": None,
            "yes": True,
            "late": float("inf"),
            "text": "x" * 1_000_000,
        }
        told = json.loads(json_line(event_of(lambda log: log.info("a", **fields))))
        plain = {
            name: told[name]
            for name in told.keys() - {"time", "level", "namespace", "message", "text", "many"}
        }
        assert plain == {
            "path": "a/b",
            "error": "[Errno 28] No space left",
            "paths": ["a", "b"],
            "none": None,
            "yes": True,
            "late": "inf",
        }
        assert told["many"] == list(range(SEQUENCE_LENGTH_MAX))
        assert len(told["text"]) < LINE_LENGTH_MAX + 100

    def test_a_field_does_not_replace_what_every_line_has(self) -> None:
        told = json.loads(
            json_line(
                event_of(lambda log: log.info("true", namespace="x", message="false", time="never"))
            )
        )
        assert (told["namespace"], told["message"]) == ("imagepipe.some.Thing", "true")
        assert told["time"] != "never"

    def test_a_format_that_does_not_fit_is_a_line_too(self) -> None:
        assert (
            "missing"
            in json.loads(json_line(event_of(lambda log: log.info("{missing}"))))["message"]
        )

    def test_what_is_logged_in_the_old_way_is_a_line_too(self) -> None:
        events: list[LogEvent] = []
        observer: Any = events.append
        publisher = legacy.LogPublisher(publishPublisher=LogPublisher(observer))
        publisher.msg("said", by="somebody")
        publisher.msg(isError=1, failure=Failure(ValueError("broken")), why="it broke")
        said, broken = (json.loads(json_line(event)) for event in events)
        assert (said["level"], said["message"]) == ("info", "said")
        assert broken["level"] == "critical"
        assert "ValueError: broken" in broken["message"]


class ToldTests:
    """What is worth a line."""

    @pytest.mark.parametrize(
        "namespace",
        [
            "imagepipe",
            "imagepipe.web.http.site",
            "twisted.scripts._twistd_unix.UnixAppLogger",
            "stdout",
        ],
    )
    def test_ours_is_logged(self, namespace: str) -> None:
        assert is_logged(event_of(lambda log: log.info("a"), namespace))

    @pytest.mark.parametrize(
        "namespace",
        [
            "twisted.web._newclient",
            "twisted.internet.protocol.Factory",
            "log_legacy",
            "imagepiper",
            "",
        ],
    )
    def test_of_libraries_only_warnings_are(self, namespace: str) -> None:
        assert not is_logged(event_of(lambda log: log.info("a"), namespace))
        assert is_logged(
            event_of(lambda log: log.error("a"), namespace) | {"log_level": LogLevel.warn}
        )


class FileTests:
    """Where lines go."""

    def test_lines_are_appended(self, tmp_path: Path) -> None:
        (tmp_path / "log").write_text("old\n")
        LogFile.at(tmp_path / "log").write("ä")
        assert (tmp_path / "log").read_text() == "old\nä\n"

    def test_reopened_it_goes_on_in_the_new_file(self, tmp_path: Path) -> None:
        file = LogFile.at(tmp_path / "log")
        file.write("first")
        (tmp_path / "log").rename(tmp_path / "log.1")
        file.write("second")
        file.reopen()
        file.write("third")
        assert (tmp_path / "log.1").read_text() == "first\nsecond\n"
        assert (tmp_path / "log").read_text() == "third\n"

    def test_where_it_cannot_be_opened_it_goes_on_in_the_old_one(self, tmp_path: Path) -> None:
        folder = tmp_path / "logs"
        folder.mkdir()
        file = LogFile.at(folder / "log")
        folder.rename(tmp_path / "gone")
        file.reopen()
        file.write("first")
        assert (tmp_path / "gone/log").read_text() == "first\n"

    def test_no_line_is_lost_while_it_is_reopened(self, tmp_path: Path) -> None:
        file = LogFile.at(tmp_path / "log.0")

        def write(name: str) -> None:
            for at in range(500):
                file.write(f"{name} {at}")

        writers = [threading.Thread(target=write, args=[name]) for name in "abcd"]
        for writer in writers:
            writer.start()
        for at in range(1, 50):
            (tmp_path / "log.0").rename(tmp_path / f"log.{at}")
            file.reopen()
        for writer in writers:
            writer.join()
        lines = [line for path in tmp_path.iterdir() for line in path.read_text().splitlines()]
        assert sorted(lines) == sorted(f"{name} {at}" for name in "abcd" for at in range(500))

    def test_others_may_not_read_it(self, tmp_path: Path) -> None:
        LogFile.at(tmp_path / "log")
        assert (tmp_path / "log").stat().st_mode & 0o007 == 0

    def test_anything_but_a_file_is_not_reopened(self) -> None:
        reader, writer = os.pipe()
        file = LogFile(writer)
        file.reopen()
        file.write("a")
        os.close(writer)
        with os.fdopen(reader) as lines:
            assert lines.read() == "a\n"


class ObserverTests:
    """Which options of twistd lead where; tests/system/test_logs.py has the rest, in real
    daemons.
    """

    def test_a_daemon_has_no_standard_output(self) -> None:
        with pytest.raises(SystemExit):
            observer_for({"logfile": "-", "nodaemon": False}, "text")
