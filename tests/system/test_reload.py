"""SIGHUP to a real daemon: what changes takes effect, what is wrong changes nothing, and no request
notices.
"""

import http.client
import io
import os
import signal
import ssl
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import bcrypt
import pytest
from PIL import Image

from tests.support.blocking_convert import BlockingConvert
from tests.support.certificates import write_certificate
from tests.support.cluster import eventually
from tests.support.concurrent_clients import ConcurrentClients, get, store
from tests.support.daemon_process import PATIENCE_SECONDS, DaemonProcess, running, text
from tests.support.http_client import request
from tests.support.image_server import HTTP, check_log, status

RENDITIONS = ["w16.png", "w32.png", "x24.png", "full_size.png"]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    """A daemon with an image server."""
    with running(tmp_path, HTTP) as daemon:
        yield daemon
        check_log(daemon)


def users(folder: Path, **passwords: str) -> None:
    """Write an htpasswd file."""
    lines = [
        f"{name}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()}\n"
        for name, password in passwords.items()
    ]
    (folder / "users").write_text("".join(lines))


def is_let_in(daemon: DaemonProcess, credentials: str) -> bool:
    """Whether a call with these is answered."""
    try:
        xmlrpc.client.ServerProxy(daemon.url.replace("://", f"://{credentials}@")).list_images()
    except xmlrpc.client.ProtocolError as error:
        return error.errcode != 401
    return True


def certificate(daemon: DaemonProcess) -> str:
    """The one that the daemon presents."""
    parts = urlsplit(daemon.url)
    return ssl.get_server_certificate(
        (parts.hostname or "", parts.port or 0), timeout=PATIENCE_SECONDS
    )


class LoadTests:
    """While requests are under way."""

    def test_a_thousand_requests_that_run_are_answered(
        self, tmp_path: Path, picture: bytes
    ) -> None:
        gate = BlockingConvert(tmp_path / "gate")
        with running(tmp_path, HTTP) as daemon:
            daemon.proxy.store_image(text(picture), "a.jpg")
            gated = {"engine": "imagemagick", "io_threads": 2, "queue": 2000}
            daemon.reload(HTTP | {"images": gated, "imagemagick": {"convert": gate.convert}})
            original = request(daemon.http_url, "/a.jpg").body
            asks = [get(daemon.http_url, f"/a.jpg/{name}", is_png) for name in RENDITIONS] * 24
            asks += [store(daemon.url, picture, "stored/{}.png".format, None, [16, 16])] * 4
            with ConcurrentClients(asks, clients=1000) as crowd:
                crowd.wait_until(lambda: crowd.asked == 1000)
                gate.wait_for_arrival()
                daemon.reload(HTTP | {"images": {"engine": "vips", "io_threads": 3, "queue": 3000}})
                assert crowd.answered == 0
                assert status(daemon)["queue"]["running_max"] == 3
                assert request(daemon.http_url, "/a.jpg").body == original
                gate.open()
                crowd.wait_for(1000)
            assert crowd.wrong == []
            assert len(daemon.proxy.list_images("stored/")) >= 40
            eventually(
                lambda: status(daemon)["engine_workers"] == 3,
                lambda: str(status(daemon)["engine_workers"]),
            )
            assert daemon.stop() == 0
            check_log(daemon)
        gate.remove()

    def test_one_after_the_other_loses_none(self, daemon: DaemonProcess, picture: bytes) -> None:
        daemon.proxy.store_image(text(picture), "a.jpg")
        asks = [
            get(daemon.http_url, "/a.jpg", picture.__eq__),
            get(
                daemon.http_url,
                "/a.jpg/w16.jpg",
                request(daemon.http_url, "/a.jpg/w16.jpg").body.__eq__,
            ),
            store(daemon.url, picture, "stored/{}.jpg".format),
            store(daemon.url, picture, "rendered/{}.jpg".format, None, [8, 8]),
        ]
        with ConcurrentClients(asks, clients=24) as crowd:
            for io_threads in (2, 1, 3):
                crowd.wait_for(60)
                daemon.reload(
                    HTTP | {"images": {"io_threads": io_threads, "quality": 80 + io_threads}}
                )
            for _ in range(3):
                daemon.process.send_signal(signal.SIGHUP)
            crowd.wait_for(200)
        assert crowd.wrong == []
        assert status(daemon)["queue"]["running_max"] == 3


def is_png(body: bytes) -> bool:
    """Whether it is a PNG that can be read."""
    with Image.open(io.BytesIO(body)) as image:
        image.load()
        return image.format == "PNG"


class ChangesTests:
    def test_more_threads_take_effect_and_what_has_been_counted_stays(
        self, daemon: DaemonProcess, picture: bytes
    ) -> None:
        daemon.proxy.store_image(text(picture), "a.jpg")
        before = status(daemon)
        daemon.reload(
            HTTP
            | {
                "images": {"io_threads": 2, "queue": 7},
                "http": {**HTTP["http"], "cache_size": "2 MiB"},
            }
        )
        after = status(daemon)
        assert (
            after["queue"]["running_max"],
            after["queue"]["waiting_max"],
            after["cache"]["bytes_max"],
        ) == (2, 7, 2 << 20)
        assert after["totals"]["images_stored"] == before["totals"]["images_stored"] == 1
        assert after["uptime_seconds"] >= before["uptime_seconds"]
        log = "".join(daemon.log)
        assert "[images] io_threads: 1 -> 2\n" in log
        assert "[http] cache_size: 1073741824 -> 2097152\n" in log
        eventually(lambda: status(daemon)["engine_workers"] == 2)

    def test_a_connection_that_is_kept_goes_on_with_what_is_new(
        self, daemon: DaemonProcess, picture: bytes
    ) -> None:
        daemon.proxy.store_image(text(picture), "a.jpg")
        connection = http.client.HTTPConnection(
            urlsplit(daemon.http_url).netloc, timeout=PATIENCE_SECONDS
        )
        connection.request("GET", "/a.jpg/w20.jpg")
        response = connection.getresponse()
        assert (response.status, len(response.read()) > 0) == (200, True)
        its_own = connection.sock
        daemon.reload({"http": {**HTTP["http"], "outputs": "w10.jpg"}})
        statuses = []
        for name in ("w20.jpg", "w10.jpg"):
            connection.request("GET", f"/a.jpg/{name}")
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)
        assert statuses == [404, 200]
        assert connection.sock is its_own
        connection.close()

    def test_the_image_server_is_turned_off_and_on(
        self, daemon: DaemonProcess, picture: bytes
    ) -> None:
        daemon.proxy.store_image(text(picture), "a.jpg")
        first, url = request(daemon.http_url, "/a.jpg/w20.jpg"), daemon.http_url
        daemon.reload({})
        assert daemon.http_url == ""
        with pytest.raises(ConnectionRefusedError):
            request(url, "/a.jpg")
        daemon.reload(HTTP)
        assert request(daemon.http_url, "/a.jpg/w20.jpg").body == first.body
        assert request(daemon.http_url, "/b.jpg?outputs=w10.jpg", "POST", picture).status == 200
        eventually(lambda: status(daemon)["cache"]["files"] == 2)

    def test_a_new_port_is_listened_on_and_connections_of_the_old_one_go_on(
        self, tmp_path: Path
    ) -> None:
        one, other = tmp_path / "one.sock", tmp_path / "other.sock"
        with running(tmp_path, HTTP | {"network": {"endpoint": f"unix:{one}"}}) as daemon:
            kept = http.client.HTTPConnection(
                urlsplit(daemon.http_url).netloc, timeout=PATIENCE_SECONDS
            )
            kept.request("GET", "/healthz")
            assert kept.getresponse().read() == b"ok\n"
            before = daemon.http_url
            # Written with another backlog it is another endpoint.
            daemon.reload(
                {
                    "http": {"endpoint": "tcp:0:interface=127.0.0.1:backlog=99"},
                    "network": {"endpoint": f"unix:{other}"},
                }
            )
            assert daemon.http_url != before
            kept.request("GET", "/healthz")
            assert kept.getresponse().read() == b"ok\n"
            kept.close()
            with pytest.raises(ConnectionRefusedError):
                request(before, "/healthz")
            assert request(daemon.http_url, "/healthz").status == 200
            assert (one.exists(), other.is_socket()) == (False, True)

    def test_a_port_keeps_its_number_at_another_address(self, tmp_path: Path) -> None:
        with running(tmp_path, HTTP) as daemon:
            url = daemon.http_url
            port = urlsplit(url).port
            for interface in ("0.0.0.0", "127.0.0.1"):
                daemon.reload({"http": {"interface": interface, "port": port}})
                assert daemon.http_url == f"http://{interface}:{port}/"
                assert request(url, "/healthz").status == 200

    def test_another_certificate_is_presented_and_connections_under_the_old_one_go_on(
        self, tmp_path: Path
    ) -> None:
        write_certificate(tmp_path)
        with running(
            tmp_path, {"network": {"tls_certificate": "cert.pem", "tls_key": "key.pem"}}
        ) as daemon:
            old = certificate(daemon)
            assert old == (tmp_path / "cert.pem").read_text()
            trusted = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
            proxy = xmlrpc.client.ServerProxy(daemon.url, context=trusted)
            assert proxy.list_images() == []
            write_certificate(tmp_path)
            daemon.reload()
            assert certificate(daemon) == (tmp_path / "cert.pem").read_text() != old
            assert proxy.list_images() == []  # on its connection: the new one is not trusted
            url = daemon.url
            daemon.reload({})
            assert daemon.url == url.replace("https", "http")
            assert daemon.proxy.list_images() == []
            assert proxy.list_images() == []
            assert daemon.stop() == 0

    def test_users_come_and_go(self, tmp_path: Path) -> None:
        users(tmp_path, ann="first")
        with running(tmp_path, {"network": {"users": "users"}}) as daemon:
            assert is_let_in(daemon, "ann:first")
            users(tmp_path, ann="second", bob="third")
            assert is_let_in(daemon, "ann:first")
            daemon.reload()
            assert [
                is_let_in(daemon, credentials)
                for credentials in ("ann:first", "ann:second", "bob:third")
            ] == [False, True, True]
            daemon.reload({})
            assert daemon.proxy.list_images() == []

    def test_options_that_need_a_restart_are_reported_each_time_and_the_rest_changes(
        self, daemon: DaemonProcess
    ) -> None:
        options = HTTP | {
            "images": {"path": daemon.folder / "elsewhere", "umask": "0077", "io_threads": 2}
        }
        for _ in range(2):
            daemon.reload(options)
            assert status(daemon)["queue"]["running_max"] == 2
        log = "".join(daemon.log)
        assert log.count("elsewhere: takes effect after a restart") == 2
        assert log.count("[images] umask: 0o22 -> 0o77: takes effect after a restart") == 2
        assert log.count("[images] io_threads") == 1
        assert not (daemon.folder / "elsewhere").exists()


class RefusalTests:
    """What cannot be used changes nothing at all."""

    @pytest.mark.parametrize(
        ("options", "why"),
        [
            (
                {"network": {"port": "many"}, "images": {"io_treads": 2}},
                ["port = many: must be a whole number", "did you mean io_threads"],
            ),
            ({"network": {"users": "users"}}, ["users, line 1: expected NAME:BCRYPT-HASH"]),
            (
                {"network": {"tls_certificate": "users", "tls_key": "users"}},
                ["contains no PEM certificate"],
            ),
            ({"replication": {"keys": "keys"}}, ["there is no key file"]),
            (
                {
                    "images": {"engine": "imagemagick"},
                    "imagemagick": {"convert": "/nowhere/convert"},
                },
                ["/nowhere/convert"],
            ),
            (
                {"http": {"endpoint": "unix:/nowhere/socket"}},
                ["cannot listen on unix:/nowhere/socket"],
            ),
            (
                {"http": {"endpoint": "systemd:domain=INET:index=0"}},
                ["no such socket was passed in"],
            ),
        ],
    )
    def test_the_reason_is_given(
        self, daemon: DaemonProcess, options: dict[str, dict[str, object]], why: list[str]
    ) -> None:
        (daemon.folder / "users").write_text("ann:hushhush\n")
        (daemon.folder / "keys").mkdir()
        before = status(daemon)
        daemon.configure(HTTP | {"images": {"io_threads": 5}} | options)
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for_line("keeping the old one")
        eventually(
            lambda: all(reason in "".join(daemon.log) for reason in why),
            lambda: "".join(daemon.log),
        )
        assert "hushhush" not in "".join(daemon.log)
        assert status(daemon)["queue"] == before["queue"]
        assert daemon.proxy.list_images() == []
        daemon.reload(HTTP | {"images": {"io_threads": 2}})
        assert status(daemon)["queue"]["running_max"] == 2

    def test_of_two_new_ports_neither_is_opened_if_one_cannot_be(
        self, daemon: DaemonProcess, tmp_path: Path
    ) -> None:
        good = tmp_path / "good.sock"
        daemon.configure(
            {"network": {"endpoint": f"unix:{good}"}, "http": {"endpoint": "unix:/nowhere/socket"}}
        )
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for_line("keeping the old one")
        assert request(daemon.http_url, "/healthz").status == 200
        assert daemon.proxy.list_images() == []
        assert not good.exists()


class SignalTests:
    """A SIGHUP that comes at no good time."""

    def test_while_the_daemon_starts_or_stops_does_no_harm(self, tmp_path: Path) -> None:
        daemon = DaemonProcess(tmp_path, HTTP)
        try:
            daemon.launch()
            daemon.wait_for_line("twistd .* starting up")
            os.kill(daemon.process.pid, signal.SIGHUP)
            daemon.wait_until_ready()
            os.kill(daemon.process.pid, signal.SIGHUP)
            os.kill(daemon.process.pid, signal.SIGTERM)
            os.kill(daemon.process.pid, signal.SIGHUP)
            assert daemon.wait() == 0
            check_log(daemon)
        finally:
            daemon.clean_up()
