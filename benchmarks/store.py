"""Storing: images a second and milliseconds for each, over XML-RPC, beside one `convert` for each
size, as the first imagepipe did it, and beside what the machine could do in process.
"""

import contextlib
import itertools
import shutil
import statistics
import xmlrpc.client
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks.limits import Workers, convert_per_size, libvips, pillow
from benchmarks.load import Driven, Request, drive
from benchmarks.photographs import distinct, photographs
from benchmarks.results import Chart, Goal, Section, Series, Table, ratio
from tests.support.daemon_process import DaemonProcess, running

SIDES = {"three sizes": (500, 250, 50), "one size": (500,)}
CLIENTS = (1, 2, 4, 8)
SOURCES: list[tuple[float, str]] = [
    (0.5, "jpeg"),
    (4, "jpeg"),
    (12, "jpeg"),
    (24, "jpeg"),
    (4, "png"),
    (12, "png"),
    (4, "webp"),
    (12, "webp"),
]
WAYS = {
    "libvips in process": libvips,
    "Pillow in process": pillow,
    "one convert for each size": convert_per_size,
}
GOALS = {"one convert for each size": 15.0, "libvips in process": 0.8}

_numbers = itertools.count()

Way = Callable[[], float]
"""Does one round; images a second."""


def measure(folder: Path, *, quick: bool) -> Section:
    """All of it, in rounds in which every rival has its turn."""
    with contextlib.ExitStack() as stack:
        daemons = {}
        for engine in ("vips", "imagemagick"):
            (folder / engine).mkdir()
            daemons[engine] = stack.enter_context(
                running(folder / engine, {"images": {"engine": engine, "io_threads": 2}})
            )
        workers = {name: stack.enter_context(Workers(way)) for name, way in WAYS.items()}
        outputs = folder / "outputs"
        clients = _by_clients(daemons, 2 if quick else 7)
        sources = _by_source(daemons, workers, outputs, quick=quick)
    return Section(
        (*clients.tables, *sources.tables),
        (*clients.goals, *sources.goals),
        (*clients.charts, *sources.charts),
    )


def call(url: str, image: bytes, sides: Sequence[int]) -> Request:
    """A store_image of a picture that was never stored before, at a path of its own, as
    xmlrpc.client sends it.
    """
    number = next(_numbers)
    sizes = {f"_{side}": [side, side] for side in sides}
    arguments = (
        xmlrpc.client.Binary(distinct(image, number)),
        f"{number % 100}/{number}.jpg",
        "jpg",
        sizes,
    )
    return Request(
        url,
        xmlrpc.client.dumps(arguments, "store_image").encode(),
        {"Content-Type": "text/xml"},
        b"<string>OK</string>",
    )


def _by_clients(daemons: dict[str, DaemonProcess], rounds: int) -> Section:
    images = [photograph.read_bytes() for photograph in photographs(12, "jpeg", 8)]
    print("Store of 12-megapixel JPEGs, by clients")
    cases = [
        (engine, sizes, clients) for engine in daemons for sizes in SIDES for clients in CLIENTS
    ]
    rates: dict[tuple[str, str, int], list[float]] = {case: [] for case in cases}
    latencies: dict[tuple[str, str, int], list[float]] = {case: [] for case in cases}
    for number in range(rounds + 1):
        for case in cases:
            engine, sizes, clients = case
            driven = _store(daemons[engine], images, SIDES[sizes], clients)
            if number:  # the first round warms up
                rates[case].append(driven.rate)
                latencies[case] += driven.latencies
    rows = []
    for case in cases:
        engine, sizes, clients = case
        milliseconds = sorted(1000 * seconds for seconds in latencies[case])
        p50, p99 = statistics.median(milliseconds), milliseconds[int(len(milliseconds) * 0.99)]
        rows.append(
            (
                engine,
                sizes,
                str(clients),
                Series(tuple(rates[case])).text(1),
                f"{p50:.0f}",
                f"{p99:.0f}",
            )
        )
        print("  " + "  ".join(rows[-1]))
    table = Table(
        "Store over XML-RPC, 12-megapixel JPEG",
        ("engine", "outputs", "clients", "images/s", "ms p50", "ms p99"),
        rows,
        "Base64 in XML, as xmlrpc.client writes it; each image and path is new; the answer comes"
        " when all outputs are on the disk.",
    )
    chart = Chart(
        "store-clients",
        "Store of 12-megapixel JPEGs",
        "images/s",
        {
            f"{engine}, {sizes}": [
                Series(tuple(rates[engine, sizes, clients])) for clients in CLIENTS
            ]
            for engine in daemons
            for sizes in SIDES
        },
        CLIENTS,
        "clients",
    )
    return Section((table,), (), (chart,))


def _by_source(
    daemons: dict[str, DaemonProcess], workers: dict[str, Workers], outputs: Path, *, quick: bool
) -> Section:
    rows, goals, bars = [], [], {}
    for megapixels, format in [(12, "jpeg")] if quick else SOURCES:
        files = photographs(megapixels, format, 8 if megapixels <= 12 and format == "jpeg" else 4)
        images = [file.read_bytes() for file in files]
        ways: dict[str, Way] = {
            f"imagepipe, {engine}": partial(_rate, daemon, images)
            for engine, daemon in daemons.items()
        }
        ways |= {name: partial(_limit, workers[name], files, outputs) for name in workers}
        rates = _rounds(ways, 3 if quick else 5 if megapixels > 4 and format == "jpeg" else 3)
        ours = rates["imagepipe, vips"]
        print(f"{megapixels} megapixels, {format}, three sizes, four clients")
        for name, series in rates.items():
            rows.append(
                (f"{megapixels:g} {format}", name, series.text(1), f"{ratio(ours, series):.2f}")
            )
            print("  " + "  ".join(rows[-1]))
        if (megapixels, format) == (12, "jpeg"):
            bars = {name: [series] for name, series in rates.items()}
            goals = [
                Goal(
                    f"store of three sizes of a 12-megapixel JPEG, 4 clients, relative to {name}",
                    GOALS[name],
                    ratio(ours, rates[name]),
                )
                for name in GOALS
            ]
    table = Table(
        "Store of three sizes, 4 clients, compared with other ways to make the same outputs",
        ("source", "way", "images/s", "speedup of imagepipe (vips)"),
        rows,
        "In process: two workers, files in and files out, no network, no hash, nothing flushed.",
    )
    return Section(
        (table,),
        goals,
        (
            Chart(
                "store", "Store of three sizes of a 12-megapixel JPEG, 4 clients", "images/s", bars
            ),
        ),
    )


def _rounds(ways: dict[str, Way], rounds: int) -> dict[str, Series]:
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            rate = way()
            if number:
                rates[name].append(rate)
    return {name: Series(tuple(values)) for name, values in rates.items()}


def _store(
    daemon: DaemonProcess,
    images: Sequence[bytes],
    sides: Sequence[int],
    clients: int,
    count: int = 16,
) -> Driven:
    requests = [
        call(daemon.url, image, sides) for image in itertools.islice(itertools.cycle(images), count)
    ]
    return drive(requests, clients)


def _rate(daemon: DaemonProcess, images: Sequence[bytes]) -> float:
    return _store(daemon, images, SIDES["three sizes"], 4).rate


def _limit(workers: Workers, files: Sequence[Path], outputs: Path) -> float:
    outputs.mkdir()
    seconds = workers.run(files, SIDES["three sizes"], outputs)
    shutil.rmtree(outputs)
    return len(files) / seconds
