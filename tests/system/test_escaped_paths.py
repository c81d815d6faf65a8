"""Paths that XML cannot carry: refused at every door, and got rid of where an earlier release
stored one.
"""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import pytest

from imagepipe.storage.store import ImageFacts, StagedImage, Store
from tests.support.cluster import Cluster, eventually, mesh
from tests.support.command_line import against
from tests.support.daemon_process import DaemonProcess, fault_of, running
from tests.support.gradients import encoded, gradient
from tests.support.image_server import HTTP, get, post
from tests.support.source_server import SourceServer, send

PICTURE = encoded(gradient(32, 24), "PNG")
BAD, FORM = "x/bad\uffff/original", ".escaped/x/bad%EF%BF%BF/original"
WORSE, WORSE_FORM = "x/100%\ufffe.png", ".escaped/x/100%25%EF%BF%BE.png"


def store_as_before(images: Path, paths: Mapping[str, bytes]) -> None:
    """Store pictures at any path, as a release that did not look at it did."""

    def fail(error: Exception) -> None:
        raise error

    images.mkdir(parents=True)
    store = Store.open(images, umask=0o022, now_ms=lambda: int(time.time() * 1000), on_fatal=fail)
    store.start()
    try:
        with store.staging() as folder:
            staged = [
                StagedImage(path, folder / str(at), ImageFacts("png", 32, 24))
                for at, path in enumerate(paths)
            ]
            for image, picture in zip(staged, paths.values(), strict=True):
                image.file.write_bytes(picture)
            store.put(staged)
    finally:
        store.close()


@pytest.fixture(scope="module")
def source() -> Iterator[SourceServer]:
    """A server that has every original that anyone asks for."""
    source = SourceServer()
    source.answers = dict.fromkeys(
        ("/good", "/" + quote("bad\uffff"), "/" + quote("bad\ufffe")), send(200, PICTURE)
    )
    with source.server:
        yield source


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, source: SourceServer
) -> Iterator[DaemonProcess]:
    """An image server that fetches originals from there."""
    with running(
        tmp_path_factory.mktemp("server"), {"http": HTTP["http"] | {"source_base": source.url}}
    ) as daemon:
        yield daemon


class RefusedTests:
    @pytest.mark.parametrize("path", ["/bad\ufffe", "/bad\uffff", "/bad\uffff/b", "/b/\uffff.png"])
    def test_a_post_to_it_is_refused(self, server: DaemonProcess, path: str) -> None:
        refused = post(server, quote(path), PICTURE)
        assert refused.status == 400
        assert "XML" in json.loads(refused.body)["error"]
        # half a character, in what would be UTF-8
        assert post(server, "/%ED%A0%80", PICTURE).status == 400

    @pytest.mark.parametrize("name", ["", "/w20.png", "/info.json", "/original"])
    def test_a_get_of_it_fetches_nothing(
        self, server: DaemonProcess, source: SourceServer, name: str
    ) -> None:
        for path in ("/bad\ufffe", "/bad\uffff"):
            refused = get(server, quote(path) + name)
            assert refused.status == 400
            assert "XML" in json.loads(refused.body)["error"]
        assert get(server, "/good/w20.png").status == 200
        assert [line.split(b" ")[1] for line in source.server.requests if b"%EF" in line] == []
        assert all(path.startswith("good") for path in server.proxy.list_images())

    def test_no_command_stores_at_it(self, server: DaemonProcess, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(PICTURE)
        for path in ("bad\uffff", FORM):
            done = against(server, "store", tmp_path / "a.png", "--path", path)
            assert (done.status, done.out) == (1, "")
        assert fault_of(server.proxy.move_image, "good/original", FORM).faultCode == 1000
        assert all(path.startswith("good") for path in server.proxy.list_images())


class LeftOverTests:
    def test_what_an_earlier_release_stored_is_listed_and_removed(self, tmp_path: Path) -> None:
        paths = {
            BAD: PICTURE,
            WORSE: PICTURE,
            "x/c\ufffe": PICTURE,
            "x/d\ufffe": PICTURE,
            "x/e\ufffe": PICTURE,
            "x/good.png": PICTURE,
        }
        store_as_before(tmp_path / "images", paths)
        with running(tmp_path, HTTP) as daemon:
            assert daemon.proxy.list_images("x/") == [
                WORSE_FORM,
                FORM,
                ".escaped/x/c%EF%BF%BE",
                ".escaped/x/d%EF%BF%BE",
                ".escaped/x/e%EF%BF%BE",
                "x/good.png",
            ]
            assert daemon.proxy.list_images("", FORM, 1) == [".escaped/x/c%EF%BF%BE"]
            assert daemon.proxy.image_info(FORM)["path"] == FORM
            assert daemon.proxy.image_info(FORM)["digest"] == hashlib.sha256(PICTURE).hexdigest()

            assert [
                path for [path] in against(daemon, "list", "x/").rows
            ] == daemon.proxy.list_images("x/")
            assert against(daemon, "delete", WORSE_FORM).status == 0
            assert against(daemon, "erase", FORM).status == 0
            assert against(daemon, "move", ".escaped/x/c%EF%BF%BE", "x/c.png").status == 0
            assert against(daemon, "info", "x/d\ufffe").rows[0] == ["path", ".escaped/x/d%EF%BF%BE"]
            assert against(daemon, "delete", "x/d\ufffe", "x/never\uffff").status == 0
            assert (
                daemon.proxy.delete_image([".escaped/x/e%EF%BF%BE", ".escaped/never%EF%BF%BE"])
                == "OK"
            )
            assert daemon.proxy.list_images() == ["x/c.png", "x/good.png"]
            assert sorted(path for path in daemon.tree() if not path.endswith("/")) == [
                "x/c.png",
                "x/good.png",
            ]

    def test_a_peer_does_not_take_it_over_but_all_else(self, tmp_path: Path) -> None:
        store_as_before(tmp_path / "north" / "images", {BAD: PICTURE, "a.png": PICTURE})
        with Cluster(tmp_path, mesh("north", "south")) as nodes:
            north, south = nodes["north"], nodes["south"]
            nodes.wait_until_all_have({"a.png": PICTURE}, "south")
            north.proxy.store_image(PICTURE, "b.png")
            nodes.wait_until_all_have({"a.png": PICTURE, "b.png": PICTURE}, "south")
            assert south.proxy.list_images() == ["a.png", "b.png"]
            eventually(
                lambda: any(
                    "1 changes refused" in line and ascii(BAD) in line for line in south.log
                ),
                lambda: "".join(south.log),
            )

            assert against(north, "delete", FORM).status == 0
            assert nodes.wait_until_equal() == {"a.png": PICTURE, "b.png": PICTURE}
