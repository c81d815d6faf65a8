"""A daemon under a service manager: it says how it stands, and takes up the sockets that it is handed."""

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from crowd import Crowd, get, store
from daemon_process import DaemonProcess, text
from http_client import request
from image_server import HTTP, check_log
from service_manager import ServiceManager

HANDED_OVER = {"network": {"endpoint": "systemd:domain=INET:name=xml-rpc"}, "http": {"endpoint": "systemd:domain=INET:index=1"}}


@pytest.fixture
def manager() -> Iterator[ServiceManager]:
    """One with a socket for each port."""
    with ServiceManager("xml-rpc", "http") as manager:
        yield manager


@contextlib.contextmanager
def started(manager: ServiceManager, folder: Path) -> Iterator[DaemonProcess]:
    """A daemon that it has started."""
    daemon = DaemonProcess(folder, HANDED_OVER, manager.wrapper, descriptors=manager.descriptors)
    daemon.launch()
    try:
        yield daemon
    finally:
        daemon.clean_up()


class NotificationTests:
    """READY, RELOADING, STOPPING, WATCHDOG: sd_notify(3)."""

    def test_it_says_when_it_is_ready_reloads_and_stops(self, manager: ServiceManager, tmp_path: Path) -> None:
        with started(manager, tmp_path) as daemon:
            ready = manager.hear("READY=1")
            assert manager.url("xml-rpc") in ready["STATUS"]
            assert manager.url("http") in ready["STATUS"]
            before = time.monotonic_ns() // 1000
            daemon.process.send_signal(signal.SIGHUP)
            reloading = manager.hear("RELOADING=1")
            assert before <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
            assert manager.url("http") in manager.hear("READY=1")["STATUS"]
            manager.hear("WATCHDOG=1")
            daemon.process.send_signal(signal.SIGTERM)
            manager.hear("STOPPING=1")
            assert daemon.wait() == 0

    def test_a_reload_that_is_refused_is_over_too(self, manager: ServiceManager, tmp_path: Path) -> None:
        with started(manager, tmp_path) as daemon:
            manager.hear("READY=1")
            daemon.config.write_text("[images]\npath =\n")
            daemon.process.send_signal(signal.SIGHUP)
            manager.hear("RELOADING=1")
            manager.hear("READY=1")
            assert request(manager.url("http"), "/healthz").status == 200

    def test_a_manager_that_does_not_listen_is_no_reason_not_to_serve(self, tmp_path: Path) -> None:
        with ServiceManager("xml-rpc", "http") as manager:
            manager.environment["NOTIFY_SOCKET"] = str(tmp_path / "nobody")
            with started(manager, tmp_path) as daemon:
                daemon.wait_until_ready()
                assert daemon.stop() == 0


class HandedOverTests:
    """Sockets that the manager listens on, whether a daemon runs or not: sd_listen_fds(3)."""

    def test_who_connects_before_there_is_a_daemon_is_answered_by_it(self, manager: ServiceManager, tmp_path: Path) -> None:
        with Crowd([get(manager.url("http"), "/healthz", b"ok\n".__eq__)], clients=4) as crowd:
            crowd.wait_until(lambda: crowd.asked >= 4)
            assert crowd.answered == 0
            with started(manager, tmp_path) as daemon:
                crowd.wait_for(8)
                crowd.end()
                assert daemon.stop() == 0
        assert crowd.wrong == []

    def test_restarts_under_load_refuse_no_connection_and_lose_no_request(self, manager: ServiceManager, tmp_path: Path, picture: bytes) -> None:
        asks = [
            get(manager.url("http"), "/a.jpg", picture.__eq__),
            get(manager.url("http"), "/healthz", b"ok\n".__eq__),
            store(manager.url("xml-rpc"), picture, "stored/{}.jpg".format),
            store(manager.url("xml-rpc"), picture, "rendered/{}.jpg".format, None, [8, 8]),
        ]
        with contextlib.ExitStack() as stack:
            daemon = stack.enter_context(started(manager, tmp_path)).wait_until_ready()
            assert {urlsplit(daemon.url).port, urlsplit(daemon.http_url).port} == {one.getsockname()[1] for one in manager.sockets.values()}
            daemon.proxy.store_image(text(picture), "a.jpg")
            with Crowd(asks, clients=16) as crowd:
                for _ in range(3):
                    crowd.wait_for(60)
                    asked = crowd.asked
                    assert daemon.stop() == 0
                    check_log(daemon)
                    daemon = stack.enter_context(started(manager, tmp_path))
                    daemon.wait_until_ready()
                    crowd.wait_until(lambda asked=asked: crowd.asked > asked)  # type: ignore[misc]
                crowd.wait_for(60)
            assert crowd.wrong == []
            assert len(daemon.proxy.list_images("stored/")) >= 20

    def test_a_reload_keeps_them(self, manager: ServiceManager, tmp_path: Path) -> None:
        with started(manager, tmp_path) as daemon:
            daemon.wait_until_ready()
            daemon.reload()
            assert request(manager.url("http"), "/healthz").status == 200
            daemon.reload(HTTP)
            assert daemon.http_url != manager.url("http")
            assert request(daemon.http_url, "/healthz").status == 200
            daemon.reload(HANDED_OVER)
            assert daemon.http_url == manager.url("http")
            assert request(manager.url("http"), "/healthz").status == 200
            assert daemon.proxy.list_images() == []
