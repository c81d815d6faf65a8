"""A real imagepipe daemon on loopback, for tests: started by twistd, found ready by its own ready
line, stopped for sure.
"""

import base64
import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import xmlrpc.client
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

READY = re.compile(r"is ready: XML-RPC on (\S+)(?: and HTTP on (\S+))?")
RELOADED = re.compile(r"reloaded the configuration and .*: XML-RPC on (\S+)(?: and HTTP on (\S+))?")
PATIENCE_SECONDS = 60


class DaemonProcess:
    """`twistd -n imagepipe` over `folder`; `options` are {section: {option: value}} on top of a
    loopback default, `arguments` stand at the end, `descriptors` are what it inherits,
    `twistd` is another installation's.

    Invariant: the process group is dead after `stop`, `kill` or the end of `running`.
    """

    def __init__(
        self,
        folder: Path,
        options: Mapping[str, Mapping[str, object]] | None = None,
        wrapper: tuple[str, ...] = (),
        arguments: tuple[str, ...] = (),
        descriptors: tuple[int, ...] = (),
        twistd: Path | None = None,
    ) -> None:
        self.folder = folder
        self.images = folder / "images"
        self.config = folder / "imagepipe.ini"
        self.log: list[str] = []
        self.url = ""
        self.http_url = ""
        self._wrapper = wrapper
        self._arguments = arguments
        self._descriptors = descriptors
        self._twistd = twistd or Path(sys.executable).with_name("twistd")
        self._lines: queue.Queue[str | None] = queue.Queue()
        self.configure(options or {})

    def start(self) -> "DaemonProcess":
        """Start it and wait until it is ready; RuntimeError with its log if it ends instead."""
        self.launch()
        return self.wait_until_ready()

    def wait_until_ready(self) -> "DaemonProcess":
        """Wait for the ready line."""
        while True:
            line = self._lines.get(timeout=PATIENCE_SECONDS)
            if line is None:
                raise RuntimeError("the daemon ended:\n" + "".join(self.log))
            if match := READY.search(line):
                self.url = match[1]
                self.http_url = match[2] or ""
                return self

    def launch(self) -> None:
        """Start it and return at once."""
        self.process = subprocess.Popen(
            [
                *self._wrapper,
                str(self._twistd),
                "-n",
                "--pidfile=",
                "imagepipe",
                "-c",
                str(self.config),
                *self._arguments,
            ],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            pass_fds=self._descriptors,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for_line(self, pattern: str) -> str:
        """The next log line that has `pattern` in it."""
        while True:
            line = self._lines.get(timeout=PATIENCE_SECONDS)
            if line is None:
                raise RuntimeError(
                    f"the daemon ended without a line with {pattern!r}:\n" + "".join(self.log)
                )
            if re.search(pattern, line):
                return line

    def wait(self) -> int:
        """Its exit status, once it ends by itself."""
        status = self.process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        return status

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def reload(self, options: Mapping[str, Mapping[str, object]] | None = None) -> None:
        """SIGHUP, with other options if any are given; returns when they are in use. RuntimeError
        with the log if the old ones stay.
        """
        if options is not None:
            self.configure(options)
        self.process.send_signal(signal.SIGHUP)
        line = self.wait_for_line(RELOADED.pattern + "|keeping the old (one|configuration)")
        match = RELOADED.search(line)
        if match is None:
            raise RuntimeError("".join(self.log[self.log.index(line) :]))
        self.url = match[1]
        self.http_url = match[2] or ""

    def kill(self) -> None:
        """Kill -9: the daemon alone; its workers must notice by themselves."""
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)

    def clean_up(self) -> None:
        """Whatever is left of it, dies."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)

    @property
    def proxy(self) -> Any:
        """A new xmlrpc.client.ServerProxy; not for two threads at once."""
        return xmlrpc.client.ServerProxy(self.url, allow_none=True, use_builtin_types=True)

    @property
    def resident_bytes(self) -> int:
        """The daemon's resident memory, without that of its workers."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf(
            "SC_PAGE_SIZE"
        )

    def tree(self) -> dict[str, bytes]:
        """{path: bytes} of everything served; temporary names too, folders with a slash and no
        bytes.
        """
        found: dict[str, bytes] = {}
        for folder, folders, files in os.walk(self.images):
            if ".imagepipe" in folders:
                folders.remove(".imagepipe")
            for name in folders:
                found[str((Path(folder) / name).relative_to(self.images)) + "/"] = b""
            for name in files:
                found[str((Path(folder) / name).relative_to(self.images))] = (
                    Path(folder) / name
                ).read_bytes()
        return found

    def configure(self, options: Mapping[str, Mapping[str, object]]) -> None:
        """Write its file, on top of the default; one that runs reads it at the next `reload`."""
        listen: dict[str, object] = (
            {}
            if "endpoint" in options.get("network", {})
            else {"interface": "127.0.0.1", "port": 0}
        )
        defaults: dict[str, dict[str, object]] = {
            "network": listen,
            "images": {"path": self.images},
        }
        merged = {
            name: defaults.get(name, {}) | dict(options.get(name, {}))
            for name in defaults | dict(options)
        }
        lines = []
        for name, section in merged.items():
            lines.append(f"[{name}]")
            lines += [f"{option} = {value}" for option, value in section.items()]
        self.config.write_text("\n".join(lines) + "\n")

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.log.append(line)
            self._lines.put(line)
        self._lines.put(None)


@contextlib.contextmanager
def running(
    folder: Path,
    options: Mapping[str, Mapping[str, object]] | None = None,
    wrapper: tuple[str, ...] = (),
    arguments: tuple[str, ...] = (),
) -> Iterator[DaemonProcess]:
    """A ready daemon over `folder`, gone at the end."""
    daemon = DaemonProcess(folder, options, wrapper, arguments)
    try:
        yield daemon.start()
    finally:
        daemon.clean_up()


def text(image: bytes) -> str:
    """An image as the old clients send it: base64 with line breaks."""
    return base64.encodebytes(image).decode()


def fault_of(call: Any, *arguments: object) -> xmlrpc.client.Fault:
    """The fault that a call answers with; AssertionError if it succeeds."""
    try:
        result = call(*arguments)
    except xmlrpc.client.Fault as fault:
        return fault
    raise AssertionError(f"no fault but {result!r}")
