"""What tests ask the image server of a real daemon, and how they see what it has done."""

import socket
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from tests.support.cluster import eventually
from tests.support.daemon_process import PATIENCE_SECONDS, DaemonProcess
from tests.support.http_client import Response, request

HTTP: dict[str, dict[str, object]] = {"http": {"interface": "127.0.0.1", "port": 0}}
"""The options that turn it on."""

BOUNDARY = "7d1c0f"


def get(daemon: DaemonProcess, path: str, **headers: str) -> Response:
    """GET a path, which begins with a slash."""
    return request(daemon.http_url, path, "GET", None, **headers)


def post(daemon: DaemonProcess, path: str, body: bytes, **headers: str) -> Response:
    """POST a body to a path, with its query."""
    return request(daemon.http_url, path, "POST", body, **headers)


def exchange(daemon: DaemonProcess, *pieces: bytes) -> bytes:
    """What the server says, until it closes the connection, to a client that sends these bytes."""
    with connected(daemon) as client:
        client.sendall(b"".join(pieces))
        return b"".join(received(client))


def connected(daemon: DaemonProcess) -> socket.socket:
    """A plain connection to it."""
    parts = urlsplit(daemon.http_url)
    return socket.create_connection(
        (parts.hostname or "", parts.port or 0), timeout=PATIENCE_SECONDS
    )


def received(client: socket.socket) -> Iterable[bytes]:
    """What comes on a connection until it is closed."""
    return iter(lambda: client.recv(1 << 16), b"")


def form(*parts: tuple[str, str | None, bytes]) -> bytes:
    """A body of multipart/form-data, with the boundary BOUNDARY: of each part its name, its file
    name and its content.
    """
    body = b""
    for name, file, content in parts:
        named = f'; filename="{file}"' if file is not None else ""
        body += (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode()
            + content
            + b"\r\n"
        )
    return body + f"--{BOUNDARY}--\r\n".encode()


def chunked(body: bytes, size: int = 100) -> bytes:
    """A body in chunks, as it is on the wire."""
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in [*chunks, b""])


def status(daemon: DaemonProcess) -> Any:
    """What /status.json says."""
    return get(daemon, "/status.json").json


def renders(daemon: DaemonProcess) -> int:
    """How many renditions it has rendered since it started."""
    return sum(one["count"] for one in status(daemon)["totals"]["image_requests"])


def wait_for_renditions(daemon: DaemonProcess, count: int) -> None:
    """Wait until its cache holds so many renditions."""
    eventually(
        lambda: status(daemon)["cache"]["files"] >= count, lambda: str(status(daemon)["cache"])
    )
    assert status(daemon)["cache"]["files"] == count


def check_log(daemon: DaemonProcess) -> None:
    """Nothing that is our fault has happened to it."""
    wrong = [
        line
        for line in daemon.log
        if "Traceback" in line or "a bug" in line or "Unhandled" in line or "#critical" in line
    ]
    assert not wrong, "".join(daemon.log)
