"""What web pages of strangers can do to a daemon, in a real browser and over real sockets:
nothing.
"""

import base64
import contextlib
import http.server
import json
import socket
import threading
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import bcrypt
import pytest

from tests.support.chromium import Page, opened
from tests.support.daemon_process import DaemonProcess, running, text
from tests.support.http_client import request
from tests.support.image_server import HTTP, get

PAGES = ("status", "status.json", "metrics", "healthz", "readyz")
KEPT = "keep.jpg"

ATTACKS = """
const parameter = (value) => '<param><value><string>' + value + '</string></value></param>';
const call = (method, ...values) =>
    '<?xml version="1.0"?><methodCall><methodName>' + method + '</methodName>'
    + '<params>' + values.map(parameter).join('') + '</params></methodCall>';
const calls = (name) => [
    call('store_image', image, 'evil/' + name),
    call('delete_image', kept),
    call('admin.erase', kept),
];
const blind = (more) => ({mode: 'no-cors', ...more});
const results = [];
const tried = async (name, attack) => {
    try {
        await attack();
        results.push(name + ' sent');
    } catch (error) {
        results.push(name + ' blocked');
    }
};
const post = (url, body, more) => fetch(url, {method: 'POST', body, ...more});
const open = (url, body, type) => new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('POST', url);
    if (type) request.setRequestHeader('Content-Type', type);
    request.onload = resolve;
    request.onerror = reject;
    request.send(body);
});
const submit = (url, encoding, name, value) => new Promise((resolve) => {
    const frame = document.createElement('iframe');
    frame.name = 'frame' + document.querySelectorAll('iframe').length;
    document.body.appendChild(frame);
    const form = document.body.appendChild(document.createElement('form'));
    Object.assign(form, {method: 'POST', action: url, enctype: encoding, target: frame.name});
    const field = form.appendChild(document.createElement('textarea'));
    Object.assign(field, {name, value});
    frame.onload = resolve;
    form.submit();
});
(async () => {
    for (const body of calls('call.jpg')) {
        for (const type of ['text/plain', 'text/xml', 'application/xml']) {
            const headers = {'Content-Type': type};
            await tried('fetch ' + type, () => post(methods, body, blind({headers})));
        }
        const blob = new Blob([body]);
        await tried('fetch', () => post(methods, blob, blind({credentials: 'include'})));
        await tried('cors', () => post(methods, body, {headers: {'Content-Type': 'text/xml'}}));
        const noReferrer = blind({referrerPolicy: 'no-referrer'});
        await tried('no referrer', () => post(methods, blob, noReferrer));
        await tried('redirected', () => post('/to?' + methods, blob, blind()));
        await tried('xhr', () => open(methods, body));
        await tried('xhr xml', () => open(methods, body, 'text/xml'));
        await tried('xhr blob', () => open(methods, new Blob([body])));
        await tried('beacon', () => navigator.sendBeacon(methods, new Blob([body])));
        await tried('beacon text', () => navigator.sendBeacon(methods, body));
        const [name, ...rest] = body.split('=');
        const encoded = 'application/x-www-form-urlencoded';
        for (const encoding of ['text/plain', 'multipart/form-data', encoded])
            await tried('form ' + encoding, () => submit(methods, encoding, name, rest.join('=')));
    }
    const blob = new Blob([bytes]);
    const target = images + 'evil/post';
    const source = images + 'evil/source?source=http://127.0.0.1/';
    for (const more of [blind(), {}, blind({referrerPolicy: 'no-referrer'})])
        await tried('post', () => post(target, blob, more));
    await tried('post redirected', () => post('/to?' + target, blob, blind()));
    await tried('post empty', () => post(source, null, blind()));
    await tried('xhr post', () => open(target, blob));
    await tried('beacon post', () => navigator.sendBeacon(target, blob));
    await tried('form post', () => submit(target, 'multipart/form-data', 'image', 'x'));
    for (const page of %(pages)s)
        await tried('read ' + page, async () => {
            const answer = await fetch(images + page);
            if (answer.status !== 403) seen.push(page + ' ' + answer.status);
        });
    document.title = results.length + ' attacks, seen: ' + seen.join();
})();
"""


class Stranger:
    """A web server with one page, which runs `script`; what is posted to it, it redirects."""

    def __init__(self, port: int = 0) -> None:
        stranger = self
        self.script = ""

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = f"<!doctype html><body><script>{stranger.script}</script>".encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                self.send_response(307)
                self.send_header("Location", self.path.partition("?")[2])
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.server_port

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """A daemon without users."""
    with running(
        tmp_path_factory.mktemp("daemon"), {"images": {"io_threads": 2}, **HTTP}
    ) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    """One to which every name below `example` is this machine."""
    with opened("--host-resolver-rules=MAP *.example 127.0.0.1") as page:
        yield page


def attack(browser: Page, daemon: DaemonProcess, picture: bytes, host: str) -> str:
    """The title of a page of this host once it has tried everything on the daemon."""
    stranger = Stranger()
    try:
        stranger.script = ";".join(
            [
                f"const methods = {json.dumps(daemon.url)}",
                f"const images = {json.dumps(daemon.http_url)}",
                f"const image = {json.dumps(base64.b64encode(picture).decode())}",
                f"const kept = {json.dumps(KEPT)}",
                (
                    "const bytes = Uint8Array.from(atob(image), (letter) => letter.charCodeAt(0)),"
                    " seen = []"
                ),
                ATTACKS % {"pages": json.dumps(PAGES)},
            ]
        )
        browser.go(f"http://{host}:{stranger.port}/")
        browser.wait_for(lambda: "attacks" in browser.title)
        return browser.title
    finally:
        stranger.close()


def named(url: str, name: str) -> str:
    """The URL with another host."""
    return f"http://{name}:{urlsplit(url).port}/"


class BrowserTests:
    """Chromium, and a page that tries all that browsers let a page send."""

    @pytest.mark.parametrize("host", ["evil.example", "127.0.0.1"])
    def test_a_page_of_another_origin_changes_nothing(
        self, browser: Page, daemon: DaemonProcess, picture: bytes, host: str
    ) -> None:
        """Of another site, or of another port of this machine."""
        daemon.proxy.store_image(text(picture), KEPT)
        assert attack(browser, daemon, picture, host) == "58 attacks, seen:"
        assert daemon.proxy.list_images() == [KEPT]
        assert get(daemon, f"/{KEPT}").body == picture
        refused = [line for line in daemon.log if " POST " in line and " 403 " in line]
        assert len(refused) > 30, "the attacks did not even arrive"

    def test_nor_does_one_whose_name_leads_here(
        self, browser: Page, daemon: DaemonProcess, picture: bytes
    ) -> None:
        """Scripts of an origin whose name resolves to the daemon's address. A 404 and a 405 of its
        own stand for the page that they came with.
        """
        daemon.proxy.store_image(text(picture), KEPT)
        call = xmlrpc.client.dumps((KEPT,), "delete_image")
        for url, body in ((daemon.url, call), (daemon.http_url, "x")):
            browser.go(named(url, "rebound.example") + "nothing")
            statuses = browser.run(f"""const answers = [];
                for (const path of {json.dumps(["", "evil", *PAGES])})
                    for (const method of ['GET', 'POST']) {{
                        const request = new XMLHttpRequest();
                        request.open(method, '/' + path, false);
                        if (method === 'POST') request.setRequestHeader('Content-Type', 'text/xml');
                        request.send(method === 'POST' ? {json.dumps(body)} : null);
                        answers.push([method, path, request.status]);
                    }}
                return answers""")
            posts = {status for method, _, status in statuses if method == "POST"}
            assert posts == {403}
            if url == daemon.http_url:
                assert {
                    path: status
                    for method, path, status in statuses
                    if method == "GET" and path in PAGES
                } == dict.fromkeys(PAGES, 403)
        assert daemon.proxy.list_images() == [KEPT]


class SocketTests:
    """Both ports, as programs see them."""

    @pytest.mark.parametrize("page", PAGES)
    def test_a_status_page_needs_a_name_that_nobody_else_can_have(
        self, daemon: DaemonProcess, page: str
    ) -> None:
        assert get(daemon, f"/{page}").status == 200
        assert get(daemon, f"/{page}", Host="localhost").status == 200
        refused = get(daemon, f"/{page}", Host="images.example.org")
        assert refused.status == 403
        assert "add it to [http] hosts" in refused.json["error"]

    def test_the_page_of_a_port_is_there_under_any_name(self, daemon: DaemonProcess) -> None:
        for url, words in ((daemon.url, b"XML-RPC"), (daemon.http_url, b"serves images")):
            for host in ("localhost", "images.example.org"):
                found = request(url, "/", Host=host)
                assert found.status == 200
                assert words in found.body
                assert request(url, "/", "HEAD", Host=host).status == 200

    def test_a_name_is_let_in_by_its_option_at_a_reload_and_never_where_there_are_users(
        self, tmp_path: Path, picture: bytes
    ) -> None:
        (tmp_path / "users").write_text(
            f"ann:{bcrypt.hashpw(b'sesame', bcrypt.gensalt(4)).decode()}\n"
        )
        basic = "Basic " + base64.b64encode(b"ann:sesame").decode()
        name = "images.example.org"
        evil = {"Origin": "http://evil.example"}

        def answers(daemon: DaemonProcess, **headers: str) -> tuple[int, int, int]:
            call = xmlrpc.client.dumps((), "list_images").encode()
            return (
                request(
                    daemon.url, "/", "POST", call, Content_Type="text/xml", Host=name, **headers
                ).status,
                request(daemon.http_url, "/posted", "POST", picture, Host=name, **headers).status,
                request(daemon.http_url, "/status", Host=name).status,
            )

        with running(tmp_path, HTTP) as daemon:
            assert answers(daemon) == (403, 403, 403)
            daemon.reload(
                {"network": {"hosts": f"other.example.org, {name.upper()}."}, "http": HTTP["http"]}
            )
            assert answers(daemon) == (200, 403, 403)
            daemon.reload({"http": HTTP["http"] | {"hosts": name}})
            assert answers(daemon) == (403, 200, 200)
            assert answers(daemon, **evil) == (403, 403, 200)
            daemon.reload({"network": {"users": "users"}, "http": HTTP["http"]})
            assert answers(daemon) == (401, 401, 200)
            assert answers(daemon, Authorization=basic) == (200, 200, 200)
            assert answers(daemon, Authorization=basic, **evil) == (403, 403, 200)
            assert answers(daemon, Authorization=basic, Sec_Fetch_Site="same-site") == (
                403,
                403,
                200,
            )

    def test_two_hosts_or_none_are_400_on_both_ports(
        self, daemon: DaemonProcess, picture: bytes
    ) -> None:
        daemon.proxy.store_image(text(picture), "hosts.jpg")
        # so that it is in memory, and answered at once
        assert get(daemon, "/hosts.jpg").status == 200
        for url in (daemon.url, daemon.http_url):
            for method in ("GET", "POST"):
                for hosts in (
                    "",
                    "Host: localhost\r\nHost: localhost\r\n",
                    "host: localhost\r\nX: y\r\nHOST: evil.example\r\n",
                ):
                    said = f"{method} /hosts.jpg HTTP/1.1\r\n{hosts}Content-Length: 0\r\n\r\n"
                    assert exchanged(url, said).startswith(b"HTTP/1.1 400 "), said
                    assert exchanged(url, said.replace("Content-Length: 0\r\n", "")).startswith(
                        b"HTTP/1.1 400 "
                    ), said

    @pytest.mark.parametrize(
        "type",
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"],
    )
    def test_a_call_that_is_not_xml_is_415(self, daemon: DaemonProcess, type: str) -> None:
        answered = request(
            daemon.url,
            "/RPC2",
            "POST",
            xmlrpc.client.dumps((), "list_images").encode(),
            Content_Type=type,
        )
        assert answered.status == 415
        assert b"text/xml or application/xml" in answered.body


def exchanged(url: str, said: str) -> bytes:
    """What a server says to these bytes, until it closes the connection."""
    parts = urlsplit(url)
    with contextlib.closing(
        socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60)
    ) as client:
        client.sendall(said.encode())
        return b"".join(iter(lambda: client.recv(1 << 16), b""))
