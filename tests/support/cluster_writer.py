"""Clients that write to a cluster."""

import concurrent.futures
import itertools
import random
import struct
import xmlrpc.client
import zlib
from collections.abc import Callable, Iterable

from tests.support.daemon_process import DaemonProcess, text


class ClusterWriter:
    """A client that stores, replaces, moves and deletes images below a folder of its own, or stores
    only; `images` is what must be there then.
    """

    def __init__(
        self, daemon: DaemonProcess, name: str, calls: int = 60, *, stores_only: bool = False
    ) -> None:
        self.daemon = daemon
        self.name = name
        self.images: dict[str, bytes] = {}
        self._calls = calls
        self._stores_only = stores_only
        self._random = random.Random(name)
        self._numbers = itertools.count(1)

    def run(self) -> None:
        """Make the calls, and return when all were answered."""
        proxy = self.daemon.proxy
        for _ in range(self._calls):
            self._call(proxy)

    def _call(self, proxy: xmlrpc.client.ServerProxy) -> None:
        number = next(self._numbers)
        mine = sorted(self.images)
        what = (
            "store"
            if self._stores_only or len(mine) < 4
            else self._random.choice(["store", "store", "replace", "move", "delete"])
        )
        image = png(zlib.crc32(self.name.encode()) + number)
        path = f"{self.name}/{number % 5}/{number}.png"
        if what == "store":
            proxy.store_image(text(image), path)
            self.images[path] = image
        elif what == "replace":
            chosen = self._random.choice(mine)
            proxy.store_image(text(image), chosen)
            self.images[chosen] = image
        elif what == "move":
            chosen = self._random.choice(mine)
            proxy.move_image(chosen, path)
            self.images[path] = self.images.pop(chosen)
        else:
            chosen = self._random.choice(mine)
            proxy.delete_image(chosen)
            del self.images[chosen]


def together(runs: Iterable[Callable[[], object]]) -> None:
    """Run all at once, to the end."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for done in [pool.submit(run) for run in runs]:
            done.result()


def png(number: int) -> bytes:
    """A small PNG; each number another."""
    rows = b"".join(
        b"\0" + struct.pack(">III", number & 0xFFFFFFFF, row, number >> 3 & 0xFFFFFFFF)
        for row in range(16)
    )
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 4, 16, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
