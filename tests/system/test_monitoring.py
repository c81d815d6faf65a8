"""A real daemon, as its operator sees it: the pages, Prometheus' metrics, and what Graphite is told."""

import socket
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_process import DaemonProcess, fault_of, running
from http_client import request
from prometheus_client.parser import text_string_to_metric_families

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
        assert {"operation": "move_image", "kind": "BadRequest", "count": 1} in status["totals"]["failures"]
        assert status["cache"]["files"] == 1
        assert status["engine_workers"] >= 1
        assert status["replication"] is None
        assert status["last_errors"] == []

    def test_the_text_is_for_people(self, daemon: DaemonProcess) -> None:
        page = request(daemon.http_url, "/status")
        assert page.headers["content-type"] == "text/plain; charset=utf-8"
        assert b"imagepipe 0.1.0" in page.body

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


class GraphiteTests:
    """Graphite is told the seed's names, the last of it at the stop."""

    def test_events_and_totals_arrive(self, tmp_path: Path, picture: bytes) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(60)
            options = {"http": HTTP, "graphite": {"host": "localhost", "port": server.getsockname()[1]}}
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
