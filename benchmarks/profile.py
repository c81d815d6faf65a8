"""Where the time of one store goes, stage by stage, as `twistd imagepipe --profile` logs it."""

import itertools
import re
from pathlib import Path

from benchmarks.load import drive
from benchmarks.photographs import photographs
from benchmarks.results import Section, Series, Table
from benchmarks.store import SIDES, call
from imagepipe.runtime.profiling import STORE_STAGES
from tests.support.daemon_process import running

CLIENTS = (1, 4)


def measure(folder: Path, *, quick: bool) -> Section:
    """Stores of a 12-megapixel JPEG in three sizes: one after another, and four at a time."""
    images = [photograph.read_bytes() for photograph in photographs(12, "jpeg", 8)]
    count = 16 if quick else 96
    found: dict[int, dict[str, list[float]]] = {}
    totals: dict[int, list[float]] = {}
    for clients in CLIENTS:
        own = folder / str(clients)
        own.mkdir()
        with running(
            own, {"images": {"engine": "vips", "io_threads": 2}}, arguments=("--profile",)
        ) as daemon:
            requests = [
                call(daemon.url, image, SIDES["three sizes"])
                for image in itertools.islice(itertools.cycle(images), count + 8)
            ]
            drive(requests[:8], clients)
            totals[clients] = [1000 * seconds for seconds in drive(requests[8:], clients).latencies]
            daemon.stop()
        lines = [line for line in daemon.log if " took " in line][8:]
        stages = found[clients] = {}
        for line in lines:
            for stage, milliseconds in re.findall(r"(\w+) (\d+\.\d)", line.split(" took ")[1]):
                stages.setdefault(stage, []).append(float(milliseconds))
    rows = [
        (stage, *(Series(tuple(found[clients][stage])).text(1) for clients in CLIENTS))
        for stage in (*STORE_STAGES, "else")
        if any(stage in found[clients] for clients in CLIENTS)
    ]
    rows.append(
        (
            "total, as the client sees it",
            *(Series(tuple(totals[clients])).text(1) for clients in CLIENTS),
        )
    )
    for row in rows:
        print("  " + "  ".join(row))
    columns = ("stage", "one client, ms", "four clients, ms")
    return Section(
        (
            Table(
                "Where the time of one store goes",
                columns,
                rows,
                "A 12-megapixel JPEG to three sizes, engine vips, two workers.",
            ),
        )
    )
