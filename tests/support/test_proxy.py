"""The proxy causes the faults that it is asked for."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.proxy import Bytes, FaultProxy

PATIENCE_SECONDS = 30
MESSAGE = b"what is sent through it"


class Echo:
    """A server that sends back what it gets, over TCP or at a path."""

    def __init__(self, path: Path | None = None) -> None:
        if path is None:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.endpoint = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        else:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(path))
            self._listener.listen()
            self.endpoint = f"ipc://{path}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(
                    target=self._answer, args=(self._listener.accept()[0],), daemon=True
                ).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                connection.sendall(data)

    def close(self) -> None:
        """Stop accepting connections."""
        self._listener.close()


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[FaultProxy]:
    """A proxy before two echoes: TCP for publish, a path for sync."""
    with (
        contextlib.closing(Echo()) as publish,
        contextlib.closing(Echo(tmp_path / "sync")) as sync,
        FaultProxy() as started,
    ):
        started.target(publish.endpoint, sync.endpoint)
        yield started


def call(proxy: FaultProxy, offset: int = 0) -> socket.socket:
    """A connection to one of its ports."""
    return socket.create_connection(
        ("127.0.0.1", int(proxy.endpoint.rsplit(":", 1)[1]) + offset), timeout=PATIENCE_SECONDS
    )


def receive(connection: socket.socket, count: int = len(MESSAGE)) -> bytes:
    """That many bytes, or those before the end."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while len(received) < count and (data := connection.recv(count - len(received))):
            received += data
    return received


def exchange(connection: socket.socket) -> bytes:
    """What comes back for MESSAGE."""
    with contextlib.suppress(ConnectionError):
        connection.sendall(MESSAGE)
    return receive(connection)


class ProxyTests:
    """What is forwarded, and what is lost."""

    def test_both_ports_forward_and_count(self, proxy: FaultProxy) -> None:
        with call(proxy) as publish, call(proxy, 1) as sync:
            assert exchange(publish) == MESSAGE
            assert exchange(sync) == MESSAGE
            assert exchange(sync) == MESSAGE
            assert proxy.connections == 2
        assert proxy.publish_bytes == Bytes(len(MESSAGE), len(MESSAGE))
        assert proxy.sync_bytes == Bytes(2 * len(MESSAGE), 2 * len(MESSAGE))
        assert proxy.bytes_forwarded == 6 * len(MESSAGE)

    def test_it_hangs_up_before_it_has_a_target(self) -> None:
        with FaultProxy() as proxy, contextlib.suppress(ConnectionError), call(proxy) as caller:
            assert receive(caller) == b""

    def test_it_hangs_up_when_its_target_is_not_there(self, tmp_path: Path) -> None:
        with FaultProxy() as proxy:
            proxy.target(f"ipc://{tmp_path}/nobody", f"ipc://{tmp_path}/nobody")
            with contextlib.suppress(ConnectionError), call(proxy) as caller:
                assert receive(caller) == b""

    def test_a_cut_drops_everything_until_it_is_healed(self, proxy: FaultProxy) -> None:
        with call(proxy) as before:
            assert exchange(before) == MESSAGE
            proxy.cut()
            assert exchange(before) == b""
        with contextlib.suppress(ConnectionError), call(proxy) as during:
            assert exchange(during) == b""
        proxy.heal()
        with call(proxy) as after:
            assert exchange(after) == MESSAGE

    def test_a_drop_is_over_at_once(self, proxy: FaultProxy) -> None:
        with call(proxy) as before:
            assert exchange(before) == MESSAGE
            proxy.drop()
            assert receive(before) == b""
        with call(proxy) as after:
            assert exchange(after) == MESSAGE

    @pytest.mark.parametrize(("up", "down"), [(True, True), (True, False), (False, True)])
    def test_a_black_hole_swallows_and_keeps_connections(
        self, proxy: FaultProxy, up: bool, down: bool
    ) -> None:
        with call(proxy) as caller:
            assert exchange(caller) == MESSAGE
            proxy.blackhole(up=up, down=down)
            caller.sendall(b"lost")
            before = proxy.publish_bytes
            caller.settimeout(0.05)
            with pytest.raises(TimeoutError):
                caller.recv(1)
            assert proxy.connections == 1
            if up:
                assert proxy.publish_bytes == before
            assert proxy.publish_bytes.down == len(MESSAGE)
            proxy.heal()
            caller.settimeout(PATIENCE_SECONDS)
            assert receive(caller) == b""
        with call(proxy) as caller:
            assert exchange(caller) == MESSAGE

    def test_a_delay_is_for_each_direction(self, proxy: FaultProxy) -> None:
        proxy.delay(0.05)
        with call(proxy) as caller:
            before = proxy.reactor.seconds()
            assert exchange(caller) == MESSAGE
            assert proxy.reactor.seconds() - before >= 0.1
            caller.sendall(MESSAGE)
            proxy.heal()
            caller.sendall(b"and more")
            assert receive(caller, len(MESSAGE) + 8) == MESSAGE + b"and more"

    def test_a_truncated_connection_ends_in_the_middle(self, proxy: FaultProxy) -> None:
        with call(proxy) as before:
            assert exchange(before) == MESSAGE
            proxy.truncate(10)
            with call(proxy) as truncated:
                truncated.sendall(MESSAGE)
                assert len(receive(truncated)) <= 10
            assert proxy.publish_bytes.up == len(MESSAGE) + 10
            assert exchange(before) == MESSAGE

    def test_corruption_flips_bits_and_is_the_same_each_time(self, proxy: FaultProxy) -> None:
        with call(proxy) as caller:
            corrupted = []
            for _ in range(2):
                proxy.corrupt(0.5, seed=7)
                corrupted.append(exchange(caller))
            assert len(corrupted[0]) == len(MESSAGE)
            assert corrupted[0] != MESSAGE
            assert corrupted[0] == corrupted[1]
            proxy.heal()
            assert exchange(caller) == MESSAGE
