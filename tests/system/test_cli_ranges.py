"""`imagepipe process` and `pull` against a real daemon, and a server that has originals."""

import http.server
import threading
from collections.abc import Iterator

import pytest

from tests.support.command_line import Terminal, against, port_of, run
from tests.support.daemon_process import PATIENCE_SECONDS, DaemonProcess, running
from tests.support.image_server import get, renders

COUNT = 1000


@pytest.fixture(scope="module")
def originals(picture: bytes) -> Iterator[str]:
    """The URL of a server that has an original for each id but those that end in 3. Their bytes
    differ, or one rendition would do for all.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            has_it = not self.path.removesuffix(".jpg").endswith("3")
            body = picture + self.path.encode() if has_it else b""
            self.send_response(200 if has_it else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join(PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def daemon(
    tmp_path_factory: pytest.TempPathFactory, originals: str, picture: bytes
) -> Iterator[DaemonProcess]:
    """A daemon that adopted an original for each of the ids 0 to 999 in the namespace p."""
    folder = tmp_path_factory.mktemp("daemon")
    options: dict[str, dict[str, object]] = {
        "http": {
            "interface": "127.0.0.1",
            "port": 0,
            "source_base": f"{originals}/base",
            "sources": f"{originals}/new/",
            "allow_private_sources": "yes",
        },
        "images": {"io_threads": 2},
    }
    process = DaemonProcess(folder, options)
    for id in range(COUNT):
        (process.images / "p" / str(id)).mkdir(parents=True)
        (process.images / "p" / str(id) / "original").write_bytes(picture + b"%d" % id)  # as above
    assert run("adopt", "-c", process.config).status == 0
    with running(folder, options) as process:
        yield process


class ProcessTests:
    def test_a_range_killed_half_way_is_continued_with_nothing_rendered_twice(
        self, daemon: DaemonProcess
    ) -> None:
        before = renders(daemon)
        state = daemon.folder / "range.state"
        arguments = [
            "process",
            "--port",
            port_of(daemon),
            "--namespace",
            "p",
            "--outputs",
            "w5.jpg",
            "--start",
            "0",
            "--end",
            str(COUNT - 1),
        ]
        with Terminal(*arguments, "--state", state) as terminal:
            # it moves, and is half-way
            terminal.read_until(r"(?s) [1-9]\d*/1000 +[\d.]+/s .*left +\d+:\d\d.* ([3-9]\d\d)/1000")
            terminal.process.kill()
            terminal.process.wait(PATIENCE_SECONDS)
        assert state.exists()
        with Terminal(*arguments, "--state", state) as terminal:
            status, seen = terminal.end()
        assert status == 0
        assert "continuing: " in seen
        assert "1000/1000" in seen
        assert not state.exists()
        assert renders(daemon) - before == COUNT
        assert get(daemon, f"/p/{COUNT - 1}/w5.jpg").status == 200
        assert renders(daemon) - before == COUNT

    def test_a_line_a_record_says_what_was_done_and_failures_are_listed(
        self, daemon: DaemonProcess
    ) -> None:
        arguments = (
            "--namespace",
            "p",
            "--outputs",
            "w6.jpg,x7.webp",
            "--start",
            "998",
            "--end",
            "1003",
        )
        first = against(daemon, "process", *arguments)
        assert first.status == 1
        assert sorted(row[:2] for row in first.rows) == [
            ["p/1000", "rendered"],
            ["p/1001", "rendered"],
            ["p/1002", "rendered"],
            ["p/1003", "failed"],
            ["p/998", "rendered"],
            ["p/999", "rendered"],
        ]
        assert "imagepipe: p/1003: [1000] " in first.err
        assert "1 failed, 5 rendered" in first.err
        second = against(daemon, "process", *arguments)
        assert (second.status, [row[0] for row in second.rows]) == (1, ["p/1003"])
        third = against(daemon, "process", *arguments, "--restart")
        assert sorted(row[1] for row in third.rows) == ["cached"] * 5 + ["failed"]

    @pytest.mark.parametrize("name", ["w5.tiff", "w1001.jpg", "w5.nosuch"])
    def test_a_name_that_the_daemon_makes_no_rendition_of_ends_it_before_the_first_id(
        self, daemon: DaemonProcess, name: str
    ) -> None:
        done = against(
            daemon,
            "process",
            "--namespace",
            "p",
            "--outputs",
            f"w5.jpg,{name}",
            "--start",
            "0",
            "--end",
            "999",
        )
        assert (done.status, done.rows) == (1, [])
        [line] = done.err.splitlines()
        assert line.startswith("imagepipe: [1000] rendition: ")


class PullTests:
    def test_a_range_is_fetched_from_the_source_base(self, daemon: DaemonProcess) -> None:
        done = against(daemon, "pull", "--namespace", "q", "--start", "1", "--end", "5")
        assert done.status == 1
        assert sorted(row[:2] for row in done.rows) == [
            ["q/1", "fetched"],
            ["q/2", "fetched"],
            ["q/3", "failed"],
            ["q/4", "fetched"],
            ["q/5", "fetched"],
        ]
        assert "not at its source" in done.err
        assert daemon.proxy.list_images("q/") == [f"q/{id}/original" for id in (1, 2, 4, 5)]
        again = against(
            daemon, "pull", "--namespace", "q", "--start", "1", "--end", "5", "--restart"
        )
        assert sorted(row[1] for row in again.rows) == [
            "failed",
            "stored",
            "stored",
            "stored",
            "stored",
        ]

    def test_or_from_a_source_with_the_id_in_it(
        self, daemon: DaemonProcess, originals: str
    ) -> None:
        done = against(
            daemon,
            "pull",
            "--namespace",
            "r",
            "--start",
            "1",
            "--end",
            "2",
            "--source",
            f"{originals}/new/{{id}}.jpg",
        )
        assert (done.status, daemon.proxy.list_images("r/")) == (
            0,
            ["r/1/original", "r/2/original"],
        )
        refused = against(
            daemon,
            "pull",
            "--namespace",
            "s",
            "--start",
            "1",
            "--end",
            "1",
            "--source",
            f"{originals}/elsewhere/{{id}}.jpg",
        )
        assert refused.status == 1
        assert "sources" in refused.err
