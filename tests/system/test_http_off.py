"""A daemon whose image server is turned off keeps no renditions: nobody would remove those of
images that are deleted.
"""

import os
import xmlrpc.client
from pathlib import Path

from tests.support.cluster import eventually
from tests.support.daemon_process import running
from tests.support.http_client import request

HTTP = {"http": {"interface": "127.0.0.1", "port": 0}}


def test_renditions_go_and_come_back(tmp_path: Path, picture: bytes) -> None:
    cache = tmp_path / "images" / ".imagepipe" / "cache"
    with running(tmp_path, HTTP) as daemon:
        daemon.proxy.store_image(xmlrpc.client.Binary(picture), "a.jpg")
        first = request(daemon.http_url, "/a.jpg/w20.jpg")
        assert daemon.stop() == 0
    assert files_in(cache)
    with running(tmp_path) as daemon:
        assert daemon.http_url == ""
        eventually(lambda: not files_in(cache))  # it is tidied while the daemon is at work already
        assert daemon.stop() == 0
    with running(tmp_path, HTTP) as daemon:
        again = request(daemon.http_url, "/a.jpg/w20.jpg")
    assert (first.status, again.status) == (200, 200)
    assert first.body == again.body


def files_in(folder: Path) -> list[str]:
    """The files in a folder and below it; they may be going at this moment."""
    return [name for _, _, names in os.walk(folder) for name in names]
