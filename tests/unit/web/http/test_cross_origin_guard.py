"""What both ports refuse to a stranger's web page, over a site in memory, with the resources that a
daemon has there.
"""

import socket
from collections.abc import Mapping
from typing import Any, cast

import pytest

from imagepipe.web.http.cross_origin_guard import CrossOriginGuard, host_rule
from imagepipe.web.root import Root
from imagepipe.web.welcome import HTTP, XML_RPC, welcome
from tests.support.browser import Browser
from tests.support.http_responses import answer
from tests.support.pages import CountingPage

NAMES = [
    "localhost",
    "127.0.0.1:7000",
    "[::1]:7000",
    "imagepipe",
    "a.internal",
    "images.example.org",
    socket.gethostname(),
]
STRANGERS = [
    "evil.example",
    "evil.example:7000",
    "localhost.evil.example",
    "127.0.0.1.nip.io",
    "",
    "localhost@evil.example",
]
RULE = host_rule("[http] hosts", ["images.example.org"])


class Port:
    """A port with a status page and something else behind it; `others` and `page` count what
    reaches them.
    """

    def __init__(self, guard: str, strangers: CrossOriginGuard) -> None:
        self.others, self.page = CountingPage(), CountingPage()
        self.page.isLeaf = False
        pages: Mapping[bytes, Any] = {b"status": self.page}
        self._root = Root(welcome(HTTP), cast(Any, self.others), pages, strangers.admit_page)
        self._guard = getattr(strangers, guard)

    def ask(
        self,
        method: str = "POST",
        target: str = "/a",
        host: str | None = "localhost",
        **headers: str,
    ) -> int:
        """The status of the answer, on a connection of its own."""
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        hosts = [] if host is None else [f"Host: {host}"]
        version = "1.0" if host is None else "1.1"
        browser = Browser(self._root)
        browser.site.content.guard = self._guard
        browser.send(
            "\r\n".join(
                [f"{method} {target} HTTP/{version}", *hosts, *lines, "Connection: close", "", ""]
            ).encode("latin-1")
        )
        self.heard = answer(browser.heard, method)
        return self.heard.status


def images(rule: Any = RULE) -> Port:
    """The image server's."""
    return Port("admit_write", CrossOriginGuard(rule))


def methods(rule: Any = RULE) -> Port:
    """That of XML-RPC."""
    return Port("admit_call", CrossOriginGuard(rule))


class WriteTests:
    @pytest.mark.parametrize("port", [images, methods])
    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "get"])
    def test_a_page_of_another_origin_cannot_write(self, port: Any, method: str) -> None:
        for headers in (
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://localhost:7000"},
            {"Sec_Fetch_Site": "cross-site"},
            {"Sec_Fetch_Site": "same-site", "Origin": "http://localhost"},
        ):
            for rule in (RULE, None):
                asked = port(rule)
                assert asked.ask(method, **headers) == 403, headers
                assert b"sent by a web page of another origin" in asked.heard.body
                assert asked.others.asked == 0

    @pytest.mark.parametrize("port", [images, methods])
    def test_the_servers_own_page_and_a_program_can(self, port: Any) -> None:
        for headers in (
            {},
            {"Origin": "http://localhost"},
            {"Origin": "https://localhost", "Sec_Fetch_Site": "same-origin"},
            {"Sec_Fetch_Site": "none"},
        ):
            assert port().ask(**headers) == 200, headers

    @pytest.mark.parametrize("port", [images, methods])
    def test_without_users_a_name_that_was_rebound_reaches_nothing(self, port: Any) -> None:
        for host in STRANGERS:
            asked = port()
            assert (
                asked.ask(host=host, Origin=f"http://{host}", Sec_Fetch_Site="same-origin") == 403
            ), host
            assert asked.ask(host="localhost", target="http://evil.example/a") == 403
            assert asked.others.asked == 0
        for host in NAMES:
            assert port().ask(host=host, Origin=f"http://{host}") == 200, host
            assert port().ask(host="evil.example", target=f"http://{host}/a") == 200, host
        assert port().ask(host=None) == 200

    def test_the_option_that_would_let_it_in_is_named(self) -> None:
        port = images()
        assert port.ask(host="images.example.com") == 403
        assert (
            port.heard.body
            == b"images.example.com is not a known name of this server; if it should be, add it to"
            b" [http] hosts\n"
        )

    @pytest.mark.parametrize("port", [images, methods])
    def test_with_users_the_name_does_not_matter_because_the_password_does(self, port: Any) -> None:
        for host in (*NAMES, "evil.example", "images.example.com"):
            assert port(None).ask(host=host) == 200

    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
    def test_reading_an_image_is_for_everyone(self, method: str) -> None:
        for host in (*NAMES, *STRANGERS):
            assert (
                images().ask(
                    method, host=host, Origin="http://evil.example", Sec_Fetch_Site="cross-site"
                )
                == 200
            )


class StatusPageTests:
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_a_name_that_was_rebound_does_not_reach_it(self, method: str) -> None:
        for host in STRANGERS:
            for target in ("/status", "/status?since=1", "/%73tatus"):
                port = images()
                assert port.ask(method, target, host) == 403, (host, target)
                assert (port.page.asked, port.others.asked) == (0, 0)
            assert images().ask(method, "http://evil.example/status", "localhost") == 403

    def test_it_says_which_option_lets_a_name_in(self) -> None:
        port = images()
        port.ask("GET", "/status", "evil.example")
        assert "add it to [http] hosts" in port.heard.json["error"]
        assert port.heard.headers["content-type"] == "application/json"

    def test_a_name_of_the_server_does(self) -> None:
        for host in NAMES:
            port = images()
            assert port.ask("GET", "/status", host) == 200
            assert port.page.asked == 1
        assert images().ask("GET", "/status", None) == 200
        assert images().ask("GET", "http://localhost/status", "evil.example") == 200

    def test_with_users_so_does_any(self) -> None:
        assert images(None).ask("GET", "/status", "evil.example") == 200


class MediaTypeTests:
    @pytest.mark.parametrize(
        "type", ["text/xml", "application/xml", "TEXT/XML; charset=utf-8", " text/xml ;x", ""]
    )
    def test_an_xml_rpc_call_is_xml(self, type: str) -> None:
        assert methods().ask(Content_Type=type) == 200
        assert methods().ask() == 200

    @pytest.mark.parametrize(
        "type",
        [
            "text/plain",
            "text/plain; charset=text/xml",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/json",
            "text/xml, text/plain",
            "text/plain, text/xml",
            "text/xmlx",
            "xml",
            "image/svg+xml",
        ],
    )
    def test_what_a_form_or_a_page_could_send_is_415(self, type: str) -> None:
        port = methods()
        assert port.ask(Content_Type=type) == 415
        assert port.others.asked == 0

    def test_the_image_server_takes_any(self) -> None:
        assert images().ask(Content_Type="text/plain") == 200


class WelcomeTests:
    """`GET /`."""

    @pytest.mark.parametrize("host", [*NAMES, *STRANGERS])
    def test_it_is_a_sentence_or_for_a_browser_a_page(self, host: str) -> None:
        port = images()
        assert port.ask("GET", "/", host) == 200
        assert port.heard.body.startswith(HTTP.encode())
        assert port.heard.body.count(b"\n") == 1
        assert port.heard.headers["content-type"] == "text/plain; charset=utf-8"
        port = images()
        assert port.ask("GET", "/?utm=x", host, Accept="text/html,*/*") == 200
        assert port.heard.headers["content-type"] == "text/html; charset=utf-8"
        assert b"<title>imagepipe</title>" in port.heard.body
        assert b"Documentation: README.md" in port.heard.body
        assert port.others.asked == 0

    def test_head_has_no_body(self) -> None:
        port = images()
        assert port.ask("HEAD", "/") == 200
        assert int(port.heard.headers["content-length"]) > 0

    @pytest.mark.parametrize("target", ["//", "/a", "/%2f", "a", "*"])
    def test_every_other_path_is_none_of_its_business(self, target: str) -> None:
        port = images()
        port.ask("GET", target)
        assert port.others.asked == 1

    def test_nor_is_a_call(self) -> None:
        port = methods()
        assert port.ask("POST", "/") == 200
        assert port.others.asked == 1

    def test_a_port_says_what_it_is_for(self) -> None:
        assert "XML-RPC" in XML_RPC
        assert "XML-RPC" not in HTTP
