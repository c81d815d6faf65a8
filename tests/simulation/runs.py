"""One seed, one run; and how many of them find a mutant."""

from collections.abc import Callable
from dataclasses import replace

from tests.simulation import faults
from tests.simulation.mutants import Mutant
from tests.simulation.plan import random_plan
from tests.simulation.world import Failure, Result, simulate


def run(seed: int, show: Callable[[str], None] | None = None, *, with_liar: bool = True) -> Result:
    """Run a seed, without the hostile peer that it may have if `with_liar` is false. Raises
    Failure.
    """
    plan = random_plan(seed)
    return simulate(
        plan if with_liar else replace(plan, victims=()), seed, faults.happen, lambda _: None, show
    )


def finds(seed: int, mutant: Mutant, *, with_liar: bool = True) -> bool:
    """Whether the seed's run goes wrong with the mutant."""
    with mutant.put_in():
        try:
            run(seed, with_liar=with_liar)
        except Failure:
            return True
    return False
