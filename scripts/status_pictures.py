"""Takes the screenshots of the status page in the documentation: a busy cluster of three nodes, one
of which has just been killed.

    python scripts/status_pictures.py [MINUTES]        10 by default; writes docs/status.png and
                                                       docs/status-phone.png

It needs what `make test` installs: the nodes are those of the tests, and the browser is Chromium.
"""

import base64
import contextlib
import itertools
import math
import sys
import tempfile
import threading
import time
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pyvips

from tests.support.chromium import Page, opened
from tests.support.cluster import Cluster, eventually, mesh
from tests.support.daemon_process import DaemonProcess
from tests.support.image_server import HTTP, status
from tests.support.repository import ROOT

NODES = ("berlin", "hamburg", "munich")
PICTURES = {"status.png": 824, "status-phone.png": 360}
"""File -> the width of the window in pixels."""


def main(minutes: float) -> None:
    named = {name: {"network": {"name": name}} for name in NODES}
    with (
        tempfile.TemporaryDirectory() as folder,
        Cluster(Path(folder), mesh(*NODES), HTTP, each=named, named=True) as nodes,
    ):
        shown, _, lost = (nodes[name] for name in NODES)
        stop = threading.Event()
        clients = [
            threading.Thread(target=work, args=(nodes[name], name, stop))
            for name in NODES[:2]
            for _ in range(2)
        ]
        for client in clients:
            client.start()
        time.sleep(minutes * 60)
        lost.kill()
        eventually(lambda: len(status(shown)["problems"]) >= 2)
        with opened() as page:
            page.go(shown.http_url + "status")
            page.wait_for(lambda: "NOT CONNECTED" in page.text)
            for name, width in PICTURES.items():
                take(page, width, ROOT / "docs" / name)
        stop.set()
        for client in clients:
            client.join()


def take(page: Page, width: int, file: Path) -> None:
    """Take a picture of the whole page in a window of this width."""
    page.resize(width, 800)
    # Few colours are in it: a palette of them makes it a quarter as long.
    pyvips.Image.new_from_buffer(base64.b64decode(page.picture()), "").pngsave(
        str(file), palette=True, compression=9
    )
    print(f"{file}: {file.stat().st_size >> 10} KiB")


def work(node: DaemonProcess, name: str, stop: threading.Event) -> None:
    """Store photographs, and look at renditions of them, more at some times than at others."""
    proxy = node.proxy
    for number, photo in enumerate(itertools.cycle(photographs())):
        if stop.wait(0.4 + 0.35 * math.sin(time.time() / 60)):
            return
        path = f"{name}/{threading.get_ident()}/{number % 40}.jpg"
        with contextlib.suppress(OSError, xmlrpc.client.Fault):
            proxy.store_image(
                xmlrpc.client.Binary(photo), path, None, {"": [640, 640], "_small": [120, 120]}
            )
            for width in range(100, 900, 100):
                with urlopen(f"{node.http_url}{path}/w{width}.webp") as answer:
                    answer.read()


def photographs() -> Iterator[bytes]:
    """Some of those that the tests use."""
    files = sorted((ROOT / ".cache/photos/usr/share/backgrounds").glob("*.jpg"))
    return (file.read_bytes() for file in files[:6])


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0)
