"""A real daemon, as its operator sees it: the pages, Prometheus' metrics, and what Graphite is
told.
"""

import contextlib
import socket
import subprocess
import xmlrpc.client
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from imagepipe import __version__
from tests.support.cluster import eventually
from tests.support.daemon_process import DaemonProcess, fault_of, running
from tests.support.http_client import request
from tests.support.image_server import get, status
from tests.support.stepped_convert import SteppedConvert

HTTP = {"interface": "127.0.0.1", "port": 0}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, picture: bytes) -> Iterator[DaemonProcess]:
    """A daemon that has stored an image, rendered it once, answered a 404 and refused a call."""
    with running(tmp_path_factory.mktemp("daemon"), {"http": HTTP}) as process:
        process.proxy.store_image(xmlrpc.client.Binary(picture), "a/b.jpg")
        for path in ("/a/b.jpg/w20.png", "/a/b.jpg/w20.png", "/a/b.jpg", "/none.jpg"):
            request(process.http_url, path)
        fault_of(process.proxy.move_image, "none", "c")
        yield process


class PageTests:
    """The pages say what has happened."""

    def test_the_json_is_true(self, daemon: DaemonProcess) -> None:
        status = request(daemon.http_url, "/status.json").json
        assert status["ready"] is True
        assert status["totals"]["images_stored"] == 1
        assert status["totals"]["image_requests"] == [{"format": "png", "count": 1}]
        assert status["totals"]["image_requests_failed"] == 1
        assert {"operation": "move_image", "kind": "BadRequest", "count": 1} in status["totals"][
            "failures"
        ]
        assert status["cache"]["files"] == 1
        assert status["engine_workers"] >= 1
        assert status["replication"] is None
        assert status["last_errors"] == []

    def test_the_text_is_for_people(self, daemon: DaemonProcess) -> None:
        page = request(daemon.http_url, "/status")
        assert page.headers["content-type"] == "text/plain; charset=utf-8"
        assert f"imagepipe {__version__}".encode() in page.body

    def test_the_metrics_parse_and_agree(self, daemon: DaemonProcess) -> None:
        page = request(daemon.http_url, "/metrics")
        samples = {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(page.body.decode())
            for sample in family.samples
        }
        assert samples["imagepipe_images_stored_total",] == 1
        assert samples["imagepipe_ready",] == 1
        assert samples["imagepipe_image_requests_total", "png"] == 1

    @pytest.mark.parametrize("path", ["/healthz", "/readyz"])
    def test_health_is_a_word(self, daemon: DaemonProcess, path: str) -> None:
        page = request(daemon.http_url, path)
        assert (page.status, page.body) == (200, b"ok\n")

    @pytest.mark.parametrize("path", ["/status", "/status.json", "/healthz", "/readyz", "/metrics"])
    def test_they_are_read_and_nothing_else(self, daemon: DaemonProcess, path: str) -> None:
        assert request(daemon.http_url, path, "POST").status == 405
        assert request(daemon.http_url, path, "HEAD").body == b""
        for method in ("GET", "POST", "DELETE"):
            assert request(daemon.http_url, path + "/x", method).status == 404


class BusyTests:
    """Nothing that a thread waits for keeps the pages waiting."""

    def test_all_pages_are_there_while_every_thread_is_busy_the_queue_is_full_and_the_disk_hangs(
        self, tmp_path: Path, picture: bytes, turnstile: SteppedConvert
    ) -> None:
        options: dict[str, dict[str, object]] = {
            "http": HTTP,
            "images": {"engine": "imagemagick", "io_threads": 1, "queue": 2},
            "imagemagick": {"convert": turnstile.convert},
        }
        with running(tmp_path, options) as daemon, ThreadPoolExecutor(4) as clients:
            daemon.proxy.store_image(xmlrpc.client.Binary(picture), "a.jpg")
            with hanging_flushes(daemon) as hangs:
                deletion = clients.submit(lambda: daemon.proxy.delete_image("a.jpg"))
                hangs()
                images = [
                    clients.submit(get, daemon, f"/a.jpg/w{width}.jpg") for width in (10, 20, 30)
                ]
                turnstile.wait_for_arrival()
                eventually(lambda: status(daemon)["queue"]["waiting"] == 2)
                assert get(daemon, "/a.jpg/w40.jpg").status == 429
                for path in (
                    "/healthz",
                    "/readyz",
                    "/status",
                    "/status.json",
                    "/status.json?since=0",
                    "/metrics",
                ):
                    assert get(daemon, path).status == 200
                assert not deletion.done()
                assert not any(image.done() for image in images)
                turnstile.let_through(3)
            assert deletion.result() == "OK"
            assert [image.result().status for image in images] == [200, 200, 200]


@contextlib.contextmanager
def hanging_flushes(daemon: DaemonProcess) -> Iterator[Callable[[], object]]:
    """From now on whoever flushes a file waits, until the end of this; the callable returns when
    somebody waits.
    """
    calls = "fsync,fdatasync"
    command = [
        "strace",
        "-f",
        "-e",
        f"trace={calls}",
        "-e",
        f"inject={calls}:delay_enter=600s",
        "-p",
        str(daemon.process.pid),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as strace:
        stderr = strace.stderr
        assert stderr
        assert b"attached" in stderr.readline()
        # It says the name when the call begins, and ends the line when the call does.
        said = iter(lambda: stderr.read(1), b"")
        try:
            yield lambda: next(letter for letter in said if letter == b"(")
        finally:
            strace.kill()


class GraphiteTests:
    """Graphite receives the names of Image Server, and the last events at the stop."""

    def test_events_and_totals_arrive(self, tmp_path: Path, picture: bytes) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(60)
            options = {
                "http": HTTP,
                "graphite": {"host": "localhost", "port": server.getsockname()[1]},
            }
            with running(tmp_path, options) as process:
                process.proxy.store_image(xmlrpc.client.Binary(picture), "a.jpg")
                request(process.http_url, "/a.jpg/w20.jpg")
                request(process.http_url, "/none.jpg")
                connection, _ = server.accept()
                assert process.stop() == 0
            with connection, connection.makefile() as lines:
                said = dict.fromkeys(line.split()[0] for line in lines)
        for name in ("image_request", "image_request.jpg", "image_request_fail", "store"):
            assert f"stats.image_server.{name}" in said
            assert f"stats.image_server.totals.{name}" in said
