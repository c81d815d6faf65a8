"""`python -m benchmarks [--quick] [SECTION...]`: measures, prints, and writes docs/performance.md;
`make bench` sets up what it compares with, and runs all.

The exit status is 1 if a goal is missed. Run it on a machine that does nothing else.
"""

import argparse
import importlib
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import report
from benchmarks.results import Goal, Section

SECTIONS = (
    "one_decode",
    "store",
    "costs",
    "profile",
    "on_demand",
    "quality",
    "settings",
    "serving",
    "memory",
    "replication",
    "growth",
)


def main() -> int:
    """Run the sections that were asked for, one after the other."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure imagepipe beside other image servers, and write docs/performance.md.",
    )
    parser.add_argument("--quick", action="store_true", help="a few rounds only, and write nothing")
    parser.add_argument(
        "--profile",
        action="store_true",
        help="where the time of one store goes: the section `profile` alone, and write nothing",
    )
    parser.add_argument(
        "sections",
        nargs="*",
        metavar="SECTION",
        help=f"one of: {', '.join(SECTIONS)}; all, if none is named",
    )
    options = parser.parse_args()
    if unknown := [name for name in options.sections if name not in SECTIONS]:
        parser.error(f"there is no section {unknown[0]}; there are {', '.join(SECTIONS)}")
    goals: list[tuple[str, Goal]] = []
    for name in ("profile",) if options.profile else options.sections or SECTIONS:
        started = time.monotonic()
        section = _measure(name, quick=options.quick)
        goals += [(name, goal) for goal in section.goals]
        if not options.quick and not options.profile:
            seconds = time.monotonic() - started
            report.write(name, section, f"{report.machine()}; {seconds:.0f} s")
    print(report.summary(goals))
    return 0 if all(goal.met for _, goal in goals) else 1


def _measure(name: str, *, quick: bool) -> Section:
    print(f"--- {name}", flush=True)
    # Not in memory, where many machines keep /tmp: what is measured is on a disk.
    with tempfile.TemporaryDirectory(prefix="imagepipe-bench-", dir="/var/tmp") as folder:
        section: Section = importlib.import_module(f"benchmarks.{name}").measure(
            Path(folder), quick=quick
        )
    return section


if __name__ == "__main__":
    sys.exit(main())
