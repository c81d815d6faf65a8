"""A daemon that cannot store images says so on /readyz, its status page and in its metrics."""

import json
import re
import xmlrpc.client
from pathlib import Path

import pytest
from PIL import Image

from tests.support.cluster import eventually
from tests.support.daemon_process import DaemonProcess, fault_of, running
from tests.support.gradients import encoded
from tests.support.image_server import HTTP, get, status
from tests.support.namespaces import needs_namespaces, small_disk

OPTIONS: dict[str, dict[str, object]] = {**HTTP, "images": {"io_threads": 1}}


def store(daemon: DaemonProcess, path: str, shade: int = 0) -> object:
    """Store a small picture without rendering."""
    picture = encoded(Image.new("L", (1, 1), shade % 256), "PNG", compress_level=1 + shade // 256)
    return daemon.proxy.store_image(xmlrpc.client.Binary(picture), path)


def check_unready(daemon: DaemonProcess, why: str) -> None:
    """All three say so."""
    page = get(daemon, "/readyz")
    assert (page.status, why in page.body.decode()) == (503, True), page
    assert f"not ready: {page.body.decode().strip()}" in {
        problem["text"] for problem in status(daemon)["problems"]
    }
    assert re.search(
        r"^imagepipe_ready 0.0$", get(daemon, "/metrics").body.decode(), flags=re.MULTILINE
    )


@needs_namespaces
def test_a_file_system_without_inodes(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with running(
        tmp_path, OPTIONS, small_disk(tmp_path / "images", "size=200m,nr_inodes=400")
    ) as daemon:
        stored, fault = 0, None
        while fault is None:
            try:
                store(daemon, f"{stored}.png", stored)
                stored += 1
            except xmlrpc.client.Fault as error:
                fault = error
        assert (fault.faultCode, "the file system has no inodes left" in fault.faultString) == (
            1001,
            True,
        )
        check_unready(daemon, "the file system has no inodes left")
        eventually(lambda: status(daemon)["disk"]["free_inodes"] < 8)
        assert status(daemon)["disk"]["total_inodes"] == 400
        assert status(daemon)["disk"]["free_bytes"] > 100 << 20
        for number in range(stored):
            daemon.proxy.delete_image(f"{number}.png")
        eventually(
            lambda: get(daemon, "/readyz").status == 200, lambda: str(get(daemon, "/readyz"))
        )
        assert store(daemon, "again.png") == "OK"


def test_a_catalogue_that_goes_away_and_comes_back_and_is_damaged(tmp_path: Path) -> None:
    with running(tmp_path, OPTIONS) as daemon:
        assert store(daemon, "a.png") == "OK"
        catalogue, away = daemon.images / ".imagepipe" / "catalogue.sqlite", tmp_path / "away"
        catalogue.rename(away)
        fault = fault_of(store, daemon, "b.png")
        assert (fault.faultCode, ".imagepipe/catalogue.sqlite is gone" in fault.faultString) == (
            1001,
            True,
        )
        assert fault_of(daemon.proxy.delete_image, "a.png").faultCode == 1001
        check_unready(daemon, ".imagepipe/catalogue.sqlite is gone")
        assert get(daemon, "/a.png").status == 200
        away.rename(catalogue)
        eventually(
            lambda: get(daemon, "/readyz").status == 200, lambda: str(get(daemon, "/readyz"))
        )
        assert store(daemon, "c.png") == "OK"

        for file in (catalogue, catalogue.with_name("catalogue.sqlite-wal")):
            with file.open("r+b") as opened:
                opened.write(b"garbage!" * 8192)
        eventually(lambda: get(daemon, "/readyz").status == 503)
        check_unready(daemon, "the catalogue is damaged")
        fault = fault_of(store, daemon, "d.png")
        assert (fault.faultCode, "put back a backup" in fault.faultString) == (1001, True)
        assert daemon.stop() == 0
    daemon = DaemonProcess(tmp_path, OPTIONS)
    try:
        with pytest.raises(RuntimeError, match=r"catalogue .* cannot be read"):
            daemon.start()
    finally:
        daemon.clean_up()


def test_what_cannot_be_looked_up_has_a_sentence(tmp_path: Path) -> None:
    with running(tmp_path, OPTIONS) as daemon:
        for number in range(3):
            store(daemon, f"{number}.png", number)
        assert daemon.stop() == 0  # so that no log holds what the main file has
    with running(tmp_path, OPTIONS) as daemon:
        catalogue = daemon.images / ".imagepipe" / "catalogue.sqlite"
        with catalogue.open("r+b") as opened:
            opened.seek(4096)
            opened.write(b"\xff" * (catalogue.stat().st_size - 4096))
        fault = fault_of(daemon.proxy.list_images)
        assert (
            fault.faultCode,
            "the catalogue is damaged (SQLITE_CORRUPT" in fault.faultString,
        ) == (1001, True)
        page = get(daemon, "/1.png")
        assert (page.status, "the catalogue is damaged" in json.loads(page.body)["error"]) == (
            503,
            True,
        )
        check_unready(daemon, "the catalogue is damaged")


def test_an_engine_that_renders_nothing(tmp_path: Path) -> None:
    convert = tmp_path / "convert"
    convert.symlink_to("/usr/bin/convert")
    images: dict[str, object] = {"engine": "imagemagick"}
    with running(
        tmp_path, {**HTTP, "images": images, "imagemagick": {"convert": convert}}
    ) as daemon:
        fault_of(
            daemon.proxy.store_image, xmlrpc.client.Binary(b"\xff\xd8\xff\xe0 no more"), "a.jpg"
        )
        assert get(daemon, "/readyz").status == 200
        convert.unlink()
        convert.symlink_to("/bin/false")
        eventually(
            lambda: bool(fault_of(store, daemon, "b.png")) and get(daemon, "/readyz").status == 503
        )
        check_unready(daemon, "no image can be rendered: ")
        convert.unlink()
        convert.symlink_to("/usr/bin/convert")
        eventually(
            lambda: get(daemon, "/readyz").status == 200, lambda: str(get(daemon, "/readyz"))
        )
        assert store(daemon, "c.png") == "OK"
