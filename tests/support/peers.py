"""Foreign peers for the tests of the sockets: plain pyzmq in a context of its own, and bare TCP
connections that speak as much ZMTP as a test wants.
"""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import zmq
from zmq.utils.monitor import recv_monitor_message

PATIENCE_MS = 30_000

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
"""ZMTP 3.0 without security."""


@contextmanager
def zmq_peer(
    kind: int, endpoint: str, *, bind: bool = False, **options: Any
) -> Iterator["zmq.Socket[bytes]"]:
    """A plain ZeroMQ socket that blocks for PATIENCE_MS at most. `options`, by their pyzmq names,
    are set before it binds or connects.
    """
    context = zmq.Context()
    peer = context.socket(kind)
    peer.linger, peer.rcvtimeo, peer.sndtimeo, peer.reconnect_ivl = 0, PATIENCE_MS, PATIENCE_MS, 20
    for name, value in options.items():
        setattr(peer, name, value)
    peer.get_monitor_socket()  # before anything can happen to it
    (peer.bind if bind else peer.connect)(endpoint)
    try:
        yield peer
    finally:
        context.destroy(linger=0)


def wait_for_event(peer: "zmq.Socket[bytes]", *wanted: zmq.Event) -> None:
    """Wait until one of these events has happened to a peer."""
    monitor = peer.get_monitor_socket()
    while monitor.poll(PATIENCE_MS):
        if recv_monitor_message(monitor)["event"] in wanted:
            return
    raise AssertionError(f"none of {wanted} in time")


def tcp(endpoint: str) -> socket.socket:
    """A bare connection to a tcp:// endpoint."""
    host, port = endpoint.removeprefix("tcp://").rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=PATIENCE_MS / 1000)


def shake_hands(connection: socket.socket, kind: bytes, **properties: bytes) -> None:
    """Shake hands as a NULL peer of a kind, such as b"DEALER"; libzmq expects nothing more before
    it sends its own READY.
    """
    connection.sendall(GREETING)
    receive(connection, len(GREETING))
    named = {"Socket-Type": kind, **properties}
    ready = b"\x05READY" + b"".join(
        bytes([len(name)]) + name.encode() + struct.pack(">I", len(value)) + value
        for name, value in named.items()
    )
    connection.sendall(b"\x04" + bytes([len(ready)]) + ready)
    receive(connection, receive(connection, 2)[1])


def receive(connection: socket.socket, count: int) -> bytes:
    """Receive exactly `count` bytes; ConnectionError if the connection ends before."""
    received = b""
    while len(received) < count:
        piece = connection.recv(count - len(received))
        if not piece:
            raise ConnectionAbortedError
        received += piece
    return received


def frame(payload: bytes, *, more: bool = False) -> bytes:
    """A frame as it goes over the wire."""
    return struct.pack(">BQ", 3 if more else 2, len(payload)) + payload
