"""Whose turn it is at the engines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipe.core.queues.turns import RESERVE_SECONDS, SLOW_SECONDS, EngineTurns, JobKind

WRITE, READ = JobKind.WRITE, JobKind.READ
BOTH = (WRITE, READ)


class OneThreadTests:
    def test_a_store_waits_for_one_render_at_most(self) -> None:
        turns = EngineTurns(1)
        assert turns.take([READ], 0.0) is READ
        assert turns.take(BOTH, 50.0) is None
        turns.give_back(READ, 0.0, 60.0)
        assert turns.take(BOTH, 60.0) is WRITE

    def test_writes_and_reads_take_turns(self) -> None:
        turns = EngineTurns(1)
        taken = []
        for now in range(6):
            kind = turns.take(BOTH, float(now))
            assert kind
            taken.append(kind)
            turns.give_back(kind, float(now), float(now))
        assert taken == [WRITE, READ] * 3

    @pytest.mark.parametrize("kind", BOTH)
    def test_one_kind_alone_gets_every_turn_even_if_it_is_slow(self, kind: JobKind) -> None:
        turns = EngineTurns(1)
        for now in (0.0, 100.0, 200.0):
            assert turns.take([kind], now) is kind
            turns.give_back(kind, now, now + 99.0)


class ThreadsTests:
    def test_quick_reads_may_use_all_threads(self) -> None:
        turns = EngineTurns(2)
        assert [turns.take([READ], 0.0) for _ in range(3)] == [READ, READ, None]
        turns.give_back(READ, 0.0, 0.1)
        assert turns.take([READ], 0.1) is READ

    def test_reads_leave_a_thread_while_one_of_them_is_slow(self) -> None:
        turns = EngineTurns(2)
        assert turns.take([READ], 0.0) is READ
        assert turns.take([READ], SLOW_SECONDS) is None
        assert turns.take(BOTH, SLOW_SECONDS) is WRITE

    def test_reads_leave_a_thread_for_a_while_after_one_was_slow(self) -> None:
        turns = EngineTurns(3)
        assert turns.take([READ], 0.0) is READ
        turns.give_back(READ, 0.0, SLOW_SECONDS)
        assert [turns.take([READ], SLOW_SECONDS) for _ in range(3)] == [READ, READ, None]
        turns.give_back(READ, SLOW_SECONDS, SLOW_SECONDS)
        turns.give_back(READ, SLOW_SECONDS, SLOW_SECONDS)
        later = SLOW_SECONDS + RESERVE_SECONDS
        assert [turns.take([READ], later) for _ in range(4)] == [READ, READ, READ, None]

    def test_slow_writes_hold_back_no_read(self) -> None:
        turns = EngineTurns(2)
        assert turns.take([WRITE], 0.0) is WRITE
        turns.give_back(WRITE, 0.0, 99.0)
        assert [turns.take([READ], 99.0) for _ in range(2)] == [READ, READ]

    def test_none_is_given_while_more_run_than_there_are_threads(self) -> None:
        turns = EngineTurns(2)
        assert [turns.take([WRITE], 0.0) for _ in range(2)] == [WRITE, WRITE]
        turns.threads = 1
        turns.give_back(WRITE, 0.0, 1.0)
        assert turns.take([WRITE], 1.0) is None
        turns.give_back(WRITE, 0.0, 2.0)
        assert turns.take([WRITE], 2.0) is WRITE

    @given(
        st.integers(1, 4), st.lists(st.tuples(st.sampled_from(BOTH), st.floats(0, 9)), max_size=40)
    )
    def test_the_kinds_alternate_whatever_ran_before(
        self, threads: int, jobs: list[tuple[JobKind, float]]
    ) -> None:
        turns, now = EngineTurns(threads), 0.0
        running: list[tuple[JobKind, float]] = []
        for kind, seconds in jobs:
            if turns.take([kind], now):
                running.append((kind, now))
            assert len(running) <= threads
            now += seconds
            if len(running) == threads:
                turns.give_back(*running.pop(0), now)
        for one in running:
            turns.give_back(*one, now)
        first = turns.take(BOTH, now)
        assert first
        turns.give_back(first, now, now)
        assert {first, turns.take(BOTH, now)} == set(BOTH)
