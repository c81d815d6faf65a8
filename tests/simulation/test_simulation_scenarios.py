"""What once went wrong, and what an operator would ask about first."""

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.scenarios import SCENARIOS
from tests.simulation.world import Failure

SEEDS = range(1, 6)


class ScenarioTests:
    @pytest.mark.parametrize("name", SCENARIOS)
    def test_every_promise_is_kept(self, name: str) -> None:
        for seed in SEEDS:
            SCENARIOS[name].run(seed)

    def test_half_way_through_an_upstream_restored_the_cursor_says_so(self) -> None:
        mutant = next(
            one for one in MUTANTS if one.name == "the cursor does not say what was still to come"
        )
        with mutant.put_in(), pytest.raises(Failure, match=r"acknowledged .* without having it"):
            SCENARIOS["an upstream is restored while its puller is half way"].run(1)
