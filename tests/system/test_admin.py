"""The methods for operators (docs/reference/methods.md), at the XML-RPC boundary of a real
daemon.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.cluster import Cluster, Options, eventually, mesh, tree
from tests.support.daemon_process import DaemonProcess, fault_of, running
from tests.support.gradients import encoded, gradient
from tests.support.image_server import HTTP, check_log, get, renders, status
from tests.support.source_server import HeldAnswer, SourceServer, send
from tests.support.stepped_convert import SteppedConvert

HOSTILE = [
    None,
    5,
    1.5,
    True,
    b"\xff",
    [],
    {},
    {"path": "x"},
    ["a"],
    "",
    "/",
    "..",
    "a/../b",
    ".x",
    "a\tb",
    "a" * 5000,
    "a.php",
    "status/a",
]
"""What is no path."""


@pytest.fixture(scope="module")
def source() -> Iterator[SourceServer]:
    """A server of originals."""
    source = SourceServer()
    with source.server:
        yield source


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, source: SourceServer
) -> Iterator[DaemonProcess]:
    """One with an image server."""
    base = {
        "source_base": f"{source.url}/originals",
        "sources": f"{source.url}/allowed",
        "allow_private_sources": "yes",
    }
    options: Options = {
        "http": HTTP["http"] | base,
        "images": {"io_threads": 2, "max_bytes": 1 << 20, "max_pixels": 300_000},
    }
    with running(tmp_path_factory.mktemp("server"), options) as daemon:
        yield daemon
        check_log(daemon)


MINE, THEIRS = encoded(gradient(32, 24), "PNG"), encoded(gradient(24, 32), "PNG")
CONFIRMED: Options = {"replication": {"min_acks": 1, "ack_timeout": "60 s"}}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """North stored x/a.png, x/b.png and y.png, and south others later, before they heard of each
    other; south confirms what north stores now.
    """
    with_conflicts = Cluster(tmp_path_factory.mktemp("cluster"), mesh("north", "south"))
    try:
        with_conflicts.start("north")
        for path in ("y.png", "x/b.png", "x/a.png"):
            with_conflicts["north"].proxy.store_image(MINE, path)
        with_conflicts["north"].stop()
        with_conflicts.start("south")
        for path in ("y.png", "x/b.png", "x/a.png"):
            with_conflicts["south"].proxy.store_image(THEIRS, path)
        with_conflicts.start("north", options=CONFIRMED)
        with_conflicts.wait_until_all_have(dict.fromkeys(("y.png", "x/b.png", "x/a.png"), THEIRS))
        yield with_conflicts
        check_log(with_conflicts["north"])
    finally:
        with_conflicts.clean_up()


@pytest.fixture
def north(cluster: Cluster) -> DaemonProcess:
    """The node that keeps the losers."""
    return cluster["north"]


class IntrospectionTests:
    def test_the_methods_are_listed_beside_the_others_and_have_their_help(
        self, daemon: DaemonProcess
    ) -> None:
        methods = daemon.proxy.system.listMethods()
        assert {"store_image", "admin.status"} <= set(methods)
        for name in methods:
            if name.startswith("admin."):
                assert daemon.proxy.system.methodHelp(name).startswith(
                    name.removeprefix("admin.") + "("
                )
                assert daemon.proxy.system.methodSignature(name)

    def test_a_method_that_there_is_not_is_twisteds_fault(self, daemon: DaemonProcess) -> None:
        assert fault_of(daemon.proxy.admin.nothing).faultCode == 8001
        assert fault_of(daemon.proxy.admin.status, 1).faultCode == 8002


class StatusTests:
    def test_status_works_while_the_image_server_is_off(self, daemon: DaemonProcess) -> None:
        status = json.loads(daemon.proxy.admin.status())
        assert status["ready"] is True
        assert status["totals"]["images_stored"] >= 0


class RenderOutputsTests:
    def test_what_was_rendered_ahead_is_not_rendered_for_a_get(
        self, server: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        server.proxy.store_image(picture, f"{folder}/a.jpg")
        outcomes = server.proxy.admin.render_outputs(
            f"/{folder}//a.jpg", ["w10.png", "x20.webp", "w10.png"]
        )
        assert outcomes == [
            {"output": name, "result": "rendered", "error": ""} for name in ("w10.png", "x20.webp")
        ]
        before = renders(server)
        assert [
            get(server, f"/{folder}/a.jpg/{name}").status for name in ("w10.png", "x20.webp")
        ] == [200, 200]
        assert renders(server) == before
        again = server.proxy.admin.render_outputs(f"{folder}/a.jpg", ["x20.webp", "w11.png"])
        assert [(one["output"], one["result"]) for one in again] == [
            ("x20.webp", "cached"),
            ("w11.png", "rendered"),
        ]

    def test_an_original_is_meant_by_its_image(
        self, server: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        server.proxy.store_image(picture, f"{folder}/a/original")
        assert [
            one["result"]
            for one in server.proxy.admin.render_outputs(f"{folder}/a", "full_size.png")
        ] == ["rendered"]

    def test_all_that_auto_may_come_to_is_rendered(
        self, server: DaemonProcess, folder: str, picture: bytes
    ) -> None:
        server.proxy.store_image(picture, f"{folder}/a.jpg")
        assert [
            one["result"]
            for one in server.proxy.admin.render_outputs(f"{folder}/a.jpg", ["w10.auto"])
        ] == ["rendered"]
        before = renders(server)
        for accept in ("image/avif", "image/webp", "*/*"):
            assert get(server, f"/{folder}/a.jpg/w10.auto", Accept=accept).status == 200
        assert renders(server) == before

    def test_each_output_that_cannot_be_rendered_says_why(
        self, server: DaemonProcess, folder: str
    ) -> None:
        half = encoded(gradient(500, 500), "PNG")
        server.proxy.store_image(half[: len(half) // 2], f"{folder}/half.png")
        outcomes = server.proxy.admin.render_outputs(
            f"{folder}/half.png", [f"w{side}.png" for side in range(1, 11)]
        )
        assert {one["result"] for one in outcomes} == {"failed"}
        assert all(one["error"].startswith("[1001] ") for one in outcomes)
        assert [one["output"] for one in outcomes] == [f"w{side}.png" for side in range(1, 11)]

    def test_an_output_that_can_be_rendered_is_in_spite_of_another(
        self, server: DaemonProcess, folder: str
    ) -> None:
        server.proxy.store_image(encoded(gradient(2000, 1), "PNG"), f"{folder}/line.png")
        outcomes = server.proxy.admin.render_outputs(
            f"{folder}/line.png", ["1000x1000.png", "w10.png"]
        )
        assert outcomes[0]["result"] == "failed"
        assert outcomes[0]["error"].startswith("[1001] ")
        assert outcomes[1] == {"output": "w10.png", "result": "rendered", "error": ""}

    def test_names_are_checked_without_an_image(self, server: DaemonProcess) -> None:
        assert server.proxy.admin.check_outputs(["w10.png", "full_size.auto"]) == "OK"

    def test_an_image_that_there_is_not_is_a_fault(
        self, server: DaemonProcess, folder: str
    ) -> None:
        fault = fault_of(server.proxy.admin.render_outputs, f"{folder}/no", ["w10.png"])
        assert (fault.faultCode, fault.faultString) == (
            1000,
            f"[1000] path: there is no image '{folder}/no'",
        )

    @pytest.mark.parametrize(
        "outputs",
        [
            [],
            None,
            5,
            {},
            [5],
            [["w10.png"]],
            "w10",
            ["w10.png", "../w10.png"],
            ["w0.png"],
            ["w1001.png"],
            ["w5.tiff"],
            ["w5.png"] * 257,
        ],
    )
    def test_an_invalid_output_is_a_fault_that_names_the_argument(
        self, server: DaemonProcess, folder: str, picture: bytes, outputs: object
    ) -> None:
        server.proxy.store_image(picture, f"{folder}/a.jpg")
        before = renders(server)
        fault = fault_of(server.proxy.admin.render_outputs, f"{folder}/a.jpg", outputs)
        assert fault.faultCode == 1000
        assert fault_of(server.proxy.admin.check_outputs, outputs).faultString == fault.faultString
        assert fault.faultString.startswith(("[1000] outputs: ", "[1000] rendition: "))
        assert renders(server) == before

    @pytest.mark.parametrize("path", HOSTILE)
    def test_an_invalid_path_is_a_fault_that_names_the_argument(
        self, server: DaemonProcess, path: object
    ) -> None:
        fault = fault_of(server.proxy.admin.render_outputs, path, ["w10.png"])
        assert fault.faultString.startswith("[1000] path: ")

    def test_it_is_refused_where_the_image_server_is_off(
        self, daemon: DaemonProcess, picture: bytes, folder: str
    ) -> None:
        daemon.proxy.store_image(picture, f"{folder}/a.jpg")
        assert (
            "[http] port is not set"
            in fault_of(daemon.proxy.admin.check_outputs, ["w10.png"]).faultString
        )
        assert (
            "[http] port is not set"
            in fault_of(
                daemon.proxy.admin.render_outputs, f"{folder}/a.jpg", ["w10.png"]
            ).faultString
        )

    def test_a_full_queue_is_a_fault_and_the_same_call_succeeds_later(
        self, tmp_path: Path, turnstile: SteppedConvert, picture: bytes
    ) -> None:
        images = {"engine": "imagemagick", "io_threads": 1, "queue": 1}
        with running(
            tmp_path, HTTP | {"images": images, "imagemagick": {"convert": turnstile.convert}}
        ) as daemon:
            daemon.proxy.store_image(picture, "a.jpg")
            with ThreadPoolExecutor(2) as clients:
                first = clients.submit(
                    lambda: daemon.proxy.admin.render_outputs("a.jpg", ["w10.png"])
                )
                turnstile.wait_for_arrival()
                second = clients.submit(get, daemon, "/a.jpg/w11.png")
                eventually(lambda: status(daemon)["queue"]["waiting"] == 1)
                fault = fault_of(daemon.proxy.admin.render_outputs, "a.jpg", ["w12.png"])
                assert fault.faultCode == 1004
                turnstile.let_through(3)
                assert (first.result()[0]["result"], second.result().status) == ("rendered", 200)
            assert (
                daemon.proxy.admin.render_outputs("a.jpg", ["w12.png"])[0]["result"] == "rendered"
            )
            check_log(daemon)


class FetchOriginalTests:
    def test_it_is_fetched_once_and_stored(
        self, server: DaemonProcess, source: SourceServer, folder: str, picture: bytes
    ) -> None:
        source.answers[f"/originals/{folder}/1"] = send(200, picture)
        fetched = server.proxy.admin.fetch_original(f"{folder}/1")
        assert fetched == {"fetched": True, **server.proxy.image_info(f"{folder}/1/original")}
        assert (server.images / folder / "1" / "original").read_bytes() == picture
        assert server.proxy.admin.fetch_original(f"{folder}/1", "") == fetched | {"fetched": False}
        assert source.asked_for(f"/originals/{folder}/1") == 1

    def test_it_is_fetched_from_where_the_caller_says(
        self, server: DaemonProcess, source: SourceServer, folder: str, picture: bytes
    ) -> None:
        source.answers[f"/allowed/{folder}.jpg"] = send(200, picture)
        assert (
            server.proxy.admin.fetch_original(folder, f"{source.url}/allowed/{folder}.jpg")[
                "fetched"
            ]
            is True
        )
        assert source.asked_for(f"/originals/{folder}") == 0

    def test_it_is_fetched_once_however_many_ask(
        self, server: DaemonProcess, source: SourceServer, folder: str, picture: bytes
    ) -> None:
        source.answers[f"/originals/{folder}"] = held = HeldAnswer(send(200, picture))
        with ThreadPoolExecutor(8) as clients:
            calls = [
                clients.submit(lambda: server.proxy.admin.fetch_original(folder)) for _ in range(7)
            ]
            seen = clients.submit(get, server, f"/{folder}/w10.png")
            held.wait()
            held.released.set()
            assert len({call.result()["digest"] for call in calls}) == 1
            assert seen.result().status == 200
        assert source.asked_for(f"/originals/{folder}") == 1

    def test_what_was_deleted_is_not_fetched(
        self, server: DaemonProcess, source: SourceServer, folder: str, picture: bytes
    ) -> None:
        source.answers[f"/originals/{folder}"] = send(200, picture)
        server.proxy.admin.fetch_original(folder)
        server.proxy.delete_image(f"{folder}/original")
        fault = fault_of(server.proxy.admin.fetch_original, folder)
        assert (fault.faultCode, f"'{folder}/original' was deleted" in fault.faultString) == (
            1000,
            True,
        )
        assert source.asked_for(f"/originals/{folder}") == 1

    def test_what_its_source_has_not_or_does_not_give_is_a_fault(
        self, server: DaemonProcess, source: SourceServer, folder: str, picture: bytes
    ) -> None:
        missing = fault_of(server.proxy.admin.fetch_original, folder)
        assert (missing.faultCode, missing.faultString) == (
            1000,
            f"[1000] path: '{folder}' is not at its source",
        )
        source.answers[f"/originals/{folder}"] = send(500)
        assert fault_of(server.proxy.admin.fetch_original, folder).faultCode == 1001
        for no_image in (b"<html>", bytes((1 << 20) + 1)):
            source.answers[f"/originals/{folder}"] = send(200, no_image)
            assert fault_of(server.proxy.admin.fetch_original, folder).faultCode == 1000
        source.answers[f"/originals/{folder}"] = send(200, picture)
        assert server.proxy.admin.fetch_original(folder)["fetched"] is True

    def test_an_image_has_no_original_and_nothing_lies_below_it(
        self, server: DaemonProcess, source: SourceServer, folder: str, picture: bytes
    ) -> None:
        server.proxy.store_image(picture, folder)
        source.answers[f"/originals/{folder}/a"] = send(200, picture)
        assert (
            "is itself a stored image"
            in fault_of(server.proxy.admin.fetch_original, folder).faultString
        )
        below = fault_of(server.proxy.admin.fetch_original, f"{folder}/a")
        assert (below.faultCode, folder in below.faultString) == (1000, True)
        assert source.asked_for(f"/originals/{folder}/a") == 1

    @pytest.mark.parametrize(
        "url",
        [
            5,
            [],
            {},
            b"x",
            "x",
            "file:///etc/passwd",
            "http://a:b@c/",
            "http://127.0.0.1:1/x",
            "{}/originals/x",
            "{}/allowed/../x",
            "x" * 9000,
        ],
    )
    def test_what_may_not_be_fetched_is_a_fault_that_names_the_argument(
        self, server: DaemonProcess, source: SourceServer, folder: str, url: object
    ) -> None:
        asked = len(source.server.requests)
        fault = fault_of(
            server.proxy.admin.fetch_original,
            folder,
            url.format(source.url) if isinstance(url, str) else url,
        )
        assert fault.faultString.startswith("[1000] source: ")
        assert len(source.server.requests) == asked

    def test_a_private_address_is_refused_unless_it_is_allowed(
        self, tmp_path: Path, source: SourceServer
    ) -> None:
        with running(
            tmp_path, {"http": HTTP["http"] | {"sources": f"{source.url}/allowed"}}
        ) as daemon:
            fault = fault_of(daemon.proxy.admin.fetch_original, "a", f"{source.url}/allowed/a")
            assert (
                fault.faultString
                == "[1000] source: fetching from the address of its server is not allowed"
            )
            assert (
                "there is no [http] source_base"
                in fault_of(daemon.proxy.admin.fetch_original, "a").faultString
            )

    @pytest.mark.parametrize("path", [*HOSTILE, "a" * 1020])
    def test_what_is_no_path_is_a_fault_that_names_the_argument(
        self, server: DaemonProcess, path: object
    ) -> None:
        fault = fault_of(server.proxy.admin.fetch_original, path)
        assert fault.faultString.startswith("[1000] path: ")

    def test_it_is_refused_where_the_image_server_is_off(self, daemon: DaemonProcess) -> None:
        assert (
            "[http] port is not set" in fault_of(daemon.proxy.admin.fetch_original, "a").faultString
        )


class HistoryTests:
    def test_losers_are_listed_by_path_where_they_are_kept(
        self, cluster: Cluster, north: DaemonProcess
    ) -> None:
        rows = north.proxy.admin.history()
        assert [(row["path"], row["size"], row["digest"]) for row in rows] == [
            (path, len(MINE), hashlib.sha256(MINE).hexdigest())
            for path in ("x/a.png", "x/b.png", "y.png")
        ]
        for row in rows:
            assert re.fullmatch(r"[0-9a-f]{16}-[0-9a-f]{32}", row["version"])
            assert re.fullmatch(r"[0-9a-f]{16}-[0-9a-f]{32}", row["winner"])
            assert row["version"] < row["winner"]
            assert row["lost"].endswith("Z")
        assert cluster["south"].proxy.admin.history() == []

    def test_a_path_or_a_folder_is_asked_for(self, north: DaemonProcess) -> None:
        assert [row["path"] for row in north.proxy.admin.history("/x//a.png")] == ["x/a.png"]
        assert [row["path"] for row in north.proxy.admin.history("x/")] == ["x/a.png", "x/b.png"]
        assert north.proxy.admin.history("x") == north.proxy.admin.history("y/") == []

    def test_pages_follow_each_other(self, north: DaemonProcess) -> None:
        whole, pages, after = north.proxy.admin.history(), [], ""
        while page := north.proxy.admin.history("", after, 1):
            pages += page
            after = page[-1]["cursor"]
        assert pages == whole

    @pytest.mark.parametrize(
        ("arguments", "argument"),
        [
            ((5,), "path"),
            (("../",), "path"),
            (("", 5), "after"),
            (("", "x"), "after"),
            (("", "", 0), "limit"),
            (("", "", 1001), "limit"),
            (("", "", {}), "limit"),
        ],
    )
    def test_a_wrong_argument_is_named(
        self, north: DaemonProcess, arguments: tuple[object, ...], argument: str
    ) -> None:
        fault = fault_of(north.proxy.admin.history, *arguments)
        assert (fault.faultCode, fault.faultString.startswith(f"[1000] {argument}: ")) == (
            1000,
            True,
        )


class RestoreTests:
    def test_a_loser_becomes_a_new_version_on_every_node(
        self, cluster: Cluster, north: DaemonProcess
    ) -> None:
        [lost] = north.proxy.admin.history("x/a.png")
        facts = north.proxy.admin.restore("x/a.png", lost["version"])
        assert (
            facts
            == north.proxy.image_info("x/a.png")
            == cluster["south"].proxy.image_info("x/a.png")
        )
        assert (facts["digest"], facts["width"], facts["format"]) == (lost["digest"], 32, "png")
        assert tree(north)["x/a.png"] == tree(cluster["south"])["x/a.png"] == MINE
        assert north.proxy.admin.history("x/a.png") == [lost]

    def test_it_is_stored_where_the_caller_says(
        self, cluster: Cluster, north: DaemonProcess
    ) -> None:
        [lost] = north.proxy.admin.history("x/b.png")
        assert (
            north.proxy.admin.restore("/x/b.png", lost["version"][:30].upper(), "z//c.png")["path"]
            == "z/c.png"
        )
        assert tree(cluster["south"])["z/c.png"] == MINE
        assert tree(cluster["south"])["x/b.png"] == THEIRS

    def test_it_is_there_after_a_crash(self, cluster: Cluster, north: DaemonProcess) -> None:
        [lost] = north.proxy.admin.history("y.png")
        north.proxy.admin.restore("y.png", lost["version"], "crash.png")
        north.kill()
        cluster.start("north", options=CONFIRMED)
        assert tree(cluster["north"])["crash.png"] == MINE

    def test_a_version_that_is_not_kept_here_is_a_fault(
        self, cluster: Cluster, north: DaemonProcess
    ) -> None:
        [lost] = north.proxy.admin.history("x/b.png")
        for node, path, version in (
            (north, "x/b.png", lost["winner"]),
            (north, "x/no.png", lost["version"]),
            (cluster["south"], "x/b.png", lost["version"]),
        ):
            fault = fault_of(node.proxy.admin.restore, path, version)
            assert fault.faultCode == 1000
            assert fault.faultString.startswith("[1000] version: this node has no version of '")

    def test_damaged_bytes_are_not_stored(self, north: DaemonProcess) -> None:
        [lost] = north.proxy.admin.history("x/b.png")
        [kept] = north.images.glob(f".imagepipe/objects/*/{lost['digest']}")
        kept.chmod(0o600)
        kept.write_bytes(MINE[:-1] + b"?")
        try:
            fault = fault_of(north.proxy.admin.restore, "x/b.png", lost["version"], "damaged.png")
            assert (fault.faultCode, fault.faultString) == (
                1001,
                "[1001] the bytes of this version are corrupt on disk",
            )
        finally:
            kept.write_bytes(MINE)
        assert "damaged.png" not in tree(north)

    @pytest.mark.parametrize(
        "version", [None, 5, [], {}, b"x", "", "x", "%", "0'", "0" * 17, "0" * 5000]
    )
    def test_an_invalid_version_is_a_fault_that_names_the_argument(
        self, north: DaemonProcess, version: object
    ) -> None:
        assert fault_of(north.proxy.admin.restore, "x/b.png", version).faultString.startswith(
            "[1000] version: "
        )

    @pytest.mark.parametrize("path", HOSTILE)
    def test_what_is_no_path_is_a_fault_that_names_the_argument(
        self, north: DaemonProcess, path: object
    ) -> None:
        [lost] = north.proxy.admin.history("x/b.png")
        assert fault_of(north.proxy.admin.restore, path, "0").faultString.startswith(
            "[1000] path: "
        )
        if path not in ("", None):
            assert fault_of(
                north.proxy.admin.restore, "x/b.png", lost["version"], path
            ).faultString.startswith("[1000] to: ")

    def test_it_is_refused_below_an_image(self, north: DaemonProcess) -> None:
        [lost] = north.proxy.admin.history("x/b.png")
        assert (
            fault_of(north.proxy.admin.restore, "x/b.png", lost["version"], "x/b.png/c").faultCode
            == 1000
        )
