"""A server that answers with what it was asked, and a client that has had its first answer."""

import os
import select
import socket
from collections.abc import Sequence
from typing import Any

from imagepipe.replication.zmq.sockets import DealerSocket, RouterSocket, Sockets
from tests.support.reactor_thread import PATIENCE_SECONDS, Inbox, on_reactor, until

LOOPBACK = "tcp://127.0.0.1:0"


class Echo:
    """A server that answers what it is asked, and a client that has had its first answer."""

    def __init__(self, sockets: Sockets, endpoint: str = LOOPBACK) -> None:
        self.requests, self.answers = Inbox(), Inbox()
        self.server: RouterSocket = on_reactor(sockets.router, endpoint, self._asked)
        self.client: DealerSocket = on_reactor(
            sockets.dealer, self.server.endpoint, None, self.answers
        )
        self.works()

    def _asked(self, client: bytes, frames: Sequence[bytes], key: bytes) -> None:
        assert key == b""
        self.requests(client, frames)
        self.server.send(client, frames)

    def works(self) -> None:
        """A request, when there is a connection, is answered."""
        question = os.urandom(8)
        until(lambda: self.client.send([b"question", question]))
        while self.answers.get() != [b"question", question]:
            pass


def wait_readable(connection: Any) -> None:
    """Wait, with the reactor's thread, until ZeroMQ signals that something happened to a socket."""
    assert select.select([connection.fileno()], [], [], PATIENCE_SECONDS)[0]


def signalled(connection: Any) -> bool:
    """Whether it does now."""
    return bool(select.select([connection.fileno()], [], [], 0)[0])


def ended(connection: socket.socket) -> bool:
    """Whether the other side hangs up."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        pass
    return True
