"""What arrives at which socket, and how all of them are closed."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import zmq

from imagepipe.errors import StartError
from imagepipe.replication.zmq.sockets import Sockets
from tests.support.echo import LOOPBACK, Echo, wait_readable
from tests.support.peers import zmq_peer
from tests.support.reactor_thread import Inbox, on_reactor, open_sockets, until


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
        with pytest.raises(StartError, match="cannot connect to tcp://a b:1: not a valid endpoint"):
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

    def test_nothing_is_sent_to_a_client_that_is_not_there(self, echo: Echo) -> None:
        assert on_reactor(echo.server.send, b"nobody", [b"lost"]) is False


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
