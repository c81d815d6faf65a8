"""Requests of strangers' web pages, told from those of clients."""

import pytest

from imagepipe.core.requests.cross_origin import (
    Authority,
    HostRule,
    RequestOrigin,
    cross_origin,
    parse_authority,
    untrusted_host,
)

RULE = HostRule("[network] hosts", frozenset({"images.example.org", "node-1.example.net"}))


class CrossOriginTests:
    @pytest.mark.parametrize(
        ("host", "origin"),
        [
            ("127.0.0.1:8085", "http://127.0.0.1:8085"),
            ("images.example.org", "https://images.example.org"),  # TLS ends at a proxy
            ("images.example.org", "http://images.example.org"),
            ("images.example.org", "http://images.example.org:80"),
            ("images.example.org:443", "https://images.example.org"),
            ("images.example.org:8443", "https://images.example.org:8443"),
            ("Images.Example.ORG", "HTTPS://images.example.org."),
            ("images.example.org.:", "https://images.example.org"),
            ("[::1]:8085", "http://[0:0:0:0:0:0:0:1]:8085"),
            ("localhost:7000", "http://localhost:7000"),
        ],
    )
    def test_the_servers_own_origin_passes(self, host: str, origin: str) -> None:
        assert cross_origin(RequestOrigin(host, origins=[origin])) is None
        assert (
            cross_origin(RequestOrigin(host, origins=[origin, origin], fetch_sites=["same-origin"]))
            is None
        )

    @pytest.mark.parametrize("host", ["127.0.0.1:8085", "images.example.org", "", None])
    @pytest.mark.parametrize("sites", [[], ["same-origin"], ["none"], ["None "]])
    def test_a_request_without_an_origin_passes(self, host: str | None, sites: list[str]) -> None:
        assert cross_origin(RequestOrigin(host, fetch_sites=sites)) is None

    @pytest.mark.parametrize(
        "origin",
        [
            "http://evil.example",
            "null",
            "",
            "http://",
            "http://images.example.org:8085",
            "https://images.example.org:80",
            "http://images.example.org.evil.example",
            "http://evil.images.example.org",
            "http://images.example.org@evil.example",
            "http://evil.example@images.example.org",
            "http://evil.example\\@images.example.org",
            "http://evil.example http://images.example.org",
            "http://images.example.org, http://evil.example",
            "http://images.example.org/",
            "http://images.example.org#",
            "chrome-extension://images.example.org",
            "file://",
            "images.example.org",
            "http://images.example.org\u3002",
            "http://[images.example.org]",
        ],
    )
    def test_any_other_origin_is_refused(self, origin: str) -> None:
        for host in ("images.example.org", "", None):
            assert cross_origin(RequestOrigin(host, origins=[origin]))
            assert cross_origin(
                RequestOrigin(
                    host, origins=["http://images.example.org", origin], fetch_sites=["same-origin"]
                )
            )

    @pytest.mark.parametrize(
        "sites",
        [
            ["cross-site"],
            ["same-site"],
            [""],
            ["other"],
            ["same-origin", "cross-site"],
            ["same-origin, none"],
        ],
    )
    def test_so_is_what_the_browser_calls_cross_site(self, sites: list[str]) -> None:
        assert cross_origin(RequestOrigin("a", fetch_sites=sites))
        assert cross_origin(RequestOrigin("a", origins=["http://a"], fetch_sites=sites))

    def test_an_absolute_target_counts_for_the_host(self) -> None:
        assert cross_origin(
            RequestOrigin("evil.example", "http://127.0.0.1:8085/RPC2", ["http://evil.example"])
        )
        assert (
            cross_origin(
                RequestOrigin(
                    "evil.example", "http://127.0.0.1:8085/RPC2", ["http://127.0.0.1:8085"]
                )
            )
            is None
        )


class HostTests:
    @pytest.mark.parametrize(
        "host",
        [
            "127.0.0.1",
            "127.0.0.1:8085",
            "10.1.2.3",
            "8.8.8.8:1",
            "[::1]:8085",
            "[2001:db8::1]",
            "[fe80::1%eth0]:8085",
            "[fe80::1%25eth0]",
            "[::ffff:127.0.0.1]",
            "localhost",
            "LOCALHOST.:7000",
            "imagepipe",
            "my_service:8085",
            "node-1",
            "a.internal",
            "printer.local",
            "a.b.lan",
            "localhost.localdomain",
            "nas.home.arpa",
            "x.test",
            "images.default.svc.cluster.local:8085",
            "127.0.0.1.",
            "images.example.org",
            "Images.EXAMPLE.org.:8085",
            "node-1.example.net:443",
            "internal",
            "2130706433",
            "a:",
        ],
    )
    def test_a_name_that_no_stranger_can_have_passes(self, host: str) -> None:
        assert untrusted_host(RequestOrigin(host), RULE) is None

    @pytest.mark.parametrize(
        "host",
        [
            "evil.example",
            "evil.example:8085",
            "evil.example.",
            "images.example.org.evil.example",
            "evil.images.example.org",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "eviltest.example",
            "evil.xtest",
            "home.arpa",
            "app.localhost",
            "127.1",
            "127.0.0.1.nip.io",
            "0x7f.0.0.1",
            "127.000.000.001",
            "1.2.3.4.5",
            "internal.evil.example",
            "x.notlocal",
        ],
    )
    def test_a_name_that_a_stranger_may_have_is_refused_and_the_option_named(
        self, host: str
    ) -> None:
        why = untrusted_host(RequestOrigin(host), RULE)
        assert why
        assert "add it to [network] hosts" in why
        assert why.isascii()
        assert not {'"', "\\", "\n"} & set(why)

    @pytest.mark.parametrize(
        "host",
        [
            "",
            ".",
            "..",
            ":",
            ":80",
            "a..b",
            "a.b..",
            ".local",
            "evil.example, localhost",
            "localhost localhost",
            "localhost@evil.example",
            "evil.example@localhost",
            "user:password@localhost",
            "localhost/",
            "localhost/.evil.example",
            "localhost#",
            "localhost?",
            "local\x00host",
            "localhost:80:80",
            "localhost:x",
            "localhost:-1",
            "localhost:123456",
            "::1",
            "[::1",
            "::1]",
            "[::1]x",
            "[]",
            "[g::1]",
            "[:::]",
            "[127.0.0.1]",
            "[v1.x]",
            "[127.0.0.1.evil.example]",
            "[::1]evil.example",
            "loc\u0430lhost",
            "localhost\u3002",
            "%6cocalhost",
            "*",
            "a" * 301,
        ],
    )
    def test_an_invalid_name_is_too(self, host: str) -> None:
        assert untrusted_host(RequestOrigin(host), RULE) == "the Host header is malformed"

    def test_a_program_of_the_last_century_has_no_host(self) -> None:
        assert untrusted_host(RequestOrigin(None), RULE) is None

    @pytest.mark.parametrize("scheme", ["http", "HTTPS", "ftp", "x+y.z-1"])
    def test_an_absolute_target_counts_for_the_host(self, scheme: str) -> None:
        for rest in ("", "/", "?x", "#x"):
            assert untrusted_host(
                RequestOrigin("127.0.0.1", f"{scheme}://evil.example{rest}"), RULE
            )
            assert (
                untrusted_host(
                    RequestOrigin("evil.example", f"{scheme}://127.0.0.1:8085{rest}"), RULE
                )
                is None
            )
        assert untrusted_host(
            RequestOrigin("127.0.0.1", f"{scheme}://127.0.0.1@evil.example/"), RULE
        )
        assert untrusted_host(RequestOrigin("127.0.0.1", f"{scheme}:///"), RULE)

    @pytest.mark.parametrize(
        "target",
        [
            "/",
            "//evil.example/",
            "/http://evil.example/",
            "*",
            "evil.example:80",
            "?http://evil.example/",
        ],
    )
    def test_a_path_does_not(self, target: str) -> None:
        assert untrusted_host(RequestOrigin("127.0.0.1", target), RULE) is None
        assert untrusted_host(RequestOrigin("evil.example", target), RULE)


class AuthorityTests:
    def test_it_is_brought_to_one_form(self) -> None:
        assert parse_authority("Images.Example.ORG.:08085") == Authority("images.example.org", 8085)
        assert parse_authority("[2001:DB8:0::1%eth0]:") == Authority("2001:db8::1", None)
