"""One seed, one run."""

from collections.abc import Callable

from simulation import faults
from simulation.plan import random_plan
from simulation.world import Result, simulate


def run(seed: int, show: Callable[[str], None] | None = None) -> Result:
    """Run a seed. Raises Failure."""
    return simulate(random_plan(seed), seed, faults.happen, lambda _: None, show)
