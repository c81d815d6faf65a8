"""The sentence for each error that the system or ZeroMQ reports about an endpoint."""

import errno
import os

import zmq

from imagepipe.errors import StartError

_REASONS = {
    errno.EADDRINUSE: "another process is listening there; stop it or choose another port",
    errno.EADDRNOTAVAIL: "this machine has no such address",
    errno.ENODEV: "this machine has no such address",
    errno.ENOENT: "the folder does not exist",
    errno.ENAMETOOLONG: "the path is too long for a socket (at most 107 bytes)",
    errno.EACCES: (
        "permission denied; choose a port above 1023, or a folder that imagepipe may write to"
    ),
    errno.EINVAL: "not a valid endpoint; write tcp://ADDRESS:PORT or ipc:///path",
    errno.EPROTONOSUPPORT: "not a valid endpoint; write tcp://ADDRESS:PORT or ipc:///path",
}


def endpoint_error(what: str, endpoint: str, error: zmq.ZMQError | OSError) -> StartError:
    """The error for an endpoint; `what` was attempted: "bind" or "connect to"."""
    number = error.errno or 0
    return StartError(f"cannot {what} {endpoint}: {_REASONS.get(number) or os.strerror(number)}")
