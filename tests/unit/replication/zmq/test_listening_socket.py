"""Endpoints that cannot be bound, and the files of ipc sockets."""

import socket
from pathlib import Path

import pytest

from imagepipe.errors import StartError
from imagepipe.replication.zmq.sockets import Sockets
from tests.support.echo import Echo
from tests.support.reactor_thread import Inbox, on_reactor, open_sockets


class BindingTests:
    """Why an endpoint cannot be bound is said in one sentence, and nothing in use is harmed."""

    def refused(self, sockets: Sockets, endpoint: str, why: str) -> None:
        for bind in (sockets.pub, lambda endpoint: sockets.router(endpoint, Inbox())):
            with pytest.raises(StartError) as caught:
                on_reactor(bind, endpoint)
            assert str(caught.value) == f"cannot bind {endpoint}: {why}"

    def test_a_port_in_use(self, sockets: Sockets, echo: Echo) -> None:
        self.refused(
            sockets,
            echo.server.endpoint,
            "another process is listening there; stop it or choose another port",
        )
        echo.works()

    def test_an_address_of_another_machine(self, sockets: Sockets) -> None:
        self.refused(sockets, "tcp://192.0.2.1:8086", "this machine has no such address")
        self.refused(sockets, "tcp://nosuch0:8086", "this machine has no such address")

    def test_no_endpoint(self, sockets: Sockets) -> None:
        self.refused(
            sockets,
            "tcp://127.0.0.1",
            "not a valid endpoint; write tcp://ADDRESS:PORT or ipc:///path",
        )
        self.refused(
            sockets,
            "http://127.0.0.1",
            "not a valid endpoint; write tcp://ADDRESS:PORT or ipc:///path",
        )

    def test_a_path_without_its_folder(self, sockets: Sockets, tmp_path: Path) -> None:
        self.refused(sockets, f"ipc://{tmp_path}/no/socket", "the folder does not exist")

    def test_a_path_that_is_too_long(self, sockets: Sockets, tmp_path: Path) -> None:
        self.refused(
            sockets,
            f"ipc://{tmp_path}/{'x' * 108}",
            "the path is too long for a socket (at most 107 bytes)",
        )

    def test_a_path_where_a_file_lies(self, sockets: Sockets, tmp_path: Path) -> None:
        (tmp_path / "precious").write_text("data")
        self.refused(sockets, f"ipc://{tmp_path}/precious", "the file at that path is not a socket")
        assert (tmp_path / "precious").read_text() == "data"

    def test_a_path_where_another_listens(self, sockets: Sockets, tmp_path: Path) -> None:
        with open_sockets() as others:
            echo = Echo(others, f"ipc://{tmp_path}/sync")
            self.refused(
                sockets,
                f"ipc://{tmp_path}/sync",
                "another process is listening there; stop it or choose another path",
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
