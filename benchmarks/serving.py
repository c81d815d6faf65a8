"""Serving: a stored file and a rendition that was made before, directly and through nginx, beside
plain nginx, thumbor, ipx and SeaweedFS; and files as they come, stored.

Many different files are asked for in turn. Whoever keeps results has made all of them before; ipx
keeps none, and makes each anew.
"""

import contextlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.photographs import distinct
from benchmarks.results import Chart, Goal, Section, Series, Table, ratio
from benchmarks.seaweedfs import SeaweedFS, seaweedfs
from benchmarks.serving_cases import (
    BEHIND,
    CAREFUL,
    FILE,
    FILER,
    FILER_FLUSHED,
    IPX,
    MANY,
    OURS,
    PLAIN,
    RENDITION,
    THUMBOR,
    UPLOAD,
    Case,
    add_many,
    check,
    new_folder,
    small_image,
    start,
)
from benchmarks.wrk import Ask, Measured, wrk
from tests.support.daemon_process import DaemonProcess, running

NOTES = {
    (FILE, OURS): "from memory",
    (
        FILE,
        CAREFUL,
    ): "as in contrib/nginx.conf: symbolic links are not followed, so it opens each folder",
    (MANY, OURS): "read from the page cache, on a thread",
    (RENDITION, OURS): "from memory",
    (RENDITION, IPX): "caches nothing and renders each time",
    (RENDITION, THUMBOR): "two processes, results cached in files",
    (RENDITION, PLAIN): "the same bytes as files",
    (RENDITION, BEHIND): "looks in the tree, then in its cache",
    (UPLOAD, OURS): "POST; bytes, folders and catalogue flushed",
    (UPLOAD, FILER): "PUT; nothing flushed",
    (UPLOAD, FILER_FLUSHED): "PUT; bytes flushed, the filer's index not",
}
UPLOADS = 1000

OPTIONS: dict[str, dict[str, object]] = {
    "http": {"interface": "127.0.0.1", "port": 0},
    "images": {"io_threads": 2},
}


def measure(folder: Path, *, quick: bool) -> Section:
    """All of it, in rounds in which every server has its turn."""
    count, rounds, seconds = (200, 2, 1) if quick else (1000, 7, 1)
    image = small_image()
    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(running(new_folder(folder / "imagepipe"), OPTIONS))
        weed = stack.enter_context(seaweedfs(new_folder(folder / "seaweedfs")))
        cases = start(
            folder, daemon, weed, [distinct(image, number) for number in range(count)], stack
        )
        if not quick:
            cases[MANY] = add_many(cases[FILE], daemon, image, count)
        for name, case in (
            (name, case) for servers in cases.values() for name, case in servers.items()
        ):
            check(name, case)
        found = {
            what: _measured(folder, what, servers, rounds, seconds)
            for what, servers in cases.items()
        }
        found[UPLOAD] = _uploaded(folder, daemon, weed, image, rounds, seconds)
    return _section(found, len(image))


def _measured(
    folder: Path, what: str, servers: Mapping[str, Case], rounds: int, seconds: float
) -> dict[str, list[Measured]]:
    print(what)
    found: dict[str, list[Measured]] = {name: [] for name in servers}
    for number in range(rounds + 1):
        for name, case in servers.items():
            measured = wrk(folder, case.url, case.asks, seconds=seconds)
            if number:  # the first round warms up
                found[name].append(measured)
    for name, values in found.items():
        print(f"  {name:30} {_series(values).text()} answers/s")
    return found


def _uploaded(
    folder: Path, daemon: DaemonProcess, weed: SeaweedFS, image: bytes, rounds: int, seconds: float
) -> dict[str, list[Measured]]:
    """Files that nobody has seen before, given to each by HTTP as they are; who takes more of them
    in a round is given some a second time.
    """
    print(UPLOAD)
    found: dict[str, list[Measured]] = {OURS: [], FILER: [], FILER_FLUSHED: []}
    for number in range(rounds + 1):
        uploads = new_folder(folder / f"uploads-{number}")
        for at in range(UPLOADS):
            (uploads / str(at)).write_bytes(distinct(image, 1_000_000 + number * UPLOADS + at))
        for place, (name, url, method, query) in enumerate(
            (
                (OURS, daemon.http_url.rstrip("/"), "POST", ""),
                (FILER, weed.filer, "PUT", ""),
                (FILER_FLUSHED, weed.filer, "PUT", "?fsync=true"),
            )
        ):
            headers = {"Content-Type": "image/jpeg"}
            asks = [
                Ask(
                    f"/uploads/{number}-{place}/{at % 100}/{at}{query}",
                    headers,
                    method,
                    uploads / str(at),
                )
                for at in range(UPLOADS)
            ]
            measured = wrk(folder, url, asks, seconds=seconds)
            if number:
                found[name].append(measured)
        shutil.rmtree(uploads)
    for name, values in found.items():
        print(f"  {name:30} {_series(values).text()} answers/s")
    return found


def _section(found: Mapping[str, Mapping[str, Sequence[Measured]]], size: int) -> Section:
    rows, rates = [], {}
    for what, servers in found.items():
        for name, values in servers.items():
            rates[what, name] = _series(values)
            p50, p99 = (
                Series(tuple(getattr(value, field) for value in values)).median
                for field in ("p50_ms", "p99_ms")
            )
            share = ratio(rates[what, OURS], rates[what, name])
            rows.append(
                (
                    what,
                    name,
                    rates[what, name].text(),
                    f"{p50:.2f}",
                    f"{p99:.2f}",
                    f"{share:.2f}",
                    NOTES.get((what, name), ""),
                )
            )
    table = Table(
        f"Serving files of {size / 1000:.0f} KB, and renditions of them, 16 connections",
        ("answer", "from", "answers/s", "ms p50", "ms p99", "speedup of imagepipe itself", ""),
        rows,
        "Many different files in turn. nginx has one worker in both cases; imagepipe is one process"
        " and logs each request.",
    )
    goals = [
        Goal(
            f"{what} through contrib/nginx.conf, relative to plain nginx",
            0.95,
            ratio(rates[what, BEHIND], rates[what, PLAIN]),
        )
        for what in (FILE, RENDITION)
    ]
    goals.append(
        Goal(
            "cached rendition directly from imagepipe, relative to thumbor's",
            3.0,
            ratio(rates[RENDITION, OURS], rates[RENDITION, THUMBOR]),
        )
    )
    charts = [
        Chart(
            name,
            f"{what[0].upper()}{what[1:]}",
            "answers/s",
            {server: [rates[what, server]] for server in found[what]},
        )
        for name, what in (("serving-files", FILE), ("serving-renditions", RENDITION))
    ]
    return Section((table,), goals, charts)


def _series(values: Sequence[Measured]) -> Series:
    return Series(tuple(value.rate for value in values))
