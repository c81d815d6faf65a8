"""`python -m benchmarks [--quick] [SECTION...]`."""

# ruff: noqa: T201 - printing is what it is for

import argparse
import importlib
import sys
import tempfile
from pathlib import Path

SECTIONS = ("store",)


def main() -> int:
    """Run the sections."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("sections", nargs="*", default=SECTIONS)
    options = parser.parse_args()
    for name in options.sections:
        with tempfile.TemporaryDirectory(prefix="imagepipe-bench-", dir="/var/tmp") as folder:
            section = importlib.import_module(f"benchmarks.{name}").measure(Path(folder), quick=options.quick)
            for goal in section.goals:
                print(goal, goal.met)
    return 0


if __name__ == "__main__":
    sys.exit(main())
