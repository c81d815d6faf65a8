"""What libzmq does not look after when it binds: it replaces whatever lies at an ipc path, be it a
file or the socket of a live daemon, and leaves its own socket behind.
"""

import contextlib
import errno
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from imagepipe.errors import StartError

_IPC = "ipc://"


@dataclass(frozen=True, slots=True)
class SocketFile:
    """The file of an ipc endpoint that we bound; which one it is, should another take its place."""

    path: str
    device: int
    inode: int

    def remove(self) -> None:
        """Remove it, if it is still ours."""
        with contextlib.suppress(OSError):
            status = os.lstat(self.path)
            if (status.st_dev, status.st_ino) == (self.device, self.inode):
                Path(self.path).unlink()


def check_is_free(endpoint: str) -> None:
    """Raise StartError unless it is free to bind, as far as libzmq would not find out: a stale
    socket is, a live one or a file is not.
    """
    path = ipc_path(endpoint)
    if path is None:
        return
    try:
        status = os.lstat(path)
    except OSError:  # nothing there, or libzmq will say what is wrong with it
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise StartError(f"cannot bind {endpoint}: the file at that path is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:  # its process is dead
            return
        except OSError as error:
            if error.errno != errno.EAGAIN:  # EAGAIN: so many wait there already
                raise StartError(
                    f"cannot bind {endpoint}: cannot tell whether the socket there is in use:"
                    f" {os.strerror(error.errno or 0)}"
                ) from None
    raise StartError(
        f"cannot bind {endpoint}: another process is listening there; stop it or choose another"
        " path"
    )


def socket_file(endpoint: str) -> SocketFile | None:
    """The file that binding has made, for ipc."""
    path = ipc_path(endpoint)
    if path is None:
        return None
    status = os.lstat(path)
    return SocketFile(path, status.st_dev, status.st_ino)


def ipc_path(endpoint: str) -> str | None:
    """The path of an ipc endpoint; abstract ones (ipc://@name) and other kinds have none."""
    path = endpoint.removeprefix(_IPC)
    return None if path == endpoint or path.startswith("@") else path
