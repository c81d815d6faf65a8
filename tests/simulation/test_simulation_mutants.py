"""The simulation has teeth: it finds every fault that is put into the code."""

import pytest

from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.runs import finds

SEEDS = range(1, 601)


class MutantTests:
    @pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
    def test_the_simulation_finds_it(self, mutant: Mutant) -> None:
        assert finds(mutant.seed, mutant, with_liar=False) or any(
            finds(seed, mutant) for seed in (mutant.seed, *SEEDS)
        )
