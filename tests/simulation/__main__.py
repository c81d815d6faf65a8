"""make simulate SEED=1 RUNS=1000: run seeds on all cores; one run shows all that happens in it."""

import argparse
import multiprocessing
import sys
import time
from typing import TextIO

from tests.simulation.mutants import MUTANTS
from tests.simulation.runs import finds, run
from tests.simulation.world import Failure

FAILURES_MAX = 5
"""After so many it stops."""


def _try(seed: int) -> tuple[int, float, str]:
    try:
        return seed, run(seed).converged_seconds, ""
    except Failure as failed:
        return seed, 0.0, str(failed)


def _show(seed: int, out: TextIO) -> int:
    try:
        run(seed, lambda line: _say(out, line))
    except Failure as failed:
        _say(out, str(failed).splitlines()[-1])
        return 1
    return 0


def _run_all(first: int, count: int, out: TextIO) -> int:
    started = time.monotonic()
    seconds: list[float] = []
    failed: list[int] = []
    with multiprocessing.Pool() as pool:
        for seed, took, text in pool.imap_unordered(_try, range(first, first + count), 10):
            if text:
                failed.append(seed)
                _say(
                    out, f"{text}\nseed {seed} failed; all of it: make simulate SEED={seed} RUNS=1"
                )
            else:
                seconds.append(took)
            if (len(seconds) + len(failed)) % 500 == 0:
                _say(out, f"{len(seconds) + len(failed)} of {count} runs, {len(failed)} failed")
            if len(failed) >= FAILURES_MAX:
                break
    seconds.sort()
    if seconds:
        _say(out, f"{len(seconds)} runs passed in {time.monotonic() - started:.0f} s")
        of = {"half of them": 50, "99 %": 99}
        shares = [
            f"{name} in {seconds[len(seconds) * percent // 100]:.1f} s"
            for name, percent in of.items()
        ]
        _say(
            out,
            f"after healing they converged: {', '.join(shares)}, all in {seconds[-1]:.1f} s of"
            " virtual time",
        )
    if failed:
        _say(out, f"failed: {', '.join(map(str, sorted(failed)))}")
    return 1 if failed else 0


def _find_mutants(first: int, count: int, out: TextIO) -> int:
    missed = 0
    for mutant in MUTANTS:
        seed = next((seed for seed in range(first, first + count) if finds(seed, mutant)), None)
        missed += seed is None
        _say(out, f"{'missed' if seed is None else f'seed {seed}':>10}  {mutant.name}")
    return 1 if missed else 0


def _say(out: TextIO, text: str) -> None:
    out.write(f"{text}\n")
    out.flush()


def _main() -> int:
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--runs", type=int, default=1000, help="how many seeds")
    parser.add_argument(
        "--mutants", action="store_true", help="tell which seed is the first to find each mutant"
    )
    arguments = parser.parse_args()
    if arguments.mutants:
        return _find_mutants(arguments.seed, arguments.runs, sys.stdout)
    return (
        _show(arguments.seed, sys.stdout)
        if arguments.runs == 1
        else _run_all(arguments.seed, arguments.runs, sys.stdout)
    )


if __name__ == "__main__":
    sys.exit(_main())
