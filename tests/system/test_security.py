"""Users, TLS and the bounds on a request, over real sockets."""

import base64
import http.client
import socket
import ssl
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import bcrypt
import pytest

from tests.support.certificates import write_certificate
from tests.support.daemon_process import DaemonProcess, fault_of, running, text


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """A daemon with TLS and one user, ann, whose password is `open sesame`."""
    folder = tmp_path_factory.mktemp("guarded")
    write_certificate(folder)
    (folder / "users").write_text(
        f"ann:{bcrypt.hashpw(b'open sesame', bcrypt.gensalt(4)).decode()}\n"
    )
    with running(
        folder,
        {
            "network": {
                "users": "users",
                "tls_certificate": "cert.pem",
                "tls_key": "key.pem",
                "max_request": "1 MiB",
            }
        },
    ) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """A daemon that takes requests of up to 1 MiB and sources of up to 64 KiB."""
    with running(
        tmp_path_factory.mktemp("small"),
        {"network": {"max_request": "1 MiB"}, "images": {"max_bytes": "64 KiB"}},
    ) as daemon:
        yield daemon


def tls(daemon: DaemonProcess) -> ssl.SSLContext:
    """Trusts the daemon's certificate and nothing else."""
    return ssl.create_default_context(cafile=str(daemon.folder / "cert.pem"))


class UsersTests:
    def test_the_right_password_is_let_in_over_tls(
        self, guarded: DaemonProcess, picture: bytes
    ) -> None:
        url = guarded.url.replace("https://", "https://ann:open%20sesame@")
        proxy = xmlrpc.client.ServerProxy(url, context=tls(guarded))
        assert proxy.store_image(text(picture), "a.jpg") == "OK"
        assert proxy.list_images() == ["a.jpg"]

    @pytest.mark.parametrize(
        "credentials",
        [
            "",
            "ann:wrong@",
            "bob:open%20sesame@",
            "ann:@",
            ":@",
            "ann:open%20sesame%00@",
            "ann:" + "x" * 500 + "@",
        ],
    )
    def test_anything_else_is_401(self, guarded: DaemonProcess, credentials: str) -> None:
        proxy = xmlrpc.client.ServerProxy(
            guarded.url.replace("https://", "https://" + credentials), context=tls(guarded)
        )
        with pytest.raises(xmlrpc.client.ProtocolError) as error:
            proxy.list_images()
        assert error.value.errcode == 401

    @pytest.mark.parametrize(
        "header",
        ["Basic", "Basic !!!", "Bearer x", "Basic " + base64.b64encode(b"ann").decode(), "\xff"],
    )
    def test_a_malformed_header_is_401(self, guarded: DaemonProcess, header: str) -> None:
        parts = urlsplit(guarded.url)
        connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, context=tls(guarded)
        )
        connection.request("POST", "/", b"<methodCall/>", {"Authorization": header})
        assert connection.getresponse().status == 401

    def test_no_secret_is_in_the_log(self, guarded: DaemonProcess) -> None:
        assert "sesame" not in "".join(guarded.log)

    def test_plain_http_gets_nothing(self, guarded: DaemonProcess) -> None:
        parts = urlsplit(guarded.url)
        with socket.create_connection((parts.hostname or "", parts.port or 0)) as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            assert b"HTTP" not in client.recv(100)

    def test_a_users_file_with_other_hashes_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "users").write_text("ann:{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=\n")
        daemon = DaemonProcess(tmp_path, {"network": {"users": "users"}})
        daemon.launch()
        assert daemon.wait() == 1
        assert "line 1" in "".join(daemon.log)
        assert "VBPuJHI" not in "".join(daemon.log)


class TlsEndpointTests:
    """`endpoint = ssl:...`, which brings a certificate of its own."""

    def test_it_serves_clients_with_and_without_alpn_and_is_logged_as_https(
        self, tmp_path: Path
    ) -> None:
        write_certificate(tmp_path)
        ssl_endpoint = (
            f"ssl:0:interface=127.0.0.1:privateKey={tmp_path}/key.pem:certKey={tmp_path}/cert.pem"
        )
        with running(
            tmp_path, {"network": {"endpoint": ssl_endpoint}, "http": {"endpoint": ssl_endpoint}}
        ) as daemon:
            for url, status in ((daemon.url, 405), (daemon.http_url, 404)):
                assert url.startswith("https://127.0.0.1:")
                for protocols in ([], ["http/1.1"], ["h2", "http/1.1"]):
                    context = tls(daemon)
                    if protocols:
                        context.set_alpn_protocols(protocols)
                    connection = http.client.HTTPSConnection(urlsplit(url).netloc, context=context)
                    connection.request("GET", "/nothing")
                    assert connection.getresponse().status == status
                    connection.close()
            assert "anyone who can reach" not in "".join(daemon.log)


class BoundTests:
    def test_a_body_that_is_announced_too_large_is_413_at_once(self, small: DaemonProcess) -> None:
        with connected(small) as client:
            client.sendall(
                b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length:"
                b" 99999999999\r\n\r\n"
            )
            assert client.recv(1000).startswith(b"HTTP/1.1 413 ")

    def test_a_client_that_sends_first_and_listens_then_reads_413(
        self, small: DaemonProcess
    ) -> None:
        parts = urlsplit(small.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
        connection.request("POST", "/", bytes(20_000_000))
        assert connection.getresponse().status == 413

    def test_a_chunked_body_is_bounded_as_it_arrives(self, small: DaemonProcess) -> None:
        with connected(small) as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(20):
                client.sendall(b"10000\r\n" + bytes(0x10000) + b"\r\n")
            client.sendall(b"0\r\n\r\n")
            answer = client.makefile("rb").read()
            assert answer.startswith(b"HTTP/1.1 413 ")
            assert answer.count(b"HTTP/1.1") == 1

    def test_a_chunked_call_works(self, small: DaemonProcess, picture: bytes) -> None:
        body = xmlrpc.client.dumps((text(picture), "chunked.jpg"), "store_image").encode()
        parts = urlsplit(small.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
        connection.request(
            "POST",
            "/",
            iter([body[:100], body[100:]]),
            {"Content-Type": "text/xml"},
            encode_chunked=True,
        )
        assert xmlrpc.client.loads(connection.getresponse().read())[0][0] == "OK"

    def test_an_image_over_max_bytes_is_fault_1000(
        self, small: DaemonProcess, picture: bytes
    ) -> None:
        for size in (None, [10, 10]):
            fault = fault_of(
                small.proxy.store_image, text(picture + bytes(70_000)), "a.jpg", None, size
            )
            assert (fault.faultCode, "max_bytes" in fault.faultString) == (1000, True)

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/RPC2"),
            ("HEAD", "/RPC2"),
            ("PUT", "/"),
            ("DELETE", "/"),
            ("OPTIONS", "/"),
            ("NONSENSE", "/"),
        ],
    )
    def test_other_methods_are_refused(self, small: DaemonProcess, method: str, path: str) -> None:
        parts = urlsplit(small.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
        connection.request(method, path)
        assert connection.getresponse().status in (405, 501)

    def test_garbage_does_not_end_the_daemon(self, small: DaemonProcess) -> None:
        for garbage in (
            b"\x00" * 1000,
            b"GET\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
            b"x" * 100_000,
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nx",
        ):
            with connected(small) as client:
                client.sendall(garbage)
        assert small.proxy.list_images("nothing") == []


def connected(daemon: DaemonProcess) -> socket.socket:
    """A plain connection to the daemon."""
    parts = urlsplit(daemon.url)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60)
