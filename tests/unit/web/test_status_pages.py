"""The pages of an operator, over a real socket; and their text."""

import base64
import hashlib
import http.client
import json
import queue
import re
import threading
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from typing import Any, cast

import pytest
from prometheus_client.parser import text_string_to_metric_families
from twisted.web.resource import Resource

from imagepipe.core.rendering.formats import WEBP
from imagepipe.monitoring.counters import BOUNDS_SECONDS, Counters, Distribution
from imagepipe.monitoring.metrics import registry_of
from imagepipe.monitoring.node_status import NodeStatus, QueueShare
from imagepipe.monitoring.samples import Measurement, Samples
from imagepipe.monitoring.status_reader import StatusReader
from imagepipe.web.http.site import LoggingSite
from imagepipe.web.http.site_content import SiteContent
from imagepipe.web.status_pages import status_pages
from imagepipe.web.status_text import as_text
from tests.support.reactor_thread import PATIENCE_SECONDS, logged, on_reactor, reactor, until
from tests.support.sample_status import BARE, FULL, NORTH, REPLICATION, Jobs

PATHS = ["/healthz", "/readyz", "/status", "/status.json", "/metrics"]


class Node:
    """A node's status pages on a port of loopback, and what its parts say."""

    def __init__(self) -> None:
        self.counters = Counters(lambda: 0.0)
        self.samples = Samples(1000.0, 5.0, 10)
        self.queue = Jobs()
        self.stopping = False
        self.unready: str | None = None
        reader = StatusReader(
            version="1.2",
            seconds=reactor.seconds,
            counters=self.counters,
            queue=self.queue,
            engine_workers=lambda: 2,
            disk=lambda: FULL.disk,
            unready=lambda: self.unready,
            stopping=lambda: self.stopping,
            replication=lambda: REPLICATION,
        )
        root = Resource()
        for name, page in status_pages(
            reader, self.samples.since, registry_of(reader.read, self.counters.durations)
        ).items():
            root.putChild(name, cast(Any, page))
        site = LoggingSite(SiteContent(cast(Any, root), body_bytes_max=1 << 20), reactor.seconds)
        self._port = on_reactor(reactor.listenTCP, 0, site, interface="127.0.0.1")
        self._connections: list[http.client.HTTPConnection] = []

    def ask(
        self, path: str, method: str = "GET", **headers: str
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """The answer and its body."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._port.getHost().port, timeout=PATIENCE_SECONDS
        )
        self._connections.append(connection)
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer, answer.read()

    def close(self) -> None:
        """Listen no more."""
        for connection in self._connections:
            connection.close()
        on_reactor(self._port.stopListening)


@pytest.fixture
def node() -> Iterator[Node]:
    node = Node()
    yield node
    node.close()


class PagesTests:
    """What all pages have in common."""

    @pytest.mark.parametrize("path", PATHS)
    def test_a_page_is_read_as_what_it_is_and_kept_by_nobody(self, node: Node, path: str) -> None:
        answer, body = node.ask(path)
        assert answer.status == 200
        media_type = "application/json" if path == "/status.json" else "text/plain"
        assert answer.headers.get_content_type() == media_type
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Length"] == str(len(body))
        assert body.endswith(b"\n")

    @pytest.mark.parametrize("path", PATHS)
    def test_head_has_the_headers_alone(self, node: Node, path: str) -> None:
        answer, body = node.ask(path, "HEAD")
        assert (answer.status, body) == (200, b"")
        assert int(answer.headers["Content-Length"]) > 0
        assert answer.headers["Cache-Control"] == "no-store"

    @pytest.mark.parametrize("path", PATHS)
    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
    def test_anything_else_is_not_allowed(self, node: Node, path: str, method: str) -> None:
        answer, body = node.ask(path, method)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
        assert json.loads(body) == {"error": "this page allows only GET and HEAD"}

    @pytest.mark.parametrize("path", ["/status/", "/status/a/b", "/metrics/x", "/healthz/w500.jpg"])
    def test_there_is_nothing_below_a_page(self, node: Node, path: str) -> None:
        answer, body = node.ask(path)
        assert answer.status == 404
        assert "error" in json.loads(body)

    def test_the_log_names_the_page(self, node: Node) -> None:
        with logged() as log:
            node.ask("/readyz")
            node.ask("/status/nothing")
            until(lambda: len(log) == 2)
        assert [
            (event["call"], event["path"], event["status"], event["result"]) for event in log
        ] == [
            ("page", "readyz", 200, "OK"),
            ("page", "below status", 404, "Not Found"),
        ]


class BrowserTests:
    """/status where HTML is asked for; what it does in a browser is in
    tests/system/test_status_page.py.
    """

    def test_a_browser_gets_a_page_and_anybody_else_text(self, node: Node) -> None:
        page, body = node.ask("/status", accept="text/html,application/xhtml+xml,*/*;q=0.8")
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert body.startswith(b"<!doctype html>")
        for accept in ("*/*", "text/plain", "application/json"):
            text, _ = node.ask("/status", accept=accept)
            assert text.headers.get_content_type() == "text/plain"
            assert text.headers["Vary"] == page.headers["Vary"] == "accept"

    def test_it_needs_nothing_from_elsewhere_and_may_have_nothing(self, node: Node) -> None:
        answer, body = node.ask("/status", accept="text/html")
        page = body.decode()
        policy = dict(
            part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; ")
        )
        assert policy.pop("connect-src") == "'self'"
        assert policy.pop("img-src") == "data:"
        for element, directive in (("style", "style-src"), ("script", "script-src")):
            [content] = re.findall(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)
            assert page.count(f"</{element}") == page.count(f"<{element}") == 1
            digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
            assert policy.pop(directive) == f"'sha256-{digest}'"
        assert set(policy) == {"default-src", "base-uri", "form-action", "frame-ancestors"}
        assert set(policy.values()) == {"'none'"}
        assert (
            re.findall(
                r"""\s(?:src|href|style|on\w+)=["'](?!data:,)""", page.partition("<script>")[0]
            )
            == []
        )
        assert "innerHTML" not in page

    def test_the_samples_of_the_charts_come_from_a_time_on(self, node: Node) -> None:
        durations = Distribution((0,) * (len(BOUNDS_SECONDS) + 1), 0.0)
        for second in (5, 10, 15):
            node.samples.observe(second, Measurement(durations, second, None, None))
        assert "recent" not in json.loads(node.ask("/status.json")[1])
        recent = json.loads(node.ask("/status.json?since=0")[1])["recent"]
        assert (recent["start"], recent["step_seconds"], recent["waiting_max"]) == (
            1000.0,
            5.0,
            [5, 10, 15],
        )
        later = json.loads(node.ask("/status.json?since=1010")[1])["recent"]
        assert (later["start"], later["waiting_max"]) == (1010.0, [15])

    @pytest.mark.parametrize("since", ["", "yesterday", "nan", "inf", "1e999", "%00", "0x10"])
    def test_an_invalid_time_is_reported(self, node: Node, since: str) -> None:
        answer, body = node.ask(f"/status.json?since={since}")
        assert answer.status == 400
        assert json.loads(body) == {"error": "since: must be a time in seconds since 1970"}


class HealthTests:
    """/healthz and /readyz."""

    def test_a_node_that_is_well_says_ok(self, node: Node) -> None:
        for path in ("/healthz", "/readyz"):
            assert node.ask(path)[1] == b"ok\n"

    @pytest.mark.parametrize(
        ("flag", "value", "word"),
        [
            ("stopping", True, b"the server is stopping\n"),
            ("unready", "the disk is full", b"the disk is full\n"),
        ],
    )
    def test_a_node_that_takes_no_writes_is_healthy_but_not_ready(
        self, node: Node, flag: str, value: bool, word: bytes
    ) -> None:
        setattr(node, flag, value)
        answer, body = node.ask("/readyz")
        assert answer.status == 503
        assert word in body
        assert body.count(b"\n") == 1
        assert node.ask("/healthz")[0].status == 200
        assert json.loads(node.ask("/status.json")[1])["ready"] is False

    def test_no_page_waits_for_a_thread(self, node: Node) -> None:
        released: queue.Queue[None] = queue.Queue()
        pool = on_reactor(reactor.getThreadPool)
        busy = threading.Barrier(pool.max + 1)

        def occupy() -> None:
            busy.wait(PATIENCE_SECONDS)
            released.get(timeout=PATIENCE_SECONDS)

        for _ in range(pool.max):
            on_reactor(reactor.callInThread, occupy)
        try:
            busy.wait(PATIENCE_SECONDS)
            assert [node.ask(path)[0].status for path in PATHS] == [200] * len(PATHS)
        finally:
            for _ in range(pool.max):
                released.put(None)


class StatusJsonTests:
    """/status.json."""

    def test_its_names_are_those_of_the_status(self, node: Node) -> None:
        status = json.loads(node.ask("/status.json")[1])
        assert list(status) == [field.name for field in fields(NodeStatus)]
        assert list(status["totals"]) == list(asdict(FULL.totals))
        assert status["replication"]["upstreams"][0] == asdict(NORTH)
        assert status["disk"] == asdict(FULL.disk)
        assert status["cache"] is None

    def test_it_is_as_things_are_now(self, node: Node) -> None:
        node.counters.image_request(WEBP)
        node.counters.error("fetch", "no answer")
        node.queue.stores, node.queue.renditions = QueueShare(1, 3), QueueShare(2, 4)
        status = json.loads(node.ask("/status.json")[1])
        assert status["totals"]["image_requests"] == [{"format": "webp", "count": 1}]
        assert status["images_being_processed"] == 3
        assert status["queue"] == {
            "running": 3,
            "running_max": 4,
            "waiting": 7,
            "waiting_max": 64,
            "stores": {"running": 1, "waiting": 3},
            "renditions": {"running": 2, "waiting": 4},
        }
        assert status["last_errors"] == [
            {"when": "1970-01-01T00:00:00Z", "what": "fetch", "text": "no answer"}
        ]
        assert status["uptime_seconds"] >= 0


class MetricsTests:
    """/metrics."""

    def test_a_scrape_can_be_read(self, node: Node) -> None:
        node.counters.stored(3)
        text = node.ask("/metrics")[1].decode()
        found = {
            sample.name: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        assert found["imagepipe_images_stored_total"] == 3
        assert found["imagepipe_ready"] == 1
        assert found["process_open_fds"] > 0


class TextTests:
    """The page for a terminal."""

    @pytest.mark.parametrize(
        "line",
        [
            "imagepipe 0.1.0, up 1 d 2 h, NOT READY: the disk is full",
            "CRITICAL:  not ready: the disk is full",
            "WARNING:   changes have been waiting for their bytes for 1 min 1 s (3 now)",
            "images being processed:      2 of 4",
            "stores waiting:              1 of 64",
            "renditions waiting:          2 of 64",
            "originals being downloaded:  1",
            "cache:                       1.0 MiB of 1.0 GiB in 17 files",
            "inodes:                      900 free of 1000 (90 %)",
            "disk:                        25.0 GiB free of 100.0 GiB (25 %), 1.0 s ago",
            "renditions rendered:    23 (jpg 20, webp 3)",
            "originals downloaded:   6, unavailable 1",
            "images:                 100 stored, 11 deleted, 12 moved",
            "failures of store:      2 DiskFull",
            "newest change:                    1000, unreplicated 7",
            "changes waiting for their bytes:  3; waiting for 1 min 1 s",
            "2026-01-01T00:00:01Z  store  the disk is full",
        ],
    )
    def test_everything_is_there_in_columns(self, line: str) -> None:
        assert line in as_text(FULL).splitlines()

    def test_peers_are_tables(self) -> None:
        [heads, north, south] = [
            line.split("  ")
            for line in as_text(FULL).splitlines()
            if line.startswith(("upstream", "img-1 (north)", "tcp:"))
        ]
        assert [cell.strip() for cell in heads if cell] == [
            "upstream",
            "connected",
            "last heard",
            "rows behind",
            "bytes behind",
            "behind for",
            "missed notifications",
            "clock ahead",
        ]
        assert [cell.strip() for cell in north if cell] == [
            "img-1 (north)",
            "yes",
            "0.2 s ago",
            "12",
            "4.0 KiB",
            "3.5 s",
            "2",
            "-0.1 s",
        ]
        assert [cell.strip() for cell in south if cell][1:3] == [
            "no: it is of another cluster",
            "never",
        ]

    def test_what_does_not_run_is_left_out(self) -> None:
        text = as_text(BARE)
        assert "ready" in text.splitlines()[0]
        assert not [
            word for word in ("cache", "upstream", "node:", "last errors", "%") if word in text
        ]

    def test_what_a_peer_calls_itself_moves_no_cursor(self) -> None:
        peer = replace(NORTH, name="\x1b[2Jnorth", refused="a\nb", connected=False)
        text = as_text(
            replace(FULL, replication=replace(REPLICATION, upstreams=(peer,), pending_rows=()))
        )
        assert all(line.isprintable() for line in text.splitlines())
        assert len([line for line in text.splitlines() if "north" in line]) == 1
