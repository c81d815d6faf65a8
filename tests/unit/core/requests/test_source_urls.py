"""Which URLs an original may be fetched from."""

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipe.core.paths import clean
from imagepipe.core.requests.source_urls import URL_LENGTH_MAX, SourceRules, SourceUrl, is_fetchable
from imagepipe.errors import BadRequest, ConfigError, Forbidden, NotFound, SourceFailed

BASE = "http://storage:8080/originals"
RULES = SourceRules(
    BASE,
    (
        "https://example.org/photos/",
        "http://example.org",
        "http://[2001:db8::1]:81/a",
        "https://xn--bcher-kva.example/",
        BASE + "/open",
    ),
    allow_private=False,
)
PHOTO = "https://example.org/photos/a.jpg"


def admitted(url: str) -> str:
    """What is fetched for this URL."""
    return RULES.admit_named(url).url


def led(location: str | bytes, redirecting: str = PHOTO) -> SourceUrl:
    """Where a redirect leads from a URL that a client named."""
    return RULES.redirected(
        RULES.admit_named(redirecting),
        location if isinstance(location, bytes) else location.encode(),
    )


class BaseTests:
    """Originals below source_base."""

    @pytest.mark.parametrize(
        ("base", "url"),
        [
            ("http://storage:8080/originals", "http://storage:8080/originals/user/1.jpg"),
            ("http://storage/originals/", "http://storage/originals/user/1.jpg"),
            ("https://storage", "https://storage/user/1.jpg"),
            ("https://storage:443/", "https://storage/user/1.jpg"),
            ("http://storage/get?token=abc", "http://storage/get/user/1.jpg?token=abc"),
            ("http://[::1]:81/", "http://[::1]:81/user/1.jpg"),
            ("http://storage/get?name=", "http://storage/get?name=user%2F1.jpg"),
        ],
    )
    def test_the_path_is_appended(self, base: str, url: str) -> None:
        assert SourceRules(base, (), allow_private=False).of_image("user/1.jpg").url == url

    @given(st.text())
    def test_any_legal_path_comes_out_of_its_url_again(self, text: str) -> None:
        try:
            path = clean(text)
        except BadRequest:
            return
        split = urlsplit(RULES.of_image(path).url)
        assert (split.hostname, split.port, unquote(split.path), split.query, split.fragment) == (
            "storage",
            8080,
            "/originals/" + path,
            "",
            "",
        )

    def test_its_address_is_the_operators(self) -> None:
        assert RULES.any_address(RULES.of_image("a"))

    def test_without_one_there_is_nothing(self) -> None:
        with pytest.raises(NotFound):
            SourceRules(None, (), allow_private=False).of_image("a")


class NamedTests:
    """URLs that clients name."""

    @pytest.mark.parametrize(
        ("named", "fetched"),
        [
            (PHOTO, PHOTO),
            ("https://example.org/photos", "https://example.org/photos"),
            ("https://example.org/photos/", "https://example.org/photos/"),
            (
                "https://example.org/photos/x/y.jpg?size=1&name=../..",
                "https://example.org/photos/x/y.jpg?size=1&name=../..",
            ),
            ("HTTPS://Example.ORG:443/photos/A.jpg", "https://example.org/photos/A.jpg"),
            ("https://example.org.:/photos/a.jpg?", PHOTO),
            ("http://example.org", "http://example.org/"),
            ("http://example.org?a=/b", "http://example.org/?a=/b"),
            ("http://example.org/a//b;v=1", "http://example.org/a//b;v=1"),
            ("http://example.org/100%25.jpg", "http://example.org/100%25.jpg"),
            (
                "http://example.org/blå bær.jpg?q=é",
                "http://example.org/bl%C3%A5%20b%C3%A6r.jpg?q=%C3%A9",
            ),
            ("http://[2001:0DB8:0::1]:81/a/b", "http://[2001:db8::1]:81/a/b"),
            ("https://XN--bcher-KVA.example/a", "https://xn--bcher-kva.example/a"),
            (BASE + "/open/a", BASE + "/open/a"),
        ],
    )
    def test_what_is_below_one_of_the_sources_is_admitted(self, named: str, fetched: str) -> None:
        assert admitted(named) == fetched

    @pytest.mark.parametrize(
        "url",
        [
            "https://example.org/",
            "https://example.org/photosx",
            "https://example.org/photo",
            "https://example.org/Photos/a",
            "https://example.org/%70hotos/a",
            "http://example.org:8080/a",
            "https://example.org:80/photos/a",
            "http://example.com/a",
            "http://sub.example.org/a",
            "http://example.org.evil.com/a",
            "http://2001:81/a",
            "http://[2001:db8::2]:81/a",
            "http://127.0.0.1/",
            "http://0x7f000001/",
            "http://2130706433/",
            "http://[::ffff:127.0.0.1]/",
            BASE,
            BASE + "/closed",
        ],
    )
    def test_anything_else_is_forbidden(self, url: str) -> None:
        with pytest.raises(Forbidden, match=r"^source: is not below any of the URLs"):
            admitted(url)

    @pytest.mark.parametrize(
        "up",
        "../a ./a .. . x/../../b ..;/a .;x/a %2e%2e/a %2E./a .%2e;x/a %252e%252e/a x%2f..%2fa"
        " x%2F..%2Fa x%252fa ..%5ca x%5c..%5ca %00 a/%2e".split(),
    )
    def test_a_path_that_might_lead_up_again_is_forbidden(self, up: str) -> None:
        with pytest.raises(Forbidden):
            admitted(f"https://example.org/photos/{up}")

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "example.org/a",
            "/etc/passwd",
            "//example.org/a",
            "file:///etc/passwd",
            "ftp://example.org/a",
            "gopher://example.org/",
            "javascript:alert(1)",
            "http:example.org/a",
            "http:/example.org/a",
            "http:///a",
            "http://",
            "http://:80/a",
            "http://example.org:0/a",
            "http://example.org:65536/a",
            "http://example.org:+80/a",
            "http://example.org:080/a",
            "http://example.org:8_0/a",
            "http://user@example.org/a",
            "http://user:secret@example.org/a",
            "http://@example.org/a",
            "http://example.org@evil.com/a",
            "http://example.org:80@evil.com/a",
            "http://evil.com#@example.org/a",
            "http://example.org#@evil.com/",
            "http://example.org/a#b",
            "http://evil.com\\@example.org/a",
            "http://example.org\\a",
            "http:\\\\example.org\\a",
            "http://example.org/a\\..\\b",
            "http://example.org//evil.com/",
            "http://exam ple.org/a",
            " http://example.org/a",
            "http://example.org /a",
            "http://example.org/a\r\nX: y",
            "http://example.org/a\n",
            "http://exa\tmple.org/a",
            "http://example.org/\x7f",
            "http://example.org/\x85",
            "http://example.org/\ud800",
            "http://bücher.example/",
            "http://ｅｘａｍｐｌｅ.org/",  # what normalises to example.org
            "http://example。org/",
            "http://\u212aexample.org/",  # the sign for Kelvin, whose lower case is a k
            "http://example%2eorg/",
            "http://example..org/",
            "http://.example.org/",
            "http://-example.org/",
            "http://example.org../",
            "http://[::1%25eth0]/",
            "http://[::1",
            "http://::1/",
            "http://[1.2.3.4]/",
            "http://[::g]/",
            "http://[1:2:3]/",
            "http://[::1]x/",
            f"http://{'a' * 64}.org/",
            f"http://{'a.' * 127}org/",
            "http://example.org/" + "a" * URL_LENGTH_MAX,
            "http://example.org/" + "é" * (URL_LENGTH_MAX // 6),
        ],
    )
    def test_anything_but_a_plain_url_is_a_bad_request(self, url: str) -> None:
        with pytest.raises(BadRequest, match=r"^source: ") as caught:
            admitted(url)
        assert not isinstance(caught.value, Forbidden)

    def test_the_longest_url_is_admitted(self) -> None:
        url = "http://example.org/".ljust(URL_LENGTH_MAX, "a")
        assert admitted(url) == url

    def test_where_no_sources_are_listed_none_may_be_named(self) -> None:
        with pytest.raises(Forbidden):
            SourceRules(BASE, (), allow_private=True).admit_named(BASE + "/a")

    def test_addresses_are_checked_unless_private_ones_are_allowed(self) -> None:
        url = RULES.admit_named(PHOTO)
        assert not RULES.any_address(url)
        assert SourceRules(None, (PHOTO,), allow_private=True).any_address(url)

    def test_below_source_base_addresses_are_not_checked(self) -> None:
        assert RULES.any_address(RULES.admit_named(BASE + "/open/a"))

    @given(st.text(), st.text())
    def test_whatever_is_admitted_is_below_a_source_for_other_parsers_too(
        self, host: str, rest: str
    ) -> None:
        try:
            url = RULES.admit_named(f"http://{host}example.org/{rest}")
        except BadRequest:
            return
        split = urlsplit(url.url)
        assert (split.scheme, split.hostname, split.port, split.username) == (
            url.scheme,
            url.host,
            None,
            None,
        )
        assert f"{split.path}?{split.query}".rstrip("?") == url.resource.rstrip("?")

    @given(st.text(alphabet="ab/.%2eEfF5cC;\\", max_size=12))
    def test_what_is_admitted_stays_below_its_source_however_it_is_decoded(self, rest: str) -> None:
        try:
            url = RULES.admit_named(f"https://example.org/photos/{rest}")
        except BadRequest:
            return
        depth = 0
        for segment in (
            unquote(unquote(url.path)).removeprefix("/photos/").replace("\\", "/").split("/")
        ):
            depth += -1 if segment.partition(";")[0] == ".." else segment not in ("", ".")
            assert depth >= 0


class RedirectTests:
    """Where redirects may lead."""

    @pytest.mark.parametrize(
        ("location", "url"),
        [
            ("https://example.org/photos/b.jpg", "https://example.org/photos/b.jpg"),
            ("b.jpg?x=1", "https://example.org/photos/b.jpg?x=1"),
            ("/photos/c/d.jpg", "https://example.org/photos/c/d.jpg"),
            ("../photos/d.jpg", "https://example.org/photos/d.jpg"),
            ("?x=1", "https://example.org/photos/a.jpg?x=1"),
            ("//example.org/photos/e.jpg#top", "https://example.org/photos/e.jpg"),
            ("http://example.org/f g.jpg", "http://example.org/f%20g.jpg"),
            ("/photos/é.jpg", "https://example.org/photos/%C3%A9.jpg"),
        ],
    )
    def test_it_may_lead_below_the_sources(self, location: str, url: str) -> None:
        assert led(location).url == url

    @pytest.mark.parametrize(
        "location",
        [
            "/",
            "/other/a.jpg",
            "../b.jpg",
            "//evil.com/a",
            "http://127.0.0.1/",
            "http://0x7f000001/",
            "https://example.org:8443/photos/a",
            "/photos/%2e%2e/a",
        ],
    )
    def test_nowhere_else(self, location: str) -> None:
        with pytest.raises(SourceFailed, match="fetching is not allowed"):
            led(location)

    @pytest.mark.parametrize(
        "location",
        [
            b"file:///etc/passwd",
            b"ftp://example.org/photos/a",
            b"javascript:alert(1)",
            b"https://user@example.org/photos/a",
            b"https://example.org\\@evil.com/",
            b"https:\\\\evil.com",
            b"//[::1",
            b"/photos/\x00",
            b"/photos/a\x01",
            b"/photos/\xff",
            b"//example.org:99999/photos/a",
            b"/photos/" + b"a" * URL_LENGTH_MAX,
            b"//example.org//photos",
            b"https://example.org@evil.com/photos/",
        ],
    )
    def test_anything_but_a_plain_url_is_the_sources_failure(self, location: bytes) -> None:
        with pytest.raises(SourceFailed, match="no URL"):
            led(location)

    def test_a_long_url_and_a_long_redirect_are_too_long_together(self) -> None:
        folder = "https://example.org/photos/" + "a" * (URL_LENGTH_MAX // 2) + "/"
        with pytest.raises(SourceFailed, match="no URL"):
            led("b" * (URL_LENGTH_MAX // 2), folder)

    def test_below_source_base_it_leads_from_there_only(self) -> None:
        assert RULES.redirected(RULES.of_image("a"), b"b").exempt
        for location in (BASE + "/b", BASE + "/open/../b"):
            with pytest.raises(SourceFailed):
                led(location)

    def test_what_is_exempt_does_not_stay_so_elsewhere(self) -> None:
        assert not RULES.redirected(RULES.of_image("a"), PHOTO.encode()).exempt
        with pytest.raises(SourceFailed):
            RULES.redirected(RULES.of_image("a"), b"http://storage:8080/")

    def test_a_source_below_source_base_is_checked_when_another_server_leads_there(self) -> None:
        assert not led(BASE + "/open/b").exempt


class FetchableTests:
    """What the configuration asks before there are any rules."""

    def test_a_url_is_or_is_not(self) -> None:
        assert is_fetchable("http://storage:8080/a?b=")
        for url in ("http://a..b/", "ftp://a/", "http://me@a/", "http://a:99999/"):
            assert not is_fetchable(url)


class SourceRulesTests:
    """What the operator writes."""

    @pytest.mark.parametrize(
        "url", ["http://a..b/", "http://a/\\", "http://a:99999/", "http://[::1/"]
    )
    def test_a_url_that_cannot_be_fetched_is_an_error_of_the_configuration(self, url: str) -> None:
        with pytest.raises(ConfigError, match=r"\[http\] source_base = "):
            SourceRules(url, (), allow_private=False)
        with pytest.raises(ConfigError, match=r"\[http\] sources = "):
            SourceRules(None, (PHOTO, url), allow_private=False)


class SourceUrlTests:
    """A URL's parts."""

    def test_the_host_header_has_the_port_where_it_is_not_the_usual_one(self) -> None:
        assert [
            RULES.admit_named(url).authority
            for url in (PHOTO, "http://[2001:db8::1]:81/a", "http://example.org:80/")
        ] == [
            "example.org",
            "[2001:db8::1]:81",
            "example.org",
        ]

    def test_the_log_sees_no_query(self) -> None:
        assert RULES.admit_named(PHOTO + "?secret=1").without_query == PHOTO
