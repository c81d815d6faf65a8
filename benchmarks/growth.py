"""What it costs that a tree grows: the latency of calls, the start, the change feed and the memory
at 1 000, 100 000 and 1 000 000 paths.

The stores are filled as the product would have left them after a clean stop (files, hard links,
rows), but without its million flushes. All three daemons run at once, and each call is made of one
after the other, so that a slow moment of the machine hits all of them.
"""

import contextlib
import hashlib
import io
import itertools
import os
import shutil
import time
import xmlrpc.client
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from benchmarks.load import Request, drive
from benchmarks.photographs import distinct, photographs
from benchmarks.resident_memory import resident_bytes
from benchmarks.results import Chart, Goal, Section, Series, Table, ratio
from imagepipe.core.rows.entries import Content, Entry, ImageFacts
from imagepipe.core.rows.stamp import Version, next_stamp
from imagepipe.errors import FlushError
from imagepipe.storage.catalogue.catalogue import Catalogue
from imagepipe.storage.health import Health
from imagepipe.storage.layout import Layout
from imagepipe.storage.store import Store
from tests.support.daemon_process import DaemonProcess

SIZES = (1_000, 100_000, 1_000_000)
ROWS_AT_ONCE = 10_000
FEED_ROWS = 1_000
HTTP: dict[str, dict[str, object]] = {"http": {"interface": "127.0.0.1", "port": 0}}

_numbers = itertools.count()

Call = Callable[[DaemonProcess, int], object]


def measure(folder: Path, *, quick: bool) -> Section:
    """All sizes side by side."""
    sizes = (100, 1_000, 10_000) if quick else SIZES
    roots = {size: folder / str(size) for size in sizes}
    try:
        for size, root in roots.items():
            started = time.monotonic()
            fill(root / "images", size)
            print(f"  filled with {size} paths in {time.monotonic() - started:.0f} s")
        feed = {size: _feed(root / "images", size) for size, root in roots.items()}
        return _measured(roots, feed, rounds=3 if quick else 40)
    finally:
        for root in roots.values():
            shutil.rmtree(root, ignore_errors=True)


def fill(root: Path, count: int) -> None:
    """A store that was stopped cleanly, with `count` images of some hundred bytes, each another."""
    _open(root).close()
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, "JPEG")
    layout = Layout(root)
    catalogue = Catalogue(layout.catalogue, Health(_fail))
    made: set[Path] = set()
    for first in range(0, count, ROWS_AT_ONCE):
        entries = []
        for number in range(first, min(first + ROWS_AT_ONCE, count)):
            image = file.getvalue() + b"%d" % number
            digest = hashlib.sha256(image).hexdigest()
            object_ = layout.objects / digest[:2] / digest
            object_.write_bytes(image)
            path = _path(number)
            if (root / path).parent not in made:
                (root / path).parent.mkdir(parents=True)
                made.add((root / path).parent)
            os.link(object_, root / path)
            stamp = next_stamp(time.time_ns() // 1_000_000, ())
            entries.append(
                Entry(
                    path,
                    Version(stamp, catalogue.node_id),
                    None,
                    Content(digest, len(image)),
                    number + 1,
                )
            )
        catalogue.begin()
        catalogue.put(
            entries,
            {entry.content.digest: ImageFacts("jpeg", 8, 8) for entry in entries if entry.content},
        )
        catalogue.commit()
        catalogue.checkpoint_wal()
    catalogue.set_projected(count)
    catalogue.set_clean(True)
    catalogue.close()


def _open(root: Path) -> Store:
    root.mkdir(parents=True, exist_ok=True)
    store = Store.open(
        root, umask=0o022, now_ms=lambda: time.time_ns() // 1_000_000, on_fatal=_fail
    )
    store.start()
    return store


def _fail(error: FlushError) -> None:
    raise error


def _path(number: int) -> str:
    """As applications name them: folders of a thousand."""
    return f"items/{number // 1000:04d}/{number}.jpg"


def _feed(root: Path, count: int) -> tuple[float, float]:
    """How many rows of changes a second are read, from the beginning and at the end of all."""
    store = _open(root)
    try:
        rates = []
        for after in (0, count - FEED_ROWS):
            taken = []
            for _ in range(5):
                started = time.perf_counter()
                rows = store.peers.changes(max(0, after), FEED_ROWS).rows
                taken.append(len(rows) / (time.perf_counter() - started))
            rates.append(sorted(taken)[2])
        return rates[0], rates[1]
    finally:
        store.close()


def _measured(roots: dict[int, Path], feed: dict[int, tuple[float, float]], rounds: int) -> Section:
    daemons: dict[int, DaemonProcess] = {}
    with contextlib.ExitStack() as stack:
        stack.callback(_clean_up, daemons)
        starts = _starts(roots, daemons, 2 if rounds < 10 else 5)
        rest = {size: resident_bytes([daemon.process.pid]) for size, daemon in daemons.items()}
        calls = _calls(daemons, rounds)
        after = {size: resident_bytes([daemon.process.pid]) for size, daemon in daemons.items()}
        crashed = _starts(roots, daemons, 1 if rounds < 10 else 3, crash=True)
        sweeping = _calls(daemons, rounds)["store without rendering"]

    sizes = list(daemons)
    columns = ("", *(f"{size:,} paths".replace(",", " ") for size in sizes), "last / first")
    rows: list[tuple[str, ...]] = []
    for name, series in calls.items():
        rows.append(
            (
                f"{name}, ms",
                *(series[size].text(1) for size in sizes),
                f"{ratio(series[sizes[-1]], series[sizes[0]]):.2f}",
            )
        )
    rows.append(
        (
            "store without rendering, in the minute after kill -9, ms",
            *(sweeping[size].text(1) for size in sizes),
            f"{ratio(sweeping[sizes[-1]], sweeping[sizes[0]]):.2f}",
        )
    )
    for name, found in (
        ("start after a clean stop, s", starts),
        ("start after kill -9, s", crashed),
    ):
        rows.append(
            (
                name,
                *(found[size].text(2) for size in sizes),
                f"{found[sizes[-1]].median / found[sizes[0]].median:.2f}",
            )
        )
    for at, name in enumerate(("changes from the beginning, rows/s", "changes at the end, rows/s")):
        rows.append(
            (
                name,
                *(f"{feed[size][at]:.0f}" for size in sizes),
                f"{feed[sizes[-1]][at] / feed[sizes[0]][at]:.2f}",
            )
        )
    for name, held in (("memory at rest, MiB", rest), ("memory after the calls, MiB", after)):
        rows.append(
            (
                name,
                *(f"{held[size] / (1 << 20):.1f}" for size in sizes),
                f"{held[sizes[-1]] / held[sizes[0]]:.2f}",
            )
        )
    for row in rows:
        print("  " + "  ".join(row))
    store = calls["store without rendering"]
    goals = [
        Goal(
            "latency of a store with the most paths, relative to the fewest",
            1.2,
            ratio(store[sizes[-1]], store[sizes[0]]),
            at_most=True,
        ),
        Goal(
            "start after a clean stop with the most paths",
            3.0,
            starts[sizes[-1]].median,
            at_most=True,
            unit=" s",
        ),
        Goal(
            "memory of the daemon with the most paths, relative to the fewest",
            1.3,
            after[sizes[-1]] / after[sizes[0]],
            at_most=True,
        ),
    ]
    chart = Chart(
        "growth",
        "Latency of calls as the tree grows",
        "ms",
        {
            name: [calls[name][size] for size in sizes]
            for name in ("store without rendering", "store of one size", "delete", "move")
        },
        sizes,
        "paths",
        logarithmic=True,
    )
    note = (
        "Memory is the proportional set size of the daemon alone. One client; the three daemons run"
        " side by side and take turns."
    )
    return Section((Table("Growth", columns, rows, note),), goals, (chart,))


def _starts(
    roots: dict[int, Path], daemons: dict[int, DaemonProcess], rounds: int, *, crash: bool = False
) -> dict[int, Series]:
    """The seconds from the start of the process to its ready line; they run at the end."""
    taken: dict[int, list[float]] = {size: [] for size in roots}
    for _ in range(rounds):
        for size, root in roots.items():
            if size in daemons:
                _end(daemons[size], crash=crash)
            daemons[size] = DaemonProcess(root, HTTP)
            started = time.perf_counter()
            daemons[size].start()
            taken[size].append(time.perf_counter() - started)
    return {size: Series(tuple(values)) for size, values in taken.items()}


def _clean_up(daemons: dict[int, DaemonProcess]) -> None:
    for daemon in daemons.values():
        daemon.clean_up()


def _end(daemon: DaemonProcess, *, crash: bool) -> None:
    if crash:
        daemon.kill()
    else:
        daemon.stop()


def _calls(daemons: dict[int, DaemonProcess], rounds: int) -> dict[str, dict[int, Series]]:
    """Milliseconds of each call, by the number of paths."""
    photograph = photographs(0.5, "jpeg", 1)[0].read_bytes()
    small = _small(photograph)
    calls: dict[str, Call] = {
        "store without rendering": lambda daemon, number: daemon.proxy.store_image(
            _binary(small, number), f"items/0000/new{number}.jpg"
        ),
        "store of one size": lambda daemon, number: daemon.proxy.store_image(
            _binary(photograph, number), f"items/0000/sized{number}.jpg", "jpg", [300, 300]
        ),
        "replace": lambda daemon, number: daemon.proxy.store_image(
            _binary(small, number), _path(7)
        ),
        "move": lambda daemon, number: daemon.proxy.move_image(
            f"items/0000/new{number}.jpg", f"items/0000/moved{number}.jpg"
        ),
        "delete": lambda daemon, number: daemon.proxy.delete_image(f"items/0000/moved{number}.jpg"),
        "image_info": lambda daemon, _: daemon.proxy.image_info(_path(50)),
        "list_images, 1000": lambda daemon, _: daemon.proxy.list_images("items/0000/", "", 1000),
        "GET of a file": lambda daemon, number: drive(
            [Request(f"{daemon.http_url.rstrip('/')}/{_path(number % 90)}")], 1
        ),
        "GET of /status.json": lambda daemon, _: drive(
            [Request(f"{daemon.http_url.rstrip('/')}/status.json")], 1
        ),
        "GET of /metrics": lambda daemon, _: drive(
            [Request(f"{daemon.http_url.rstrip('/')}/metrics")], 1
        ),
    }
    taken: dict[str, dict[int, list[float]]] = {
        name: {size: [] for size in daemons} for name in calls
    }
    for at in range(rounds + 1):
        number = next(_numbers)
        for name, call in calls.items():
            for size, daemon in daemons.items():
                started = time.perf_counter()
                call(daemon, number)
                if at:
                    taken[name][size].append(1000 * (time.perf_counter() - started))
    return {
        name: {size: Series(tuple(values)) for size, values in by_size.items()}
        for name, by_size in taken.items()
    }


def _small(photograph: bytes) -> bytes:
    """About 20 KiB."""
    file = io.BytesIO()
    with Image.open(io.BytesIO(photograph)) as picture:
        picture.resize((320, 240)).save(file, "JPEG", quality=90)
    return file.getvalue()


def _binary(image: bytes, number: int) -> xmlrpc.client.Binary:
    return xmlrpc.client.Binary(distinct(image, number))
