"""SeaweedFS on loopback: a master, a volume server and a filer in one process, as `weed server
-filer` starts them.

A file is given to the filer under a path, and it appends the bytes to a volume, which is one large
file; or it is given to the volume server under the number that the master has assigned. Neither
flushes before it answers, unless the filer is asked to by `?fsync=true`.
"""

import contextlib
import json
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rivals import PATIENCE_SECONDS, free_port, program, running


@dataclass(frozen=True, slots=True)
class SeaweedFS:
    """URLs, without a slash at the end."""

    master: str
    volume: str
    filer: str

    def assign(self) -> str:
        """The number of a file to be, which the volume server takes and gives as a path."""
        with urllib.request.urlopen(f"{self.master}/dir/assign") as answer:
            return str(json.load(answer)["fid"])


@contextlib.contextmanager
def seaweedfs(folder: Path) -> Iterator[SeaweedFS]:
    """All of it over `folder`, once it takes files."""
    names = (
        "master.port",
        "master.port.grpc",
        "volume.port",
        "volume.port.grpc",
        "filer.port",
        "filer.port.grpc",
    )
    ports = {name: free_port() for name in names}
    command = [
        program("thumbor/bin/weed"),
        "server",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-filer",
        "-volume.max=20",
    ]
    command += ["-master.telemetry=false", *(f"-{name}={port}" for name, port in ports.items())]
    with running(command, folder, ports["filer.port"]):
        server = SeaweedFS(*(f"http://127.0.0.1:{ports[name]}" for name in names[::2]))
        _wait_until_it_takes_files(server)
        yield server


def put(url: str, image: bytes, method: str = "PUT", type: str = "image/jpeg") -> None:
    """Upload to a filer or a volume server, or to whoever takes files by HTTP. Raises OSError."""
    request = urllib.request.Request(url, image, {"Content-Type": type}, method=method)
    with urllib.request.urlopen(request) as answer:
        answer.read()


def _wait_until_it_takes_files(server: SeaweedFS) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            put(f"{server.filer}/first", b"first")
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return
