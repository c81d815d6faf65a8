"""A socket that connects keeps trying, whatever answers in the place of its peer."""

import contextlib
import socket

from imagepipe.replication.zmq.sockets import REQUEST_BYTES_MAX, Sockets
from tests.support.echo import ended
from tests.support.peers import GREETING, frame, shake_hands
from tests.support.reactor_thread import (
    PATIENCE_SECONDS,
    Inbox,
    logged,
    on_reactor,
    open_sockets,
    until,
)


class ConnectingTests:
    """It never gives up."""

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
