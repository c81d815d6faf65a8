"""A daemon under a service manager: sockets that are handed over, restarts that no client notices,
and what the manager is told.
"""

import contextlib
import http.client
import signal
import time
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.concurrent_clients import ConcurrentClients, get, store
from tests.support.daemon_process import DaemonProcess, text
from tests.support.http_client import request
from tests.support.image_server import check_log
from tests.support.service_manager import ServiceManager

BY_NAME: dict[str, dict[str, object]] = {
    "network": {"endpoint": "systemd:domain=INET:name=methods"},
    "http": {"endpoint": "systemd:domain=INET:name=pages"},
}
BY_NUMBER: dict[str, dict[str, object]] = {
    "network": {"endpoint": "systemd:domain=INET:index=0"},
    "http": {"endpoint": "systemd:domain=INET:index=1"},
}


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ServiceManager]:
    """A manager with two sockets."""
    with ServiceManager(tmp_path, "methods", "pages") as manager:
        yield manager


@contextlib.contextmanager
def started(daemon: DaemonProcess) -> Iterator[DaemonProcess]:
    """It, ready; gone at the end, and nothing went wrong."""
    try:
        yield daemon.start()
        check_log(daemon)
    finally:
        daemon.clean_up()


class SocketTests:
    def test_a_restart_under_load_loses_no_request(
        self, manager: ServiceManager, tmp_path: Path, picture: bytes
    ) -> None:
        methods, pages = manager.url("methods"), manager.url("pages")
        daemon = manager.daemon(tmp_path, BY_NAME)
        with contextlib.ExitStack() as stack:
            stack.enter_context(started(daemon))
            assert (daemon.url, daemon.http_url) == (methods, pages)
            daemon.proxy.store_image(text(picture), "a.jpg")
            asks = [
                get(pages, "/a.jpg", picture.__eq__),
                get(pages, "/a.jpg/w16.jpg", request(pages, "/a.jpg/w16.jpg").body.__eq__),
                store(methods, picture, "stored/{}.jpg".format),
                store(methods, picture, "rendered/{}.jpg".format, None, [8, 8]),
            ]
            with ConcurrentClients(asks, clients=32) as crowd:
                for options in (BY_NUMBER, BY_NAME):
                    crowd.wait_for(100)
                    assert daemon.stop() == 0
                    daemon = stack.enter_context(started(manager.daemon(tmp_path, options)))
                crowd.wait_for(100)
            assert crowd.wrong == []
            assert daemon.stop() == 0

    def test_a_connection_made_while_no_daemon_runs_is_served_by_the_next(
        self, manager: ServiceManager, tmp_path: Path
    ) -> None:
        with started(manager.daemon(tmp_path, BY_NAME)) as first:
            assert first.stop() == 0
        waiting = http.client.HTTPConnection(manager.url("pages").split("/")[2])
        waiting.request("GET", "/healthz")
        with started(manager.daemon(tmp_path, BY_NUMBER)) as second:
            assert waiting.getresponse().read() == b"ok\n"
            waiting.close()
            assert second.stop() == 0

    def test_a_reload_changes_between_them_and_ports_of_its_own(
        self, manager: ServiceManager, tmp_path: Path
    ) -> None:
        own: dict[str, object] = {"interface": "127.0.0.1", "port": 0}
        with started(manager.daemon(tmp_path, BY_NAME)) as daemon:
            daemon.reload(BY_NAME | {"http": own})
            assert daemon.http_url != manager.url("pages")
            assert request(daemon.http_url, "/healthz").status == 200
            daemon.reload({"network": BY_NAME["http"], "http": BY_NAME["network"]})
            assert (daemon.url, daemon.http_url) == (manager.url("pages"), manager.url("methods"))
            assert request(daemon.http_url, "/healthz").status == 200
            assert daemon.proxy.list_images() == []
            daemon.reload(BY_NUMBER)
            assert (daemon.url, daemon.http_url) == (manager.url("methods"), manager.url("pages"))
            assert request(daemon.http_url, "/healthz").status == 200
            assert daemon.proxy.list_images() == []
            assert daemon.stop() == 0

    @pytest.mark.parametrize(
        "endpoint", ["systemd:domain=INET:index=2", "systemd:domain=INET:name=nobody"]
    )
    def test_a_socket_that_was_not_passed_is_reported_as_missing(
        self, manager: ServiceManager, tmp_path: Path, endpoint: str
    ) -> None:
        daemon = manager.daemon(tmp_path, {"network": {"endpoint": endpoint}})
        try:
            with pytest.raises(RuntimeError, match="no such socket was passed in"):
                daemon.start()
            assert daemon.wait() == 1
        finally:
            daemon.clean_up()

    @pytest.mark.parametrize(
        ("address", "is_warned_about"), [("0.0.0.0", True), ("127.0.0.1", False)]
    )
    def test_a_public_address_without_users_and_tls_is_a_warning(
        self, tmp_path: Path, address: str, is_warned_about: bool
    ) -> None:
        endpoint = "systemd:domain=INET:name=methods"
        with (
            ServiceManager(tmp_path, "methods", address=address) as manager,
            started(manager.daemon(tmp_path, {"network": {"endpoint": endpoint}})) as daemon,
        ):
            warning = (
                f"[network] endpoint = {endpoint} (which is {address}): anyone who can reach it can"
                " store"
            )
            assert (warning in "".join(daemon.log)) == is_warned_about


class NotificationTests:
    @pytest.mark.parametrize("abstract", [False, True])
    def test_the_manager_hears_of_each_step(self, tmp_path: Path, abstract: bool) -> None:
        with (
            ServiceManager(tmp_path, abstract=abstract) as manager,
            started(manager.daemon(tmp_path, {})) as daemon,
        ):
            ready = manager.hears_of("READY")
            assert ready == {"READY": "1", "STATUS": f"XML-RPC on {daemon.url}"}
            assert (
                xmlrpc.client.ServerProxy(ready["STATUS"].partition(" on ")[2]).list_images() == []
            )
            before = time.monotonic_ns() // 1000
            daemon.reload()
            reloading = manager.hears()
            assert reloading["RELOADING"] == "1"
            assert before <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
            assert manager.hears() == ready
            daemon.configure({"images": {"io_treads": 2}})
            daemon.process.send_signal(signal.SIGHUP)
            assert manager.hears()["RELOADING"] == "1"
            assert manager.hears() == ready  # a reload that is refused is over, too
            assert daemon.stop() == 0
            assert manager.hears()["STOPPING"] == "1"

    def test_a_daemon_that_cannot_start_is_never_ready(self, tmp_path: Path) -> None:
        with ServiceManager(tmp_path) as manager:
            daemon = manager.daemon(tmp_path, {"network": {"endpoint": "unix:/nowhere/socket"}})
            try:
                daemon.launch()
                assert daemon.wait() == 1
                assert manager.hears_of("STOPPING")["STOPPING"] == "1"
            finally:
                daemon.clean_up()

    def test_the_watchdog_hears_regularly_from_the_daemon(self, tmp_path: Path) -> None:
        with (
            ServiceManager(tmp_path) as manager,
            started(manager.daemon(tmp_path, {}, WATCHDOG_USEC=20_000)),
        ):
            for name in ("READY", "WATCHDOG", "WATCHDOG"):
                manager.hears_of(name)

    def test_a_manager_that_does_not_listen_does_no_harm(self, tmp_path: Path) -> None:
        with (
            ServiceManager(tmp_path) as manager,
            started(
                manager.daemon(tmp_path, {}, NOTIFY_SOCKET="/nowhere/notify", WATCHDOG_USEC="soon")
            ) as daemon,
        ):
            daemon.reload()
            assert daemon.proxy.list_images() == []
            assert daemon.stop() == 0
