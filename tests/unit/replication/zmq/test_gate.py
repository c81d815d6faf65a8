"""What strangers on the network may send, and that they harm nobody but themselves."""

import contextlib
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from imagepipe.replication.zmq.gate import CONNECTIONS_MAX
from imagepipe.replication.zmq.sockets import REQUEST_BYTES_MAX, SUBSCRIPTION_BYTES_MAX, Sockets
from tests.support.echo import LOOPBACK, Echo, ended
from tests.support.peers import frame, shake_hands, tcp, wait_for_event, zmq_peer
from tests.support.reactor_thread import Inbox, on_reactor, until


class HostileTests:
    """A hostile client harms nobody but itself."""

    def test_a_frame_that_is_too_large_costs_its_sender_the_connection(self, echo: Echo) -> None:
        with zmq_peer(zmq.DEALER, echo.server.endpoint) as peer:
            peer.send(bytes(REQUEST_BYTES_MAX))
            assert peer.recv() == bytes(REQUEST_BYTES_MAX)
            peer.send(bytes(REQUEST_BYTES_MAX + 1))
            wait_for_event(peer, zmq.Event.DISCONNECTED)
        echo.works()
        assert max(len(frames[0]) for _, frames in echo.requests.take_all()) == REQUEST_BYTES_MAX

    def test_a_frame_of_two_gibibytes_is_refused_by_its_header(self, echo: Echo) -> None:
        with tcp(echo.server.endpoint) as stranger:
            shake_hands(stranger, b"DEALER")
            stranger.sendall(b"\x02" + (2 << 30).to_bytes(8, "big") + bytes(1000))
            assert ended(stranger)
        echo.works()

    @pytest.mark.parametrize("seed", range(4))
    def test_garbage_does_no_harm(self, echo: Echo, seed: int) -> None:
        noise = random.Random(seed)
        with tcp(echo.server.endpoint) as stranger, tcp(echo.server.endpoint) as polite:
            with contextlib.suppress(OSError):
                stranger.sendall(noise.randbytes(200_000))
            with contextlib.suppress(OSError):
                shake_hands(polite, b"DEALER")
                polite.sendall(noise.randbytes(200_000))
            echo.works()

    def test_floods_of_connections_and_half_handshakes_are_no_trouble(
        self, sockets: Sockets, echo: Echo
    ) -> None:
        with contextlib.ExitStack() as stack:
            for number in range(200):
                stranger = stack.enter_context(tcp(echo.server.endpoint))
                stranger.sendall(b"\xff" + bytes(number % 12))
            echo.works()
            late = Inbox()
            newcomer = on_reactor(sockets.dealer, echo.server.endpoint, None, late)
            until(lambda: newcomer.send([b"late"]))
            assert late.get() == [b"late"]

    @pytest.mark.parametrize("kind", ["ROUTER", "PUB"])
    def test_a_message_that_never_ends_costs_its_sender_the_connection(
        self, sockets: Sockets, echo: Echo, kind: str
    ) -> None:
        """Libzmq alone keeps whatever comes, without any bound."""
        endpoint = (
            echo.server.endpoint if kind == "ROUTER" else on_reactor(sockets.pub, LOOPBACK).endpoint
        )
        with tcp(endpoint) as stranger:
            shake_hands(stranger, b"DEALER" if kind == "ROUTER" else b"SUB")
            sent = 0
            with contextlib.suppress(ConnectionError):
                while sent < 100_000_000:
                    stranger.sendall(frame(bytes(1000), more=True))
                    sent += 1000
            assert sent < 20_000_000  # the kernel's buffers
        echo.works()
        assert all(frames[0] == b"question" for _, frames in echo.requests.take_all())

    def test_nobody_takes_the_identity_of_another(self, echo: Echo) -> None:
        """Libzmq alone aborts the process when somebody has taken the identity that it gives to the
        next one.
        """
        last = echo.requests.get()[0]
        following = last[:1] + (int.from_bytes(last[1:], "big") + 1).to_bytes(4, "big")
        for identity in (last, following, b"mine"):
            with zmq_peer(zmq.DEALER, echo.server.endpoint, routing_id=identity) as thief:
                thief.send(b"thief")
                wait_for_event(thief, zmq.Event.DISCONNECTED)
        echo.works()
        assert all(frames[0] == b"question" for _, frames in echo.requests.take_all())

    def test_endless_subscriptions_cost_their_sender_the_connection(self, sockets: Sockets) -> None:
        publisher = on_reactor(sockets.pub, LOOPBACK)
        with zmq_peer(zmq.XSUB, publisher.endpoint) as stranger:
            for number in range(100):
                stranger.send(b"\1%d" % number)
            wait_for_event(stranger, zmq.Event.DISCONNECTED)

    def test_a_long_subscription_costs_its_sender_the_connection(self, sockets: Sockets) -> None:
        """Libzmq takes 50 bytes of memory for each of its bytes."""
        publisher = on_reactor(sockets.pub, LOOPBACK)
        with zmq_peer(
            zmq.SUB, publisher.endpoint, subscribe=bytes(SUBSCRIPTION_BYTES_MAX)
        ) as stranger:
            wait_for_event(stranger, zmq.Event.DISCONNECTED)

    def test_when_all_places_are_taken_by_silent_ones_a_newcomer_has_one(self, echo: Echo) -> None:
        with contextlib.ExitStack() as stack:
            silent = [
                stack.enter_context(tcp(echo.server.endpoint)) for _ in range(CONNECTIONS_MAX + 10)
            ]
            with zmq_peer(zmq.DEALER, echo.server.endpoint) as newcomer:
                newcomer.send(b"hello")
                assert newcomer.recv() == b"hello"
            assert ended(silent[0])
        echo.works()

    def test_an_address_that_takes_all_places_makes_room_for_another(
        self, sockets: Sockets
    ) -> None:
        asked = Inbox()
        server = on_reactor(sockets.router, LOOPBACK, asked)
        with contextlib.ExitStack() as stack:
            many = [stack.enter_context(tcp(server.endpoint)) for _ in range(CONNECTIONS_MAX)]
            for one in many:
                shake_hands(one, b"DEALER")
            assert ended(stack.enter_context(tcp(server.endpoint)))  # one more of the same address
            from_elsewhere = server.endpoint.replace("tcp://", "tcp://127.0.0.2:0;")
            with zmq_peer(zmq.DEALER, from_elsewhere) as other:
                other.send(b"hello")
                assert asked.get()[1] == [b"hello"]
            assert ended(many[0])

    def test_the_socket_behind_the_gate_is_for_this_process_alone(self, echo: Echo) -> None:
        [name] = {
            line.split()[-1]
            for line in Path("/proc/net/unix").read_text().splitlines()
            if "@imagepipe-" in line
        } & abstract_of_this_process()
        script = (
            "import socket, sys; s = socket.socket(socket.AF_UNIX); s.settimeout(30);"
            " s.connect(chr(0) + sys.argv[1]); print(s.recv(1))"
        )
        said = subprocess.run(
            [sys.executable, "-c", script, name.removeprefix("@")],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        assert said == "b''\n"
        echo.works()


def abstract_of_this_process() -> set[str]:
    """The names of the abstract sockets that this process listens on."""
    inodes = {
        str(file.readlink()).removeprefix("socket:[").removesuffix("]") for file in open_files()
    }
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    return {fields[-1] for fields in lines if fields[-2] in inodes and fields[3] == "00010000"}


def open_files() -> Iterator[Path]:
    """The descriptors of this process."""
    for file in Path("/proc/self/fd").iterdir():
        if file.is_symlink():
            yield file
