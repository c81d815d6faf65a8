"""The mended sockets: what arrives, what is refused, and that neither hostile peers nor our own
mistakes make one deaf.
"""

import contextlib
import os
import random
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import zmq

from imagepipe.errors import StartError
from imagepipe.replication.zmq.gate import CONNECTIONS_MAX
from imagepipe.replication.zmq.sockets import (
    REQUEST_BYTES_MAX,
    SUBSCRIPTION_BYTES_MAX,
    DealerSocket,
    RouterSocket,
    Sockets,
)
from imagepipe.replication.zmq.zmq_socket import READS_PER_TURN_MAX
from tests.support.peers import GREETING, frame, shake_hands, tcp, wait_for_event, zmq_peer
from tests.support.reactor_thread import (
    PATIENCE_SECONDS,
    Inbox,
    logged,
    on_reactor,
    open_sockets,
    reactor,
    until,
)

LOOPBACK = "tcp://127.0.0.1:0"


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    """One node's sockets."""
    with open_sockets() as opened:
        yield opened


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


@pytest.fixture
def echo(sockets: Sockets) -> Echo:
    """A healthy pair."""
    return Echo(sockets)


def wait_readable(connection: Any) -> None:
    """Wait, with the reactor's thread, until ZeroMQ signals that something happened to a socket."""
    assert select.select([connection.fileno()], [], [], PATIENCE_SECONDS)[0]


def signalled(connection: Any) -> bool:
    """Whether it does now."""
    return bool(select.select([connection.fileno()], [], [], 0)[0])


class ExchangeTests:
    """Who hears what."""

    @pytest.mark.parametrize(
        "endpoint", ["tcp://127.0.0.1:0", "tcp://127.0.0.1:*", "tcp://[::1]:0", "ipc"]
    )
    def test_requests_are_answered_by_identity(
        self, sockets: Sockets, endpoint: str, tmp_path: Path
    ) -> None:
        echo = Echo(sockets, f"ipc://{tmp_path}/sync" if endpoint == "ipc" else endpoint)
        others = Inbox()
        other = on_reactor(sockets.dealer, echo.server.endpoint, None, others)
        until(lambda: other.send([b"mine"]))
        assert others.get() == [b"mine"]
        assert not echo.answers.take_all()

    def test_what_is_published_reaches_every_subscriber(self, sockets: Sockets) -> None:
        publisher = on_reactor(sockets.pub, "tcp://0.0.0.0:0")
        inboxes = [Inbox(), Inbox()]
        for inbox in inboxes:
            on_reactor(sockets.sub, publisher.endpoint.replace("0.0.0.0", "127.0.0.1"), None, inbox)
        until(lambda: publisher.send([b"head", b"1"]) and all(inboxes))
        assert [inbox.get() for inbox in inboxes] == [[b"head", b"1"]] * 2

    def test_a_client_sends_only_while_it_is_connected(
        self, sockets: Sockets, tmp_path: Path
    ) -> None:
        client = on_reactor(sockets.dealer, f"ipc://{tmp_path}/nobody", None, Inbox())
        assert on_reactor(client.send, [b"lost"]) is False

    def test_a_client_moves_to_another_endpoint(self, sockets: Sockets, echo: Echo) -> None:
        asked = Inbox()
        other = on_reactor(sockets.router, LOOPBACK, lambda client, frames, key: asked(frames))
        on_reactor(echo.client.reconnect, other.endpoint)
        echo.requests.take_all()
        until(lambda: echo.client.send([b"moved"]) and bool(asked))
        assert asked.get() == [b"moved"]
        assert not echo.requests

    def test_a_client_that_cannot_move_stays(self, echo: Echo) -> None:
        with pytest.raises(
            StartError, match="cannot connect to tcp://a b:1: that is not an endpoint"
        ):
            on_reactor(echo.client.reconnect, "tcp://a b:1")
        echo.works()

    def test_a_server_that_starts_again_is_found_again(self, sockets: Sockets) -> None:
        answers = Inbox()
        with open_sockets() as first:
            echo = Echo(first)
            endpoint = echo.server.endpoint
            client = on_reactor(sockets.dealer, endpoint, None, answers)
            until(lambda: client.send([b"before"]))
            assert answers.get() == [b"before"]
        with open_sockets() as second:
            requests = Inbox()
            on_reactor(second.router, endpoint, requests)
            until(lambda: client.send([b"after"]) and bool(requests))
            assert requests.get()[1] == [b"after"]

    def test_a_peer_in_whose_place_was_once_a_stranger_is_found_all_the_same(
        self, sockets: Sockets
    ) -> None:
        """ZeroMQ alone never connects again to one that said something wrong."""
        requests, bells = Inbox(), Inbox()
        with logged() as events:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                listener.settimeout(PATIENCE_SECONDS)
                endpoint = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
                client = on_reactor(sockets.dealer, endpoint, None, Inbox())
                on_reactor(sockets.sub, endpoint, None, bells)
                for _ in range(2):
                    stranger, _ = listener.accept()
                    stranger.settimeout(PATIENCE_SECONDS)
                    stranger.sendall(GREETING.replace(b"NULL", b"NONE"))
                    assert ended(stranger)
                    stranger.close()
            with open_sockets() as others:
                on_reactor(others.router, endpoint, requests)
                until(lambda: client.send([b"hello"]) and bool(requests))
                assert requests.get()[1] == [b"hello"]
            with open_sockets() as others:
                publisher = on_reactor(others.pub, endpoint)
                until(lambda: publisher.send([b"bell"]) and bool(bells))
        assert {event["endpoint"] for event in events} == {endpoint}

    def test_nothing_is_sent_to_a_client_that_is_not_there(self, echo: Echo) -> None:
        assert on_reactor(echo.server.send, b"nobody", [b"lost"]) is False


class EdgeTests:
    """ZeroMQ signals a message once. Whatever takes the signal, the message is read."""

    def heard(self, sockets: Sockets, folder: Path, touch: Callable[[Any], object]) -> None:
        """A message that waits in a server is delivered although `touch` has taken its signal."""
        inbox = Inbox()
        server = on_reactor(sockets.router, f"ipc://{folder}/sync", inbox)
        with zmq_peer(zmq.DEALER, server.endpoint) as peer:
            peer.send(b"first")
            client, *_ = inbox.get()

            def scenario() -> None:
                peer.send(b"second")
                wait_readable(server)
                while signalled(server):  # libzmq looks at its signals every millisecond or so
                    touch((server, client))

            on_reactor(scenario)
            assert inbox.get() == (client, [b"second"], b"")

    def test_a_send_that_fails_swallows_no_message(self, sockets: Sockets, tmp_path: Path) -> None:
        self.heard(sockets, tmp_path, lambda both: both[0].send(b"nobody", [b"x"]))

    def test_a_send_that_succeeds_swallows_no_message(
        self, sockets: Sockets, tmp_path: Path
    ) -> None:
        self.heard(sockets, tmp_path, lambda both: both[0].send(both[1], [b"x"]))

    def test_moving_to_another_endpoint_swallows_no_message(
        self, sockets: Sockets, tmp_path: Path
    ) -> None:
        inbox = Inbox()
        with zmq_peer(zmq.DEALER, f"ipc://{tmp_path}/new", bind=True) as new:
            client = on_reactor(sockets.dealer, f"ipc://{tmp_path}/old", None, inbox)
            on_reactor(client.reconnect, f"ipc://{tmp_path}/new")
            new.send(b"first")
            assert inbox.get() == [b"first"]

            def scenario() -> None:
                new.send(b"second")
                wait_readable(client)
                for number in range(1_000_000):
                    if not signalled(client):
                        return
                    client.reconnect(f"ipc://{tmp_path}/{number}")

            on_reactor(scenario)
            on_reactor(client.reconnect, f"ipc://{tmp_path}/new")
            new.send(b"third")
            # the second may have gone with its connection
            assert inbox.get() in ([b"second"], [b"third"])

    def test_an_error_while_reading_leaves_no_socket_deaf(self, echo: Echo) -> None:
        real, errors = echo.server.socket, [zmq.EFAULT, zmq.EFSM, zmq.EFAULT]

        class Failing:
            """The socket, whose recv fails three times with errors that should not happen."""

            def __getattr__(self, name: str) -> Any:
                return getattr(real, name)

            def recv(self, flags: int) -> bytes:
                if errors:
                    raise zmq.ZMQError(errors.pop())
                return bytes(real.recv(flags))

        with logged() as events:
            echo.server.socket = Failing()
            echo.works()
        assert [event["log_level"].name for event in events] == ["warn"]

    def test_a_callback_that_raises_ends_nothing_and_is_logged_seldom(
        self, sockets: Sockets
    ) -> None:
        inbox = Inbox()

        def fails(client: bytes, frames: Sequence[bytes], _key: bytes) -> None:
            inbox(frames)
            raise ZeroDivisionError(client)

        server = on_reactor(sockets.router, LOOPBACK, fails)
        with logged() as events, zmq_peer(zmq.DEALER, server.endpoint) as peer:
            for number in range(500):
                peer.send(b"%d" % number)
            assert [inbox.get() for _ in range(500)] == [[b"%d" % number] for number in range(500)]
        [event] = events
        assert event["log_failure"].type is ZeroDivisionError


class Turns:
    """Counts what happens in each turn of the reactor, by a timer of no delay."""

    def __init__(self) -> None:
        self.counted: dict[int, int] = {}
        self._number = 0
        self._timer: Any = None

    def start(self) -> None:
        """Begin the next turn, for ever."""
        self._number += 1
        self._timer = reactor.callLater(0, self.start)

    def count(self) -> None:
        """Count one in this turn."""
        self.counted[self._number] = self.counted.get(self._number, 0) + 1

    def stop(self) -> None:
        """No more turns."""
        self._timer.cancel()


class FairnessTests:
    """A fast peer has its share of the reactor, and of the memory, and no more."""

    def test_a_flood_lets_the_reactor_do_other_things(
        self, sockets: Sockets, tmp_path: Path
    ) -> None:
        messages, inbox = 10_000, Inbox()
        turns = Turns()

        def received(frames: Sequence[bytes]) -> None:
            turns.count()
            if frames[0] == b"last":
                inbox(frames)

        with zmq_peer(zmq.PUB, f"ipc://{tmp_path}/publish", bind=True, sndhwm=0) as publisher:
            on_reactor(turns.start)
            on_reactor(sockets.sub, f"ipc://{tmp_path}/publish", None, received)
            until(lambda: publisher.send(b"first") is None and bool(turns.counted))
            for _ in range(messages):
                publisher.send(b"bell")
            publisher.send(b"last")
            inbox.get()
            on_reactor(turns.stop)
        assert sum(turns.counted.values()) > messages
        # Twice: a read may be due by the clock and by the signal in one turn.
        assert max(turns.counted.values()) <= 2 * READS_PER_TURN_MAX

    def test_a_subscriber_that_stalls_has_a_thousand_messages_waiting_and_not_more(
        self, sockets: Sockets
    ) -> None:
        publisher = on_reactor(sockets.pub, LOOPBACK)
        flood, size = 20_000, 16_000
        with zmq_peer(
            zmq.SUB, publisher.endpoint, rcvhwm=1, subscribe=b"", rcvbuf=65536
        ) as stalled:
            until(lambda: publisher.send([b"first"]) and bool(stalled.poll(0)))
            on_reactor(lambda: [publisher.send([bytes(size)]) for _ in range(flood)])
            got = 0
            while (message := next_message(publisher, stalled)) != b"end":
                got += len(message) == size
        assert got < 2500  # 1000, and what the kernel has room for

    def test_a_server_that_stalls_has_64_requests_waiting_and_not_more(
        self, sockets: Sockets, tmp_path: Path
    ) -> None:
        with zmq_peer(zmq.ROUTER, f"ipc://{tmp_path}/sync", bind=True, rcvhwm=1):
            client = on_reactor(sockets.dealer, f"ipc://{tmp_path}/sync", None, Inbox())
            until(lambda: client.send([bytes(60_000)]))
            assert on_reactor(lambda: sum(client.send([bytes(60_000)]) for _ in range(1000))) < 200

    def test_a_client_that_stalls_has_64_answers_waiting_and_not_more(
        self, sockets: Sockets, tmp_path: Path
    ) -> None:
        inbox = Inbox()
        server = on_reactor(sockets.router, f"ipc://{tmp_path}/sync", inbox)
        with zmq_peer(zmq.DEALER, server.endpoint, rcvhwm=1) as stalled:
            stalled.send(b"hello")
            client, *_ = inbox.get()
            assert (
                on_reactor(lambda: sum(server.send(client, [bytes(60_000)]) for _ in range(1000)))
                < 200
            )

    def test_a_message_is_sent_whole_or_not_at_all(self, sockets: Sockets, tmp_path: Path) -> None:
        """The connection is lost between two frames of one: neither it, nor the next one, may
        arrive in part.
        """
        endpoint = f"ipc://{tmp_path}/sync"
        client = on_reactor(sockets.dealer, endpoint, None, Inbox())
        with zmq_peer(zmq.ROUTER, endpoint, bind=True) as router:
            until(lambda: client.send([b"hello"]))
            assert router.recv_multipart()[1:] == [b"hello"]

        class LosesTheConnection(list[bytes]):
            """Frames between which the server goes away, until ZeroMQ has noticed."""

            def __iter__(self) -> Iterator[bytes]:
                yield b"one"
                router.close()
                wait_readable(client)
                yield from [b"two", b"three", b"four"]

        with zmq_peer(zmq.ROUTER, endpoint, bind=True) as router:
            until(lambda: client.send([b"hello"]) and bool(router.poll(10)))
            on_reactor(client.doRead)
            on_reactor(client.send, LosesTheConnection([b""] * 4))
        with zmq_peer(zmq.ROUTER, endpoint, bind=True) as router:
            until(lambda: client.send([b"next", b"message"]) and bool(router.poll(10)))
            assert router.recv_multipart()[1:] == [b"next", b"message"]

    def test_libzmq_gets_the_rest_of_a_message_that_it_could_not_take(
        self, sockets: Sockets
    ) -> None:
        """Or it would drop the next message as the rest of this one."""
        publisher = on_reactor(sockets.pub, LOOPBACK)
        real, sent = publisher.socket, []

        class Full:
            """The socket, which is full from the second frame on."""

            def __getattr__(self, name: str) -> Any:
                return getattr(real, name)

            def send(self, frame: bytes, flags: int) -> None:
                sent.append((frame, bool(flags & zmq.SNDMORE)))
                if frame == b"two":
                    raise zmq.Again

        publisher.socket = Full()
        assert on_reactor(publisher.send, [b"one", b"two", b"three"]) is False
        assert sent == [(b"one", True), (b"two", True), (b"three", False)]
        assert on_reactor(publisher.send, [b"two", b"three"]) is False
        assert sent[3:] == [(b"two", True)]


def next_message(publisher: Any, stalled: "zmq.Socket[bytes]") -> bytes:
    """What a subscriber gets next. When nothing is left the end is published, which was dropped
    before, for there was no room.
    """
    while not stalled.poll(10):
        on_reactor(publisher.send, [b"end"])
    return stalled.recv()


class HostileTests:
    """A stranger on the network hurts himself alone."""

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
    def test_garbage_is_no_trouble(self, echo: Echo, seed: int) -> None:
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

    def test_an_upstream_whose_message_has_no_end_is_hung_up_on(self, sockets: Sockets) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening, logged() as events:
            endpoint = f"tcp://127.0.0.1:{listening.getsockname()[1]}"
            heard = Inbox()
            on_reactor(sockets.sub, endpoint, None, heard)
            upstream, _ = listening.accept()
            with upstream:
                upstream.settimeout(PATIENCE_SECONDS)
                shake_hands(upstream, b"PUB")
                upstream.sendall(frame(b"bell"))
                assert heard.get() == [b"bell"]
                piece, sent = frame(bytes(REQUEST_BYTES_MAX), more=True), 0
                with contextlib.suppress(ConnectionError):
                    while sent < 1 << 34:
                        upstream.sendall(piece)
                        sent += len(piece)
                assert sent < 1 << 34
            again, _ = listening.accept()  # it tries again
            again.close()
        assert any("is too large" in event["log_format"] for event in events)

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


def ended(connection: socket.socket) -> bool:
    """Whether the other side hangs up."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


class BindingTests:
    """What cannot be bound is said in one sentence, and nothing of others is harmed."""

    def refused(self, sockets: Sockets, endpoint: str, why: str) -> None:
        for bind in (sockets.pub, lambda endpoint: sockets.router(endpoint, Inbox())):
            with pytest.raises(StartError) as caught:
                on_reactor(bind, endpoint)
            assert str(caught.value) == f"cannot bind {endpoint}: {why}"

    def test_a_port_in_use(self, sockets: Sockets, echo: Echo) -> None:
        self.refused(
            sockets,
            echo.server.endpoint,
            "another process listens there: stop it, or choose another port",
        )
        echo.works()

    def test_an_address_of_another_machine(self, sockets: Sockets) -> None:
        self.refused(sockets, "tcp://192.0.2.1:8086", "this machine has no such address")
        self.refused(sockets, "tcp://nosuch0:8086", "this machine has no such address")

    def test_no_endpoint(self, sockets: Sockets) -> None:
        self.refused(
            sockets,
            "tcp://127.0.0.1",
            "that is not an endpoint: write tcp://ADDRESS:PORT or ipc:///path",
        )
        self.refused(
            sockets,
            "http://127.0.0.1",
            "that is not an endpoint: write tcp://ADDRESS:PORT or ipc:///path",
        )

    def test_a_path_without_its_folder(self, sockets: Sockets, tmp_path: Path) -> None:
        self.refused(sockets, f"ipc://{tmp_path}/no/socket", "the folder does not exist")

    def test_a_path_that_is_too_long(self, sockets: Sockets, tmp_path: Path) -> None:
        self.refused(
            sockets,
            f"ipc://{tmp_path}/{'x' * 108}",
            "the path is too long for a socket: at most 107 bytes",
        )

    def test_a_path_where_a_file_lies(self, sockets: Sockets, tmp_path: Path) -> None:
        (tmp_path / "precious").write_text("data")
        self.refused(
            sockets, f"ipc://{tmp_path}/precious", "a file that is not a socket lies there"
        )
        assert (tmp_path / "precious").read_text() == "data"

    def test_a_path_where_another_listens(self, sockets: Sockets, tmp_path: Path) -> None:
        with open_sockets() as others:
            echo = Echo(others, f"ipc://{tmp_path}/sync")
            self.refused(
                sockets,
                f"ipc://{tmp_path}/sync",
                "another process listens there: stop it, or choose another path",
            )
            echo.works()

    def test_the_socket_of_a_dead_process_is_replaced(
        self, sockets: Sockets, tmp_path: Path
    ) -> None:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(tmp_path / "sync"))
        Echo(sockets, f"ipc://{tmp_path}/sync").works()

    def test_a_socket_file_goes_with_its_socket(self, sockets: Sockets, tmp_path: Path) -> None:
        publisher = on_reactor(sockets.pub, f"ipc://{tmp_path}/publish")
        on_reactor(sockets.router, f"ipc://{tmp_path}/sync", Inbox())
        on_reactor(publisher.close)
        assert not (tmp_path / "publish").exists()
        on_reactor(sockets.close)
        assert not (tmp_path / "sync").exists()

    def test_a_socket_file_that_another_has_replaced_stays(
        self, sockets: Sockets, tmp_path: Path
    ) -> None:
        publisher = on_reactor(sockets.pub, f"ipc://{tmp_path}/publish")
        (tmp_path / "publish").unlink()
        (tmp_path / "publish").write_text("data")
        on_reactor(publisher.close)
        assert (tmp_path / "publish").read_text() == "data"


class ClosingTests:
    """The end."""

    def test_everything_may_be_closed_twice_and_then_drops_what_it_is_given(
        self, sockets: Sockets, echo: Echo
    ) -> None:
        publisher = on_reactor(sockets.pub, LOOPBACK)
        for _ in range(2):
            for closing in (publisher, echo.client, echo.server, sockets):
                on_reactor(closing.close)
        assert on_reactor(publisher.send, [b"x"]) is False
        assert on_reactor(echo.client.send, [b"x"]) is False
        assert on_reactor(echo.server.send, b"client", [b"x"]) is False
        on_reactor(echo.client.reconnect, "tcp://127.0.0.1:9")

    def test_nothing_is_called_back_after_it(self, sockets: Sockets, tmp_path: Path) -> None:
        inbox = Inbox()
        server = on_reactor(sockets.router, f"ipc://{tmp_path}/sync", inbox)
        with zmq_peer(zmq.DEALER, server.endpoint) as peer:
            peer.send(b"hello")
            inbox.get()

            def scenario() -> None:
                for number in range(100):
                    peer.send(b"%d" % number)
                wait_readable(server)
                server.send(b"nobody", [b"a read is scheduled"])
                server.close()

            on_reactor(scenario)
            on_reactor(lambda: None)
            assert not inbox

    def test_a_callback_may_close_its_own_socket(self, sockets: Sockets) -> None:
        inbox = Inbox()

        def last(client: bytes, frames: Sequence[bytes], _key: bytes) -> None:
            inbox(client, frames)
            sockets.close()

        server = on_reactor(sockets.router, LOOPBACK, last)
        with zmq_peer(zmq.DEALER, server.endpoint) as peer:
            for _ in range(100):
                peer.send(b"hello")
            inbox.get()
            on_reactor(lambda: None)
            assert not inbox

    def test_unsent_messages_do_not_hold_it_up(self, sockets: Sockets, tmp_path: Path) -> None:
        with zmq_peer(zmq.ROUTER, f"ipc://{tmp_path}/stalled", bind=True, rcvhwm=1):
            client = on_reactor(sockets.dealer, f"ipc://{tmp_path}/stalled", None, Inbox())
            until(lambda: client.send([bytes(60_000)]))
            assert (
                on_reactor(lambda: [client.send([bytes(60_000)]) for _ in range(1000)])[-1] is False
            )
            on_reactor(sockets.close)
            assert sockets._factory.context.closed, "it ended, and was not merely given up"

    def test_a_thread_of_zeromqs_that_does_not_let_go_holds_it_up_for_a_second_at_most(
        self, sockets: Sockets
    ) -> None:
        # such as in a name server's time limit
        hanging = on_reactor(sockets._factory.context.socket, zmq.PUB)
        on_reactor(sockets.close)
        # given up: this line would never have been reached
        assert not sockets._factory.context.closed
        hanging.close()
