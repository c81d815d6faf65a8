"""One seed, one run; and how many of them find a mutant."""

from collections.abc import Callable

from simulation import faults
from simulation.mutants import Mutant
from simulation.plan import random_plan
from simulation.world import Failure, Result, simulate


def run(seed: int, show: Callable[[str], None] | None = None) -> Result:
    """Run a seed. Raises Failure."""
    return simulate(random_plan(seed), seed, faults.happen, lambda _: None, show)


def finds(seed: int, mutant: Mutant) -> bool:
    """Whether the seed's run goes wrong with the mutant."""
    with mutant.put_in():
        try:
            run(seed)
        except Failure:
            return True
    return False
