"""Renditions on demand: the first GET of a size of an original, by imagepipe and by the servers
that people pick today; memory, too.
"""

import contextlib
import itertools
import statistics
import xmlrpc.client
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks import rivals
from benchmarks.load import Driven, Request, drive
from benchmarks.photographs import distinct, photographs
from benchmarks.resident_memory import Peak
from benchmarks.results import Chart, Goal, Section, Series, Table, ratio
from tests.support.daemon_process import DaemonProcess, running

CLIENTS = 4
WIDTH = 500
SOURCES: list[tuple[float, str]] = [
    (0.5, "jpeg"),
    (4, "jpeg"),
    (12, "jpeg"),
    (24, "jpeg"),
    (4, "png"),
    (4, "webp"),
]
GOAL_SOURCES: list[tuple[float, str]] = [(4, "jpeg"), (12, "jpeg")]
GOALS = {"ipx": 1.2, "thumbor": 1.0}

Url = Callable[[str, int], str]
"""From the name of an original and a width."""


def measure(folder: Path, *, quick: bool) -> Section:
    """All servers are up, and take turns."""
    originals = folder / "originals"
    originals.mkdir()
    sources = GOAL_SOURCES if quick else SOURCES
    rounds = 2 if quick else 5
    names = {
        source: [_lay_out(originals, number, *source) for number in range(rounds + 1)]
        for source in sources
    }
    with contextlib.ExitStack() as stack:
        urls: dict[str, Url] = {}
        leaders: dict[str, int] = {}
        for engine in ("vips", "imagemagick"):
            daemon = _daemon(stack, folder / engine, originals, engine)
            urls[f"imagepipe, {engine}"] = partial(_rendition, daemon.http_url)
            leaders[f"imagepipe, {engine}"] = daemon.process.pid
        for start in (rivals.thumbor, rivals.ipx, rivals.image_filter, rivals.pilbox):
            with_own = folder / start.__name__
            with_own.mkdir()
            try:
                server = stack.enter_context(start(with_own, originals))
            except (OSError, RuntimeError) as error:
                print(f"  {start.__name__} is left out: {error}")
                continue
            urls[server.name], leaders[server.name] = server.url, server.process_id
        return _compare(names, urls, leaders, rounds)


def _compare(
    names: dict[tuple[float, str], list[list[str]]],
    urls: dict[str, Url],
    leaders: dict[str, int],
    rounds: int,
) -> Section:
    rows: list[tuple[str, ...]] = []
    charts: dict[str, list[Series]] = {}
    goal_ratios: dict[str, list[float]] = {name: [] for name in GOALS}
    peaks = dict.fromkeys(urls, 0)
    for megapixels, format in names:
        source = (megapixels, format)
        print(f"First GET of {WIDTH} px, {megapixels} megapixels, {format}, {CLIENTS} clients")
        driven: dict[str, list[Driven]] = {name: [] for name in urls}
        for number in range(rounds + 1):
            for name, url in urls.items():
                requests = [Request(url(original, WIDTH)) for original in names[source][number]]
                try:
                    with Peak(leaders[name]) as peak:
                        one = drive(requests, CLIENTS)
                except RuntimeError as error:
                    print(f"  {name}: {error}")
                    continue
                peaks[name] = max(peaks[name], peak.bytes)
                if number:
                    driven[name].append(one)
        ours = Series(tuple(one.rate for one in driven["imagepipe, vips"]))
        for name, found in driven.items():
            if len(found) < rounds:
                rows.append((f"{megapixels:g} {format}", name, "not answered", "", "", ""))
                continue
            rates = Series(tuple(one.rate for one in found))
            milliseconds = statistics.median(
                1000 * seconds for one in found for seconds in one.latencies
            )
            kilobytes = statistics.median(
                one.received_bytes / len(one.latencies) / 1000 for one in found
            )
            rows.append(
                (
                    f"{megapixels:g} {format}",
                    name,
                    rates.text(1),
                    f"{milliseconds:.0f}",
                    f"{kilobytes:.0f}",
                    f"{ratio(ours, rates):.2f}",
                )
            )
            print("  " + "  ".join(rows[-1]))
            if source in GOAL_SOURCES and name in GOALS:
                goal_ratios[name] += [a / b for a, b in zip(ours.values, rates.values, strict=True)]
            if source == GOAL_SOURCES[-1]:
                charts[name] = [rates]
    columns = ("source", "server", "answers/s", "ms p50", "kB", "speedup of imagepipe (vips)")
    table = Table(
        f"First GET at {WIDTH} px, {CLIENTS} clients",
        columns,
        rows,
        "JPEG at quality 85; each original is requested once.",
    )
    held = Table(
        "Peak memory",
        ("server", "MiB"),
        [(name, f"{peaks[name] / (1 << 20):.0f}") for name in urls],
        "Proportional set size of the server and all its processes, over all sources of this"
        " section.",
    )
    goals = [
        Goal(
            f"first GET at {WIDTH} px of JPEGs of 4 and 12 megapixels, relative to {name}",
            wanted,
            statistics.median(goal_ratios[name]),
        )
        for name, wanted in GOALS.items()
        if goal_ratios[name]
    ]
    return Section(
        (table, held),
        goals,
        (
            Chart(
                "on-demand", f"First GET at {WIDTH} px of 12-megapixel JPEGs", "answers/s", charts
            ),
        ),
    )


def _lay_out(originals: Path, number: int, megapixels: float, format: str) -> list[str]:
    """Originals for a round: others than those of any other round."""
    names = []
    is_goal = (megapixels, format) in GOAL_SOURCES
    files = photographs(megapixels, format, 16 if is_goal and megapixels <= 4 else 8)
    for turn, file in itertools.product(range(2 if is_goal else 1), files):
        names.append(f"{megapixels:g}-{number}-{turn}-{file.name}")
        (originals / names[-1]).write_bytes(distinct(file.read_bytes(), 2 * number + turn))
    return names


def _daemon(
    stack: contextlib.ExitStack, folder: Path, originals: Path, engine: str
) -> DaemonProcess:
    """A daemon that has all of them as originals."""
    folder.mkdir()
    options: dict[str, dict[str, object]] = {
        "images": {"engine": engine, "io_threads": 2},
        "http": {"interface": "127.0.0.1", "port": 0},
    }
    daemon = stack.enter_context(running(folder, options))
    for original in sorted(originals.iterdir()):
        daemon.proxy.store_image(xmlrpc.client.Binary(original.read_bytes()), original.name)
    return daemon


def _rendition(url: str, original: str, width: int) -> str:
    return f"{url.rstrip('/')}/{original}/w{width}.jpg"
