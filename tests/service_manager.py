"""What systemd is to a daemon, for tests: it holds the sockets that the daemon listens on, and hears how it stands."""

import contextlib
import socket
import sys
import tempfile
from pathlib import Path
from typing import Self

from daemon_process import PATIENCE_SECONDS

_START = """
import fcntl, os, sys
names, descriptors = sys.argv[1].split(":"), [int(text) for text in sys.argv[2].split(":")]
for at, descriptor in enumerate([fcntl.fcntl(one, fcntl.F_DUPFD, 100) for one in descriptors]):
    os.dup2(descriptor, 3 + at)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(names)), LISTEN_FDNAMES=":".join(names), WATCHDOG_PID=str(os.getpid()))
os.execvp(sys.argv[3], sys.argv[3:])
"""
"""Its process id is the daemon's, and the sockets are numbered from 3 on: see sd_listen_fds(3)."""


class ServiceManager:
    """Holds a listening socket for each of `names`, and one to be notified on. As a context they are open."""

    def __init__(self, *names: str, watchdog_seconds: float = 1.0) -> None:
        self.sockets = {name: socket.create_server(("127.0.0.1", 0), backlog=256) for name in names}
        self._folder = tempfile.TemporaryDirectory(prefix="imagepipe-")
        self._notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notified.settimeout(PATIENCE_SECONDS)
        self._notified.bind(str(Path(self._folder.name) / "notify"))
        self.environment = {"NOTIFY_SOCKET": str(Path(self._folder.name) / "notify"), "WATCHDOG_USEC": str(int(watchdog_seconds * 1e6))}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(self._folder.cleanup)
            for one in (self._notified, *self.sockets.values()):
                stack.callback(one.close)

    @property
    def wrapper(self) -> tuple[str, ...]:
        """What to start a DaemonProcess by, beside `descriptors`."""
        environment = [f"{name}={value}" for name, value in self.environment.items()]
        return (
            *("env", *environment, sys.executable, "-c", _START),
            *(":".join(self.sockets), ":".join(str(one.fileno()) for one in self.sockets.values())),
        )

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The sockets' own."""
        return tuple(one.fileno() for one in self.sockets.values())

    def url(self, name: str) -> str:
        """Where a socket listens."""
        return f"http://127.0.0.1:{self.sockets[name].getsockname()[1]}/"

    def hear(self, wanted: str) -> dict[str, str]:
        """Wait for a message that has this line; its lines."""
        while True:
            lines = self._notified.recv(1 << 16).decode().splitlines()
            if wanted in lines:
                return dict(line.split("=", 1) for line in lines)
