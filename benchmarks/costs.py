"""What a call costs the daemon itself, and the rate that this allows, beside the commit before.

Processor time is that of the daemon's process, without its workers, so it hardly depends on what
else the machine does. Without BASE only this checkout is measured, and there are no ratios.
"""

import contextlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.checkouts import BEFORE, NOW, Checkout, checkouts
from benchmarks.load import Request, drive
from benchmarks.photographs import distinct, photographs
from benchmarks.process_costs import process_costs
from benchmarks.results import Goal, Section, Series, Table, ratio
from benchmarks.serving_cases import small_image
from benchmarks.store import SIDES, call
from tests.support.daemon_process import DaemonProcess

UPLOADS = "upload of 28 KB as it is, 16 connections"
STORES = "store of three sizes of 12 megapixels, 4 clients"
CEILING = "the same with renders stubbed out, 8 clients"
FIRST_GETS = "first GET of a rendition of 0.5 megapixels, 4 clients"

FIELDS = ("rate", "cpu_ms", "switches")
"""Of Measured."""

STUB = Path(__file__).with_name("stubbed_renders.py")
OPTIONS: dict[str, dict[str, object]] = {
    "http": {"interface": "127.0.0.1", "port": 0},
    "images": {"engine": "vips", "io_threads": 2},
}

_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Measured:
    """Answers a second, and what each cost the daemon."""

    rate: float
    cpu_ms: float
    switches: float


Requests = Callable[[DaemonProcess], Sequence[Request]]


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked of each daemon in a round, and by how many clients."""

    daemons: Mapping[str, DaemonProcess]
    requests: Requests
    clients: int


def measure(folder: Path, *, quick: bool) -> Section:
    """Every case, in rounds in which both checkouts take turns."""
    found = checkouts()
    with contextlib.ExitStack() as stack:

        def started(name: str, *, stubbed: bool = False) -> dict[str, DaemonProcess]:
            return {
                at: _start(checkout, folder / f"{name}-{at}", stack, stubbed=stubbed)
                for at, checkout in found.items()
            }

        plain, stubbed = started("plain"), started("stubbed", stubbed=True)
        count = 1 if quick else 4
        cases = {
            UPLOADS: Case(plain, lambda daemon: _uploads(daemon, 100 * count), 16),
            STORES: Case(plain, lambda daemon: _stores(daemon, 4 * count), 4),
            CEILING: Case(stubbed, lambda daemon: _stores(daemon, 8 * count), 8),
            FIRST_GETS: Case(plain, lambda daemon: _first_gets(daemon, 20 * count), 4),
        }
        measured = {name: _rounds(name, case, 2 if quick else 9) for name, case in cases.items()}
    return _section(measured)


def _start(
    checkout: Checkout, folder: Path, stack: contextlib.ExitStack, *, stubbed: bool
) -> DaemonProcess:
    wrapper = (str(checkout.python), "-P", str(STUB)) if stubbed else ()
    daemon = checkout.daemon(folder, OPTIONS, wrapper)
    stack.callback(daemon.clean_up)
    return daemon.start()


def _rounds(name: str, case: Case, rounds: int) -> dict[str, list[Measured]]:
    print(name)
    found: dict[str, list[Measured]] = {at: [] for at in case.daemons}
    for number in range(rounds + 1):
        for at, daemon in case.daemons.items():
            requests = case.requests(daemon)
            earlier = process_costs(daemon.process.pid)
            driven = drive(requests, case.clients)
            used = process_costs(daemon.process.pid) - earlier
            if number:  # the first round warms up
                found[at].append(
                    Measured(
                        driven.rate,
                        1000 * used.cpu_seconds / len(requests),
                        used.switches / len(requests),
                    )
                )
    return found


def _uploads(daemon: DaemonProcess, count: int) -> list[Request]:
    image = small_image()
    numbers = list(itertools.islice(_numbers, count))
    return [
        Request(
            f"{daemon.http_url.rstrip('/')}/uploads/{number % 100}/{number}",
            distinct(image, number),
            {"Content-Type": "image/jpeg"},
        )
        for number in numbers
    ]


def _stores(daemon: DaemonProcess, count: int) -> list[Request]:
    images = [photograph.read_bytes() for photograph in photographs(12, "jpeg", 8)]
    return [
        call(daemon.url, image, SIDES["three sizes"])
        for image in itertools.islice(itertools.cycle(images), count)
    ]


def _first_gets(daemon: DaemonProcess, count: int) -> list[Request]:
    """The images are stored here, outside what is measured."""
    image = photographs(0.5, "jpeg", 1)[0].read_bytes()
    paths = {
        number: f"first/{number % 100}/{number}" for number in itertools.islice(_numbers, count)
    }
    url = daemon.http_url.rstrip("/")
    uploads = [
        Request(f"{url}/{path}", distinct(image, number), {"Content-Type": "image/jpeg"})
        for number, path in paths.items()
    ]
    drive(uploads, 4)
    return [Request(f"{url}/{path}/x300.jpg") for path in paths.values()]


def _section(measured: Mapping[str, Mapping[str, Sequence[Measured]]]) -> Section:
    rows = []
    ratios: dict[tuple[str, str], float] = {}
    for name, by_checkout in measured.items():
        series = {at: _series(values) for at, values in by_checkout.items()}
        if BEFORE in series:
            for field in FIELDS:
                ratios[name, field] = ratio(series[NOW][field], series[BEFORE][field])
        for at, by_field in series.items():
            cells = []
            for field in FIELDS:
                against = ratios.get((name, field)) if at == NOW else 1.0
                cells += [by_field[field].text(1), "" if against is None else f"{against:.2f}"]
            rows.append((name, at, *cells))
            print("  " + "  ".join(rows[-1]))
    table = Table(
        "What a call costs the daemon",
        (
            "call",
            "commit",
            "answers/s",
            "ratio",
            "daemon CPU, ms per call",
            "ratio",
            "context switches per call",
            "ratio",
        ),
        rows,
        "CPU and context switches are those of the daemon's process, without its workers.",
    )
    if not ratios:
        return Section((table,))
    wanted = (
        (UPLOADS, "rate", "rate", 2.2, False),
        (STORES, "cpu_ms", "daemon CPU", 0.75, True),
        (CEILING, "rate", "rate", 1.35, False),
        (FIRST_GETS, "cpu_ms", "daemon CPU", 0.6, True),
        (FIRST_GETS, "switches", "context switches", 0.5, True),
    )
    goals = [
        Goal(f"{name}: {what}, relative to the commit before", goal, ratios[name, field], at_most)
        for name, field, what, goal, at_most in wanted
    ]
    return Section((table,), goals)


def _series(values: Sequence[Measured]) -> dict[str, Series]:
    return {field: Series(tuple(getattr(value, field) for value in values)) for field in FIELDS}
