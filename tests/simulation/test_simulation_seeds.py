"""Replication keeps its promises in some hundred simulated worlds; `make simulate` runs as many as
one likes.
"""

import pytest

from tests.simulation.runs import run

SEEDS = range(1, 401)
AT_ONCE = 20


class SeedTests:
    @pytest.mark.parametrize("first", SEEDS[::AT_ONCE])
    def test_every_promise_is_kept(self, first: int) -> None:
        for seed in range(first, first + AT_ONCE):
            run(seed)

    def test_a_seed_gives_the_same_run_again(self) -> None:
        lines: list[list[str]] = [[], []]
        for one in lines:
            run(7, one.append)
        assert lines[0] == lines[1]
