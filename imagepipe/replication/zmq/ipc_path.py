"""The files of ipc sockets. When libzmq binds to a path, it replaces whatever is there, even a file
or the socket of a live daemon, and when it closes, it leaves its own socket file behind.
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
    """The socket file that binding created, identified so that a replacement is not mistaken for
    it.
    """

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
    """Raise StartError if binding would replace something in use: a live socket or a file. A stale
    socket may be replaced. What libzmq checks itself is not checked here.
    """
    path = ipc_path(endpoint)
    if path is None:
        return
    try:
        status = os.lstat(path)
    except OSError:  # nothing is there, or libzmq will report what is wrong
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
            if error.errno != errno.EAGAIN:  # EAGAIN: its queue of connections is full
                raise StartError(
                    f"cannot bind {endpoint}: cannot tell whether the socket there is in use:"
                    f" {os.strerror(error.errno or 0)}"
                ) from None
    raise StartError(
        f"cannot bind {endpoint}: another process is listening there; stop it or choose another"
        " path"
    )


def socket_file(endpoint: str) -> SocketFile | None:
    """The file that binding to an ipc endpoint has created; None for other endpoints."""
    path = ipc_path(endpoint)
    if path is None:
        return None
    status = os.lstat(path)
    return SocketFile(path, status.st_dev, status.st_ino)


def ipc_path(endpoint: str) -> str | None:
    """The path of an ipc endpoint; None for abstract ones (ipc://@name) and other kinds."""
    path = endpoint.removeprefix(_IPC)
    return None if path == endpoint or path.startswith("@") else path
