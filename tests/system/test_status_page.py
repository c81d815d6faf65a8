"""The status page in a real browser: it says what there is, by itself, and nothing else happens."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import bcrypt
import pytest

from tests.support.chromium import Page, opened
from tests.support.cluster import Cluster, mesh
from tests.support.daemon_process import DaemonProcess, running, text
from tests.support.http_client import request
from tests.support.image_server import HTTP, get

HOSTILE = "<img src=x onerror=document.title='caught'>"


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A browser."""
    with opened() as page:
        yield page


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """A node that is alone."""
    with running(tmp_path_factory.mktemp("daemon"), HTTP) as daemon:
        yield daemon


@pytest.fixture
def status(page: Page, daemon: DaemonProcess) -> Page:
    """Its page, with something on it."""
    page.resize(1200, 900)
    page.go(daemon.http_url + "status")
    page.wait_for(lambda: "all is well" in page.text)
    return page


def tile(page: Page, name: str) -> str:
    """What the tile of this name says."""
    return str(
        page.run(
            "return [...document.querySelectorAll('.tile')].find((one) =>"
            f" one.querySelector('dt').textContent === {name!r}).innerText"
        )
    )


class PageTests:
    def test_it_reports_the_state_of_the_node(self, status: Page, daemon: DaemonProcess) -> None:
        host = daemon.http_url.removeprefix("http://").strip("/")
        assert host in status.text
        assert host in status.title
        for words in (
            "all is well",
            "imagepipe ",
            "up ",
            "BEING PROCESSED",
            "DISK",
            "REQUESTS PER SECOND",
            "SINCE THE START",
            "Images stored",
        ):
            assert words.lower() in status.text.lower()
        assert "PEERS" not in status.text
        assert status.run("return document.querySelectorAll('svg').length") == 4

    def test_it_keeps_itself_up_to_date(
        self, status: Page, daemon: DaemonProcess, picture: bytes
    ) -> None:
        status.run("window.unchanged = true")
        for number in range(3):
            daemon.proxy.store_image(text(picture), f"live/{number}.jpg")
        get(daemon, "/live/1.jpg/w40.jpg")
        get(daemon, "/live/1.jpg/w40.jpg")
        status.wait_for(lambda: "50 %" in tile(status, "Cache hits"))
        # a sample is there after five seconds
        status.wait_for(lambda: status.run("return document.querySelectorAll('.trace').length") > 0)
        assert status.run("return window.unchanged")

    def test_it_asks_for_its_own_data_alone_and_nothing_goes_wrong(
        self, status: Page, daemon: DaemonProcess
    ) -> None:
        status.wait_for(lambda: len(status.requests()) >= 2)
        assert {url.partition("?")[0] for url in status.requests()} == {
            f"{daemon.http_url}status.json"
        }
        assert status.complaints() == []

    def test_what_comes_from_elsewhere_is_text(self, status: Page, daemon: DaemonProcess) -> None:
        """Of an error that a client has caused the page shows the words."""
        request(
            daemon.http_url, f"/{quote(HOSTILE, safe='')}", "POST", b"\xff\xd8\xff\xe0 no image"
        )
        status.run(
            f"drawErrors([{{when: '2026-01-01T00:00:00Z', what: {HOSTILE!r}, text:"
            f" {HOSTILE!r}}}]);drawReplication({{node: '', upstreams: [{{name: {HOSTILE!r},"
            f" refused: {HOSTILE!r}, clock_ahead_seconds: null, heard_seconds: null}}].map((peer)"
            " => ({rows_behind: 0, bytes_behind: 0, seconds_behind: 0, ...peer})), subscribers:"
            " [], seq: 0, unreplicated: 0, pending: 0, conflicts: 0, pending_rows: [{path:"
            f" {HOSTILE!r}, name: {HOSTILE!r}, size: 1, why: {HOSTILE!r}}}], dropped_messages: 0,"
            " bad_messages: 0})"
        )
        assert status.text.count(HOSTILE) == 7
        assert status.run("return document.querySelectorAll('img').length") == 0
        assert "caught" not in status.title
        assert status.complaints() == []

    @pytest.mark.parametrize("width", [360, 768, 1200])
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_it_fits_phones_and_desks_by_day_and_by_night(
        self, status: Page, width: int, scheme: str
    ) -> None:
        status.resize(width, 800)
        status.prefer(scheme)
        assert status.run("return document.documentElement.scrollWidth") <= width
        red, green, blue = (
            int(part)
            for part in status.run("return getComputedStyle(document.body).backgroundColor")[
                4:-1
            ].split(",")
        )
        assert (red + green + blue > 600) == (scheme == "light")

    def test_a_chart_says_what_is_pointed_at(self, status: Page) -> None:
        points = (
            "[...Array(720).keys()].map((at) => ({time: at * 5, requests_per_second: at < 360 ? 7 :"
            " null}))"
        )
        status.run(f"charts[0].draw({points}, 5, 3600)")
        values = "return document.querySelector('.chart .values').textContent"
        assert status.run(values) == "now -"
        point = (
            "charts[0].svg.dispatchEvent(new PointerEvent('pointermove', {clientX: box.left +"
            " box.width / 4}))"
        )
        assert status.run(
            f"const box = charts[0].svg.getBoundingClientRect(); {point}; {values}"
        ).endswith(" 7.0")
        assert status.run("return charts[0].svg.getAttribute('aria-label')").startswith(
            "Requests per second: "
        )

    @pytest.mark.parametrize(
        "missing",
        [
            "requests_per_second: at === 9 ? null : 7, time: at * 5",
            "requests_per_second: 7, time: at < 9 ? at * 5 : 600 + at * 5",
        ],
    )
    def test_a_chart_has_a_gap_where_nothing_is_known(self, status: Page, missing: str) -> None:
        draw = f"charts[0].draw([...Array(20).keys()].map((at) => ({{{missing}}})), 5, 700)"
        assert status.run(f"{draw}; return charts[0].svg.querySelectorAll('.trace').length") == 2


class TroubleTests:
    def test_a_silent_node_is_reported_and_its_last_status_stays(
        self, page: Page, tmp_path: Path
    ) -> None:
        with running(tmp_path, HTTP) as daemon:
            page.go(daemon.http_url + "status")
            page.wait_for(lambda: "all is well" in page.text)
            assert daemon.stop() == 0
            page.wait_for(lambda: "has not answered since" in page.text)
            assert "no answer" in page.text
            assert "Images stored" in page.text
        again = {"http": {"interface": "127.0.0.1", "port": urlsplit(daemon.http_url).port}}
        with running(tmp_path, again):
            page.wait_for(lambda: "all is well" in page.text)
            assert "has not answered since" not in page.text
        page.complaints()

    def test_a_missing_peer_is_visible_at_a_glance(self, page: Page, tmp_path: Path) -> None:
        with Cluster(tmp_path, mesh("a", "b"), HTTP) as nodes:
            page.go(nodes["a"].http_url + "status")
            page.wait_for(lambda: "connected" in page.text and "up to date" in page.text)
            nodes["b"].kill()
            page.wait_for(
                lambda: "NOT CONNECTED" in page.text and "has not been heard from for" in page.text
            )
            assert "critical" in page.run("return document.getElementById('state').className")
            nodes.start("b")
            page.wait_for(lambda: "NOT CONNECTED" not in page.text and "all is well" in page.text)
        page.complaints()


class UsersTests:
    def test_the_page_is_for_its_users_alone_and_probes_need_no_password(
        self, page: Page, tmp_path: Path
    ) -> None:
        hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
        (tmp_path / "watchers").write_text(f"eve:{hashed}\n")
        with running(tmp_path, {"http": HTTP["http"] | {"status_users": "watchers"}}) as daemon:
            for path, status in {
                "status": 401,
                "status.json": 401,
                "metrics": 401,
                "healthz": 200,
                "readyz": 200,
                "none": 404,
            }.items():
                assert get(daemon, f"/{path}").status == status
            page.go(daemon.http_url.replace("://", "://eve:secret@") + "status")
            page.wait_for(lambda: "all is well" in page.text)
            (tmp_path / "watchers").write_text(f"ann:{hashed}\n")
            daemon.reload()
            page.wait_for(lambda: "has not answered since" in page.text)
            page.complaints()
            daemon.reload(HTTP)
            assert get(daemon, "/status").status == 200
