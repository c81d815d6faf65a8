"""A service manager for tests, which does with a daemon what systemd does: opens its sockets, hands
them over, and hears how it goes.
"""

import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.support.daemon_process import PATIENCE_SECONDS, DaemonProcess

BACKLOG = 1024

FIRST_DESCRIPTOR = 3
"""Of those that are handed over: sd_listen_fds(3)."""

HAND_OVER = f"""
import fcntl, os, sys
numbers = [int(number) for number in sys.argv[1].split(",") if number]
descriptors = [fcntl.fcntl(number, fcntl.F_DUPFD, 100) for number in numbers]
for number, descriptor in enumerate(descriptors, {FIRST_DESCRIPTOR}):
    os.dup2(descriptor, number)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execvp(sys.argv[2], sys.argv[2:])
"""


class ServiceManager:
    """Its sockets are open from the beginning to the end, whoever listens on them: `names`, on free
    ports of `address`. As a context it ends.
    """

    def __init__(
        self, folder: Path, *names: str, address: str = "127.0.0.1", abstract: bool = False
    ) -> None:
        self._sockets = {
            name: socket.create_server((address, 0), backlog=BACKLOG) for name in names
        }
        self._notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notified.settimeout(PATIENCE_SECONDS)
        self._address = f"@{folder}/notify" if abstract else str(folder / "notify")
        self._notified.bind(self._address.replace("@", "\0", 1) if abstract else self._address)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for opened in (*self._sockets.values(), self._notified):
            opened.close()

    def url(self, name: str) -> str:
        """Of this socket."""
        return f"http://127.0.0.1:{self._sockets[name].getsockname()[1]}/"

    def daemon(
        self, folder: Path, options: Mapping[str, Mapping[str, object]], **environment: object
    ) -> DaemonProcess:
        """One that is to be given the sockets, and this environment beside."""
        numbers = tuple(opened.fileno() for opened in self._sockets.values())
        variables = {
            "LISTEN_FDS": len(numbers),
            "LISTEN_FDNAMES": ":".join(self._sockets),
            "NOTIFY_SOCKET": self._address,
        } | environment
        hand_over = (sys.executable, "-c", HAND_OVER, ",".join(map(str, numbers)))
        assignments = tuple(f"{name}={value}" for name, value in variables.items())
        return DaemonProcess(
            folder, options, wrapper=("env", *assignments, *hand_over), descriptors=numbers
        )

    def hears(self) -> dict[str, str]:
        """What it is told next."""
        lines = self._notified.recv(1 << 16).decode().split("\n")
        return dict(line.split("=", 1) for line in lines)

    def hears_of(self, name: str) -> dict[str, str]:
        """What it is told next that has this in it; before that, it may be told that there
        is life.
        """
        while name not in (told := self.hears()):
            assert told.keys() <= {"WATCHDOG", "EXTEND_TIMEOUT_USEC"}, told
        return told
