"""Originals that a daemon fetches by itself, from servers on loopback that are slow, huge, lying or
worse.
"""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from imagepipe.core.requests import signing
from tests.support.cluster import Cluster, Options, eventually, mesh
from tests.support.daemon_process import DaemonProcess, running, text
from tests.support.gradients import encoded, gradient
from tests.support.hostile_server import Exchange, HostileServer
from tests.support.http_client import request
from tests.support.image_server import (
    HTTP,
    check_log,
    connected,
    get,
    post,
    status,
    wait_for_renditions,
)
from tests.support.source_server import (
    Answer,
    HeldAnswer,
    SourceServer,
    send,
    send_and_hold,
    send_for_ever,
    send_raw,
)

BYTES_MAX = 1 << 20
CLIENTS = 100
GROWTH_KIB = 64 * 1024


@pytest.fixture(scope="module")
def source() -> Iterator[SourceServer]:
    """The server that the tests share."""
    source = SourceServer()
    with source.server:
        yield source


@contextmanager
def fetching(folder: Path, source: SourceServer, **http: object) -> Iterator[DaemonProcess]:
    """A daemon whose source_base is `source`, below /originals; `http` are more options."""
    options: Options = {
        "http": HTTP["http"] | {"source_base": f"{source.url}/originals/"} | http,
        "images": {"max_bytes": BYTES_MAX, "io_threads": 2},
    }
    with running(folder, options) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, source: SourceServer
) -> Iterator[DaemonProcess]:
    """One that the tests share, where a client may name what is below /allowed."""
    with fetching(
        tmp_path_factory.mktemp("server"),
        source,
        sources=f"{source.url}/allowed",
        allow_private_sources="yes",
    ) as daemon:
        yield daemon
        check_log(daemon)


@pytest.fixture(scope="module")
def hasty(
    tmp_path_factory: pytest.TempPathFactory, source: SourceServer
) -> Iterator[DaemonProcess]:
    """One that waits for a second."""
    options: Options = {
        "http": HTTP["http"] | {"source_base": source.url},
        "images": {"timeout": "1 s"},
    }
    with running(tmp_path_factory.mktemp("hasty"), options) as daemon:
        yield daemon
        check_log(daemon)


class FetchTests:
    """A GET of what nobody here has heard of."""

    @pytest.mark.parametrize("ending", ["w10.png", "original", "info.json", "full_size.auto"])
    def test_the_original_is_fetched_once_and_stored(
        self, server: DaemonProcess, source: SourceServer, folder: str, picture: bytes, ending: str
    ) -> None:
        source.answers[f"/originals/{folder}/a%20b"] = send(200, picture, "Content-Type: text/html")
        answers = [
            get(server, f"/{folder}/a%20b/{path}")
            for path in (ending, ending, "w10.png", "original", "info.json")
        ]
        assert [answer.status for answer in answers] == [200] * 5
        assert answers[0].body == answers[1].body
        assert (
            answers[3].body == picture == (server.images / folder / "a b" / "original").read_bytes()
        )
        assert answers[4].json == server.proxy.image_info(f"{folder}/a b/original")
        assert source.asked_for(f"/originals/{folder}/a%20b") == 1

    def test_it_is_fetched_once_however_many_ask(
        self, server: DaemonProcess, source: SourceServer, folder: str, picture: bytes
    ) -> None:
        source.answers[f"/originals/{folder}"] = held = HeldAnswer(send(200, picture))
        paths = [
            f"/{folder}/{ending}"
            for _ in range(CLIENTS // 4)
            for ending in ("w10.png", "w11.png", "original", "info.json")
        ]
        before = status(server)["totals"]["originals_downloaded"]
        with ThreadPoolExecutor(CLIENTS) as clients:
            answers = [clients.submit(get, server, path) for path in paths]
            held.wait()
            eventually(lambda: status(server)["originals_being_downloaded"] == 1)
            held.released.set()
            answered = [answer.result() for answer in answers]
        assert {answer.status for answer in answered} == {200}
        assert len({answer.body for answer in answered}) == 4
        assert source.asked_for(f"/originals/{folder}") == 1
        totals = status(server)
        assert (totals["totals"]["originals_downloaded"], totals["originals_being_downloaded"]) == (
            before + 1,
            0,
        )

    def test_a_request_during_the_store_does_not_fetch_it_again(
        self, server: DaemonProcess, source: SourceServer, folder: str
    ) -> None:
        """Clients that ask all the time, while the answer comes: some look before it is stored and
        go on after it.
        """
        images = {
            f"/originals/{folder}/{n}": encoded(gradient(20 + n, 20), "PNG") for n in range(20)
        }
        source.answers |= {path: send(200, image) for path, image in images.items()}

        def ask(path: str) -> int:
            return get(server, path.removeprefix("/originals") + "/original").status

        with ThreadPoolExecutor(8) as clients:
            assert set(clients.map(ask, [path for path in images for _ in range(10)])) == {200}
        assert [source.asked_for(path) for path in images] == [1] * len(images)

    def test_a_head_fetches_too(
        self, server: DaemonProcess, source: SourceServer, folder: str, picture: bytes
    ) -> None:
        source.answers[f"/originals/{folder}"] = send(200, picture)
        assert request(server.http_url, f"/{folder}/original", "HEAD").headers[
            "content-length"
        ] == str(len(picture))

    def test_nothing_is_fetched_for_a_rendition_that_is_not_made_here(
        self, server: DaemonProcess, source: SourceServer, folder: str
    ) -> None:
        paths = {
            "a.jpg": 404,
            "original": 404,
            "w10": 404,
            "w5000.jpg/": 404,
            "w5000.jpg": 406,
            "x10.bmp": 406,
            "%2e%2e/w10.jpg": 400,
            ".a/w10.jpg": 404,
            "a.php/w10.jpg": 404,
        }
        answers = {
            path: get(server, f"/{folder}/{path}" if path != "original" else "/original").status
            for path in paths
        }
        assert answers == paths
        assert source.asked_for("/originals/" + folder) == 0
        assert not any(folder in request.decode() for request in source.server.requests)

    def test_what_is_there_is_not_fetched(
        self, server: DaemonProcess, source: SourceServer, folder: str, picture: bytes
    ) -> None:
        server.proxy.store_image(text(picture), f"{folder}/a.jpg")
        assert [
            get(server, f"/{folder}/a.jpg/{path}").status
            for path in ("w10.png", "info.json", "original")
        ] == [200, 200, 404]
        assert not any(folder in request.decode() for request in source.server.requests)

    def test_a_fetch_goes_on_though_its_client_has_gone(
        self, server: DaemonProcess, source: SourceServer, folder: str, picture: bytes
    ) -> None:
        source.answers[f"/originals/{folder}"] = held = HeldAnswer(send(200, picture))
        with connected(server) as client:
            client.sendall(f"GET /{folder}/w10.png HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            held.wait()
        held.released.set()
        eventually((server.images / folder / "original").exists)
        assert (
            source.asked_for(f"/originals/{folder}"),
            get(server, f"/{folder}/original").body,
        ) == (1, picture)

    def test_only_a_limited_number_is_fetched_at_once_and_the_rest_is_refused(
        self, server: DaemonProcess, source: SourceServer, folder: str, picture: bytes
    ) -> None:
        held = HeldAnswer(send(200, picture))
        source.answers |= {f"/originals/{folder}/{n}": held for n in range(100)}
        with ThreadPoolExecutor(100) as clients:
            answers = [clients.submit(get, server, f"/{folder}/{n}/original") for n in range(64)]
            eventually(lambda: status(server)["originals_being_downloaded"] == 64)
            refused = get(server, f"/{folder}/64/original")
            assert (refused.status, refused.headers["retry-after"]) == (429, "1")
            assert get(server, "/healthz").status == 200
            held.released.set()
            # the queue of renders takes as many as it has room for
            assert {answer.result().status for answer in answers} <= {200, 429}
        assert get(server, f"/{folder}/64/original").status == 200

    def test_what_is_fetched_reaches_the_other_nodes(
        self, tmp_path: Path, source: SourceServer, folder: str, picture: bytes
    ) -> None:
        source.answers[f"/originals/{folder}"] = send(200, picture)
        with_base = {"a": {"http": {"source_base": f"{source.url}/originals"}}}
        with Cluster(tmp_path, mesh("a", "b"), HTTP, each=with_base) as nodes:
            assert get(nodes["b"], f"/{folder}/w10.png").status == 404
            assert get(nodes["a"], f"/{folder}/w10.png").status == 200
            assert get(nodes["b"], f"/{folder}/w10.png").status == 200
            nodes.wait_until_all_have({f"{folder}/original": picture})
        assert source.asked_for(f"/originals/{folder}") == 1

    def test_nothing_is_fetched_without_the_required_signature(
        self, tmp_path: Path, source: SourceServer, folder: str, picture: bytes
    ) -> None:
        source.answers[f"/originals/{folder}"] = send(200, picture)
        with fetching(tmp_path, source, secrets="a-secret-of-some-length") as daemon:
            statuses = [
                get(daemon, f"/{folder}/{path}").status
                for path in ("w10.png", "w10.png?signature=00", "original", "info.json")
            ]
            assert statuses == [401, 403, 404, 404]
            assert source.asked_for(f"/originals/{folder}") == 0
            signature = signing.sign("a-secret-of-some-length", f"/{folder}/w10.png", "")
            assert get(daemon, f"/{folder}/w10.png?signature={signature}").status == 200
            assert get(daemon, f"/{folder}/original").body == picture


class FailureTests:
    """A server that does not give it."""

    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            (404, 404),
            (410, 404),
            (403, 502),
            (401, 502),
            (500, 502),
            (503, 502),
            (204, 502),
            (206, 502),
            (304, 502),
            (999, 502),
        ],
    )
    def test_its_status_is_reported(
        self,
        server: DaemonProcess,
        source: SourceServer,
        folder: str,
        picture: bytes,
        code: int,
        expected: int,
    ) -> None:
        source.answers[f"/originals/{folder}"] = send(code, picture)
        before = status(server)["totals"]
        check_refused(server, folder, expected)
        after = status(server)["totals"]
        assert after["originals_unavailable"] - before["originals_unavailable"] == (
            3 if expected == 404 else 0
        )
        assert after["originals_downloaded"] == before["originals_downloaded"]
        source.answers[f"/originals/{folder}"] = send(200, picture)
        assert get(server, f"/{folder}/w10.png").status == 200  # it is asked again

    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            (send(200, b"<html><body>Not here</body></html>", "Content-Type: text/html"), 415),
            (
                send(200, b"<svg xmlns='http://www.w3.org/2000/svg'/>", "Content-Type: image/png"),
                415,
            ),
            (send(200, b"\xff\xd8\xff\xe0" + b"\x55" * 200), 422),
            (send(200, b""), 502),
            (send(200, b"x" * 100, "Content-Encoding: gzip"), 502),
            (send_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n\xff\xd8\xff"), 502),
            (
                send_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 9\r\n\r\n12345"),
                502,
            ),
            (send_raw(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n12345"), 502),
            (send_raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"), 502),
            (send_raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n"), 502),
            (send_and_hold(b"HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n"), 413),
            (
                send_and_hold(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n"
                ),
                413,
            ),
            (send_raw(b"SSH-2.0-OpenSSH_9.2\r\n"), 502),
            (send_raw(), 502),
            (lambda exchange: exchange.reset(), 502),
        ],
        ids=range(15),
    )
    def test_a_source_without_an_image_stores_nothing(
        self,
        server: DaemonProcess,
        source: SourceServer,
        folder: str,
        answer: Answer,
        expected: int,
    ) -> None:
        source.answers[f"/originals/{folder}"] = answer
        check_refused(server, folder, expected)

    @pytest.mark.parametrize(
        "begin",
        [
            b"",
            b"HTTP/1.1 200 OK\r\nA: b",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n\xff\xd8",
            b"HTTP/1.1 302 Found\r\n",
        ],
    )
    def test_one_that_is_slow_is_504(
        self, hasty: DaemonProcess, source: SourceServer, folder: str, begin: bytes
    ) -> None:
        source.answers[f"/{folder}"] = send_and_hold(begin)
        with ThreadPoolExecutor(10) as clients:
            answers = list(
                clients.map(
                    lambda path: get(hasty, path),
                    [f"/{folder}/{ending}" for ending in ("w10.png", "original", "info.json")] * 3,
                )
            )
        assert {(answer.status, "within 1 s" in answer.json["error"]) for answer in answers} == {
            (504, True)
        }
        assert not (hasty.images / folder).exists()

    def test_one_that_sends_byte_by_byte_is_504(
        self, hasty: DaemonProcess, source: SourceServer, folder: str
    ) -> None:
        def drip(exchange: Exchange) -> None:
            exchange.send(b"HTTP/1.1 200 OK\r\n\r\n\xff\xd8\xff")
            exchange.drip(b"x")

        source.answers[f"/{folder}"] = drip
        assert get(hasty, f"/{folder}/w10.png").status == 504

    @pytest.mark.parametrize(
        ("begin", "piece", "expected"),
        [
            (b"HTTP/1.1 200 OK\r\n\r\n\xff\xd8\xff", bytes(1 << 16), 413),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"10000\r\n" + bytes(1 << 16) + b"\r\n",
                413,
            ),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 1000, 502),
            (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n" * 1000, 502),
            (b"HTTP/1.1 200 OK\r\nA: ", b"b" * 1000, 502),
            (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, 502),
        ],
        ids=["body", "chunks", "tiny chunks", "headers", "a header", "interim answers"],
    )
    def test_one_that_never_ends_is_cut_off_and_costs_no_memory(
        self,
        server: DaemonProcess,
        source: SourceServer,
        folder: str,
        begin: bytes,
        piece: bytes,
        expected: int,
    ) -> None:
        source.answers |= {
            f"/originals/{folder}/{n}": send_for_ever(begin, piece) for n in range(20)
        }
        before = peak_kib(server)
        with ThreadPoolExecutor(20) as clients:
            answers = list(
                clients.map(lambda n: get(server, f"/{folder}/{n}/original").status, range(20))
            )
        assert answers == [expected] * 20
        assert peak_kib(server) - before < GROWTH_KIB
        assert get(server, "/healthz").status == 200

    def test_an_unreachable_source_is_502(self, tmp_path: Path) -> None:
        with SourceServer().server as gone:
            url = f"http://{gone.netloc}"
        with running(tmp_path, {"http": HTTP["http"] | {"source_base": url}}) as daemon:
            check_refused(daemon, "a", 502)
            daemon.proxy.store_image(text(encoded(gradient(9, 9), "PNG")), "b/original")
            assert get(daemon, "/b/w5.png").status == 200

    @pytest.mark.parametrize(
        "location",
        [
            "http://127.0.0.1:{other}/secret",
            "http://[::ffff:127.0.0.1]:{other}/secret",
            "http://[::1]:{other}/secret",
            "http://0x7f000001:{other}/secret",
            "http://2130706433:{other}/secret",
            "http://127.1:{other}/secret",
            "http://localhost:{other}/secret",
            "http://127.0.0.1:{port}/secret",
            "/secret",
            "/originals/../secret",
            "/originals/%2e%2e/secret",
            "//localhost:{other}/secret",
            "http://[::ffff:127.0.0.1]:{port}/originals/secret",
            "http://localhost:{port}/originals/secret",
            "http://a@127.0.0.1:{port}/originals/secret",
            "http://127.0.0.1:{port}\\@127.0.0.1:{other}/originals/secret",
            "https://127.0.0.1:{port}/originals/secret",
            "file:///etc/passwd",
            "ftp://127.0.0.1:{other}/secret",
            "gopher://127.0.0.1:{other}/_secret",
            "http://169.254.169.254/latest/meta-data",
            "",
        ],
    )
    def test_a_redirect_to_elsewhere_is_502_and_nobody_is_called(
        self,
        server: DaemonProcess,
        source: SourceServer,
        folder: str,
        picture: bytes,
        location: str,
    ) -> None:
        with HostileServer(send(200, picture)) as other:
            where = location.format(other=other.port, port=source.server.port)
            source.answers[f"/originals/{folder}"] = send(302, b"", f"Location: {where}")
            source.answers["/secret"] = source.answers["/originals/secret"] = send(200, picture)
            answer = get(server, f"/{folder}/w10.png")
            assert answer.status == 502
            assert "secret" not in answer.body.decode()
            assert other.untouched()
        assert source.asked_for("/secret") + source.asked_for("/originals/secret") == 0

    def test_a_redirect_that_stays_below_source_base_is_followed(
        self, server: DaemonProcess, source: SourceServer, folder: str, picture: bytes
    ) -> None:
        source.answers[f"/originals/{folder}"] = send(301, b"", f"Location: {folder}-2")
        source.answers[f"/originals/{folder}-2"] = send(
            302, b"", f"Location: {source.url}/allowed/{folder}"
        )
        source.answers[f"/allowed/{folder}"] = send(200, picture)
        assert get(server, f"/{folder}/original").body == picture

    def test_a_redirect_without_end_is_502(
        self, server: DaemonProcess, source: SourceServer, folder: str
    ) -> None:
        source.answers[f"/originals/{folder}"] = send(302, b"", f"Location: /originals/{folder}")
        check_refused(server, folder, 502)


class DeletionTests:
    """What was deleted stays deleted."""

    @pytest.mark.parametrize("deleted", ["{}/original", "{}"])
    def test_it_is_404_at_once_and_not_asked_for(
        self, server: DaemonProcess, source: SourceServer, folder: str, picture: bytes, deleted: str
    ) -> None:
        source.answers[f"/originals/{folder}"] = send(200, picture)
        assert server.proxy.delete_image(deleted.format(folder)) == "OK"
        for ending in ("w10.png", "original", "info.json"):
            assert get(server, f"/{folder}/{ending}").status == 404
        assert source.asked_for(f"/originals/{folder}") == 0

    def test_also_once_it_was_fetched(
        self, server: DaemonProcess, source: SourceServer, folder: str, picture: bytes
    ) -> None:
        source.answers[f"/originals/{folder}"] = send(200, picture)
        assert get(server, f"/{folder}/w10.png").status == 200
        assert server.proxy.delete_image(f"{folder}/original") == "OK"
        assert [
            get(server, f"/{folder}/{ending}").status
            for ending in ("w10.png", "original", "info.json")
        ] == [404] * 3
        assert source.asked_for(f"/originals/{folder}") == 1

    def test_also_while_it_is_fetched(
        self, server: DaemonProcess, source: SourceServer, folder: str, picture: bytes
    ) -> None:
        source.answers[f"/originals/{folder}"] = held = HeldAnswer(send(200, picture))
        with ThreadPoolExecutor(10) as clients:
            answers = [
                clients.submit(get, server, f"/{folder}/{ending}")
                for ending in ["w10.png", "original", "info.json"] * 3
            ]
            held.wait()
            assert server.proxy.delete_image(f"{folder}/original") == "OK"
            held.released.set()
            assert {answer.result().status for answer in answers} == {404}
        assert not (server.images / folder).exists()
        assert source.asked_for(f"/originals/{folder}") == 1

    def test_what_is_stored_while_it_is_fetched_is_not_replaced(
        self, server: DaemonProcess, source: SourceServer, folder: str, picture: bytes
    ) -> None:
        mine = encoded(gradient(30, 30), "PNG")
        source.answers[f"/originals/{folder}"] = held = HeldAnswer(send(200, picture))
        with ThreadPoolExecutor(1) as clients:
            answer = clients.submit(get, server, f"/{folder}/original")
            held.wait()
            assert post(server, f"/{folder}", mine).status == 200
            held.released.set()
            assert answer.result().body == mine
        assert get(server, f"/{folder}/original").body == mine

    def test_a_post_can_store_it_again(
        self, server: DaemonProcess, source: SourceServer, folder: str, picture: bytes
    ) -> None:
        assert server.proxy.delete_image(f"{folder}/original") == "OK"
        source.answers[f"/allowed/{folder}"] = send(200, picture)
        assert post(server, f"/{folder}?source={source.url}/allowed/{folder}", b"").status == 200
        assert get(server, f"/{folder}/original").body == picture


class NamedTests:
    """`source=` of a POST."""

    def test_what_is_below_a_source_is_stored_and_the_body_does_not_count(
        self, server: DaemonProcess, source: SourceServer, folder: str, picture: bytes
    ) -> None:
        source.answers[f"/allowed/{folder}/a%20b?x=1&y=2"] = send(200, picture)
        url = f"{source.url}/allowed/{folder}/a%2520b%3Fx=1%26y=2"
        before = status(server)["totals"]["originals_downloaded"]
        for body in (b"", b"text"):
            answer = post(server, f"/{folder}?outputs=w10.png&source={url}", body)
            assert (answer.status, answer.json["path"]) == (200, f"{folder}/original")
        assert get(server, f"/{folder}/original").body == picture
        assert status(server)["totals"]["originals_downloaded"] == before + 2

    def test_it_replaces_what_is_there_and_outputs_are_rendered_of_it(
        self, tmp_path: Path, source: SourceServer, picture: bytes
    ) -> None:
        with fetching(tmp_path, source, sources=source.url, allow_private_sources="yes") as daemon:
            assert (
                post(daemon, "/a?outputs=w10.png", encoded(gradient(30, 30), "PNG")).status == 200
            )
            source.answers["/b"] = send(200, picture)
            assert post(daemon, f"/a?outputs=w10.png&source={source.url}/b", b"").status == 200
            wait_for_renditions(daemon, 2)
            assert get(daemon, "/a/original").body == picture

    def test_each_failure_has_its_status_and_leaves_what_is_there(
        self, server: DaemonProcess, source: SourceServer, folder: str, picture: bytes
    ) -> None:
        assert post(server, f"/{folder}", picture).status == 200
        failures = {
            404: send(404),
            415: send(200, b"text"),
            422: send(200, b"GIF89a"),
            502: send(500),
            413: send(200, bytes(BYTES_MAX + 1)),
        }
        for expected, answer in failures.items():
            source.answers[f"/allowed/{folder}"] = answer
            refused = post(
                server, f"/{folder}?outputs=w10.png&source={source.url}/allowed/{folder}", b""
            )
            assert (refused.status, set(refused.json)) == (expected, {"error"}), refused
        assert get(server, f"/{folder}/original").body == picture

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("{source}/allowedx/a", 403),
            ("{source}/allowed-not", 403),
            ("{source}/", 403),
            ("{source}/other/allowed/a", 403),
            ("{source}/allowed/../a", 403),
            ("{source}/allowed/%252e%252e/a", 403),
            ("{source}/allowed/..;/a", 403),
            ("{source}//allowed/a", 400),
            ("{source}/ALLOWED/a", 403),
            ("http://127.0.0.1/allowed/a", 403),
            ("http://localhost:{port}/allowed/a", 403),
            ("http://127.1:{port}/allowed/a", 403),
            ("http://[::ffff:127.0.0.1]:{port}/allowed/a", 403),
            ("https://127.0.0.1:{port}/allowed/a", 403),
            ("http://127.0.0.1:{port}@example.org/allowed/a", 400),
            ("http://user@127.0.0.1:{port}/allowed/a", 400),
            ("file:///etc/passwd", 400),
            ("ftp://127.0.0.1:{port}/allowed/a", 400),
            ("/allowed/a", 400),
            ("127.0.0.1:{port}/allowed/a", 400),
            ("{source}/allowed/a%23b", 400),
            ("{source}/allowed/a%0d%0aHost:%20x", 400),
            ("{source}/allowed/a%5C..", 400),
            ("%ff", 400),
            ("{source}/allowed/a&source={source}/allowed/b", 400),
            ("{source}/allowed/" + "x" * 9000, 400),
        ],
    )
    def test_anything_else_is_refused_and_not_asked_for(
        self,
        server: DaemonProcess,
        source: SourceServer,
        folder: str,
        picture: bytes,
        url: str,
        expected: int,
    ) -> None:
        before = len(source.server.requests)
        answer = post(
            server,
            f"/{folder}?source={url.format(source=source.url, port=source.server.port)}",
            picture,
        )
        assert (answer.status, set(answer.json)) == (expected, {"error"}), answer
        assert len(source.server.requests) == before
        assert not (server.images / folder).exists()

    def test_a_private_address_is_refused_unless_it_is_allowed(self, tmp_path: Path) -> None:
        hosts = (
            "127.0.0.1",
            "localhost",
            "0x7f000001",
            "127.1",
            "0",
            "[::ffff:127.0.0.1]",
            "[::1]",
        )
        base = SourceServer()
        with HostileServer(send(200)) as other, base.server:
            urls = [f"http://{host}:{other.port}/a" for host in hosts]
            with running(
                tmp_path,
                {"http": HTTP["http"] | {"sources": ", ".join(urls), "source_base": base.url}},
            ) as daemon:
                for url in urls:
                    named = post(daemon, f"/a?source={url}", b"")
                    assert (named.status, str(other.port) in named.body.decode()) == (403, False)
                    base.answers["/a"] = send(302, b"", f"Location: {url}")
                    assert get(daemon, "/a/w10.png").status == 502
            assert other.untouched()
        assert base.asked_for("/a") == len(hosts)

    def test_without_sources_nothing_may_be_named(
        self, hasty: DaemonProcess, source: SourceServer
    ) -> None:
        before = len(source.server.requests)
        assert post(hasty, f"/a?source={source.url}/a", b"").status == 403
        assert len(source.server.requests) == before


class EndTests:
    """A daemon that ends while it fetches."""

    def test_stopped_it_answers_and_killed_it_has_stored_nothing(
        self, tmp_path: Path, source: SourceServer, picture: bytes
    ) -> None:
        options: Options = {
            "http": HTTP["http"] | {"source_base": source.url},
            "images": {"timeout": "1 s"},
        }
        for end in ("stop", "kill"):
            source.answers["/a"] = held = HeldAnswer(send(200, picture))
            with running(tmp_path, options) as daemon, ThreadPoolExecutor(1) as clients:
                answer = clients.submit(get, daemon, "/a/w10.png")
                held.wait()
                if end == "stop":
                    assert daemon.stop() == 0
                    assert answer.result().status == 504
                else:
                    daemon.kill()
                    assert answer.exception()
            held.released.set()
        source.answers["/a"] = send(200, picture)
        with running(tmp_path, {"http": options["http"]}) as daemon:
            assert daemon.proxy.list_images() == []
            assert get(daemon, "/a/original").body == picture


def check_refused(server: DaemonProcess, folder: str, expected: int) -> None:
    """All that could have it fetched is answered with this status and a short reason, and nothing
    is stored.
    """
    for ending in ("w10.png", "original", "info.json"):
        answer = get(server, f"/{folder}/{ending}")
        assert (answer.status, set(answer.json)) == (expected, {"error"}), answer
        assert len(answer.body) < 300
    assert not (server.images / folder).exists()


def peak_kib(daemon: DaemonProcess) -> int:
    """The most memory that it has had."""
    found = re.search(
        r"VmHWM:\s+([0-9]+) kB", Path(f"/proc/{daemon.process.pid}/status").read_text()
    )
    assert found
    return int(found[1])
