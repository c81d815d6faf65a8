"""Sockets are read until nothing is left, and a fast peer gets no more than its share."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import zmq

from imagepipe.replication.zmq.sockets import Sockets
from imagepipe.replication.zmq.zmq_socket import READS_PER_TURN_MAX
from tests.support.echo import LOOPBACK, Echo, signalled, wait_readable
from tests.support.peers import zmq_peer
from tests.support.reactor_thread import Inbox, logged, on_reactor, reactor, until


class EdgeTests:
    """ZeroMQ signals a message once. The message is read whatever consumes the signal."""

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
    """A fast peer gets its share of the reactor and of the memory, and no more."""

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
