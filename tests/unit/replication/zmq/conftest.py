"""The sockets of one node, and a healthy pair of them."""

from collections.abc import Iterator

import pytest

from imagepipe.replication.zmq.sockets import Sockets
from tests.support.echo import Echo
from tests.support.reactor_thread import open_sockets


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    """One node's sockets."""
    with open_sockets() as opened:
        yield opened


@pytest.fixture
def echo(sockets: Sockets) -> Echo:
    """A healthy pair."""
    return Echo(sockets)
