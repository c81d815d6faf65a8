"""The installed command `imagepipe`, run as a process, for tests."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from tests.support.daemon_process import PATIENCE_SECONDS, DaemonProcess

_COLOUR = re.compile("\x1b\\[[0-9;]*m")
PROGRAM = str(Path(sys.executable).with_name("imagepipe"))


@dataclass(frozen=True)
class Ended:
    """What a command has done."""

    status: int
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        """Its lines, by their tabs."""
        return [line.split("\t") for line in self.out.splitlines()]


def port_of(daemon: DaemonProcess) -> str:
    """Of XML-RPC."""
    return str(urlsplit(daemon.url).port)


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Of a command: none of the options that whoever runs the tests may have set."""
    plain = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("IMAGEPIPE_", "XDG_", "LC_", "LANG"))
    }
    return {**plain, "LC_ALL": "C.UTF-8", "COLUMNS": "150", "TERM": "xterm", **(more or {})}


def run(
    *arguments: str | Path,
    input: bytes = b"",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Ended:
    """Run `imagepipe` with these arguments to its end, with no terminal."""
    done = subprocess.run(
        [PROGRAM, *map(str, arguments)],
        input=input,
        cwd=cwd,
        env=environment(env),
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    ended = Ended(
        done.returncode,
        done.stdout.decode(errors="surrogateescape"),
        done.stderr.decode(errors="surrogateescape"),
    )
    assert "Traceback" not in ended.err, ended.err
    return ended


def against(
    daemon: DaemonProcess,
    command: str,
    *arguments: str | Path,
    input: bytes = b"",
    env: Mapping[str, str] | None = None,
) -> Ended:
    """Run a command against a daemon, with its state in the daemon's folder."""
    return run(
        command,
        "--port",
        port_of(daemon),
        *arguments,
        input=input,
        env={"XDG_STATE_HOME": str(daemon.folder / "state"), **(env or {})},
    )


class Terminal:
    """A command on a terminal of its own; as a context it is gone at the end.

    Ctrl-C reaches it even where the tests themselves ignore it, as they do under `nohup make test
    &`.
    """

    def __init__(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> None:
        self.seen = ""
        ours, theirs = pty.openpty()
        self._ours = ours
        self.process = subprocess.Popen(
            ["env", "--default-signal=INT", PROGRAM, *map(str, arguments)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(env),
            start_new_session=True,
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)
        os.close(self._ours)

    def read_until(self, pattern: str) -> None:
        """Read until it has shown this, colours aside."""
        while not re.search(pattern, _COLOUR.sub("", self.seen)):
            assert self._read(), f"it ended without {pattern!r}:\n{self.seen}"

    def type(self, text: str) -> None:
        """What somebody types."""
        os.write(self._ours, text.encode())

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def end(self) -> tuple[int, str]:
        """Its exit status and all that it has shown, once it ends by itself."""
        while self._read():
            pass
        return self.process.wait(PATIENCE_SECONDS), self.seen

    def _read(self) -> bool:
        readable, _, _ = select.select([self._ours], [], [], PATIENCE_SECONDS)
        assert readable, f"nothing more is shown:\n{self.seen}"
        try:
            some = os.read(self._ours, 1 << 16)
        except OSError:  # the other end is closed
            return False
        self.seen += some.decode(errors="replace")
        return bool(some)
