"""What the daemon and its workers hold: at rest, and while two workers are busy with 12-megapixel
sources.
"""

import itertools
from pathlib import Path

from benchmarks.load import Request, drive
from benchmarks.photographs import photographs
from benchmarks.resident_memory import Peak, family, resident_bytes
from benchmarks.results import Goal, Section, Table
from benchmarks.store import SIDES, call
from tests.support.daemon_process import DaemonProcess, running

MIB = 1 << 20
SOURCES = [(12, "jpeg"), (24, "jpeg"), (12, "png"), (12, "webp")]
GOAL_MEGAPIXELS = 12
CLIENTS = 8


def measure(folder: Path, *, quick: bool) -> Section:
    """A daemon with the image server on, two workers."""
    options: dict[str, dict[str, object]] = {
        "images": {"io_threads": 2},
        "http": {"interface": "127.0.0.1", "port": 0},
    }
    rows = []
    with running(folder, options) as daemon:
        process_id = daemon.process.pid
        rest = resident_bytes([process_id])
        rows.append(("at rest, just started", _mib(rest), _mib(resident_bytes(family(process_id)))))
        busy = 0
        for megapixels, format in SOURCES[:1] if quick else SOURCES:
            peak_of_all, peak_of_daemon = _busy(
                daemon, megapixels, format, 16 if quick else 64 if format == "jpeg" else 24
            )
            rows.append(
                (
                    f"storing {megapixels} megapixels, {format}, three sizes, {CLIENTS} clients",
                    _mib(peak_of_daemon),
                    _mib(peak_of_all),
                )
            )
            if megapixels == GOAL_MEGAPIXELS:
                busy = max(busy, peak_of_all)
        rest_again = resident_bytes([process_id])
        rows.append(("at rest again", _mib(rest_again), _mib(resident_bytes(family(process_id)))))
    for row in rows:
        print("  " + "  ".join(row))
    goals = [
        Goal(
            "daemon at rest, before or after",
            80,
            max(rest, rest_again) / MIB,
            at_most=True,
            unit=" MiB",
        ),
        Goal(
            f"daemon and two workers busy with {GOAL_MEGAPIXELS}-megapixel sources",
            450,
            busy / MIB,
            at_most=True,
            unit=" MiB",
        ),
    ]
    note = "Peak proportional set size: a page shared by several processes counts once in total."
    return Section(
        (Table("Memory", ("", "daemon, MiB", "with its workers, MiB"), rows, note),), goals
    )


def _busy(daemon: DaemonProcess, megapixels: float, format: str, count: int) -> tuple[int, int]:
    """The most that all held, and the daemon alone."""
    images = [
        file.read_bytes() for file in photographs(megapixels, format, 8 if megapixels <= 12 else 4)
    ]
    left = itertools.islice(itertools.cycle(images), count)
    with Peak(daemon.process.pid) as together, Peak(daemon.process.pid, alone=True) as alone:
        # A few at a time: the calls that wait are the client's memory, not ours.
        while batch := list(itertools.islice(left, CLIENTS)):
            requests: list[Request] = [
                call(daemon.url, image, SIDES["three sizes"]) for image in batch
            ]
            drive(requests, CLIENTS)
    return together.bytes, alone.bytes


def _mib(held: int) -> str:
    return f"{held / MIB:.0f}"
