"""How long a client may keep the server waiting, and who goes first when there are too many."""

import pytest

from imagepipe.core.requests.client_timeouts import (
    CONNECTIONS_MAX,
    DESCRIPTORS_RESERVED,
    LEAST_BYTES_PER_SECOND,
    RATE_SECONDS_MIN,
    TIMEOUT_SECONDS,
    Phase,
    PhaseWait,
    connections_max,
    slowest,
    slowest_body,
)

RATE = LEAST_BYTES_PER_SECOND


class WaitTests:
    """A wait ends at its deadline, which moves with what comes through."""

    @pytest.mark.parametrize(
        ("phase", "seconds"),
        [(Phase.HEAD, 20), (Phase.BODY, 20), (Phase.ANSWER, 60), (Phase.IDLE, 60)],
    )
    def test_each_phase_has_a_deadline(self, phase: Phase, seconds: int) -> None:
        assert PhaseWait(phase, 100).deadline == 100 + seconds

    def test_a_client_is_never_blamed_for_the_servers_own_work(self) -> None:
        assert PhaseWait(Phase.WORK, 100).deadline == float("inf")

    def test_a_byte_now_and_then_does_not_help(self) -> None:
        wait = PhaseWait(Phase.BODY, 0)
        for second in range(5, 100, 5):
            wait = wait.after(1, second)
        assert wait.deadline < 20.1

    def test_the_least_rate_is_enough_for_ever(self) -> None:
        wait = PhaseWait(Phase.BODY, 0)
        for second in range(10, 10_000, 10):
            assert wait.deadline > second
            wait = wait.after(10 * RATE, second)

    def test_a_little_less_is_not(self) -> None:
        wait = PhaseWait(Phase.BODY, 0)
        for second in range(10, 400, 10):
            wait = wait.after(9 * RATE, second)
        assert wait.deadline < 400

    def test_a_fast_beginning_buys_no_time(self) -> None:
        assert (
            PhaseWait(Phase.BODY, 0).after(1 << 30, 1).deadline == 1 + TIMEOUT_SECONDS[Phase.BODY]
        )


class SlowestTests:
    """Clients that have kept the server waiting longest go first."""

    def test_the_longest_wait_comes_first_whatever_the_phase(self) -> None:
        waits = [
            ("a", PhaseWait(Phase.IDLE, 3)),
            ("b", PhaseWait(Phase.HEAD, 1)),
            ("c", PhaseWait(Phase.BODY, 2)),
        ]
        assert [name for name, _ in slowest(waits, 2)] == ["b", "c"]
        assert [name for name, _ in slowest(waits, 9)] == ["b", "c", "a"]

    def test_clients_that_wait_for_the_server_stay(self) -> None:
        assert slowest([("a", PhaseWait(Phase.WORK, 0))], 1) == []


class SlowestBodyTests:
    """Where there is no room, the body with the lowest rate gives up its own."""

    def test_the_rate_counts_and_not_the_size_or_the_time(self) -> None:
        assert slowest_body([("a", 100, 10.0), ("b", 90, 5.0), ("c", 200, 21.0)]) == "c"

    def test_one_that_has_only_begun_is_not_chosen(self) -> None:
        assert (
            slowest_body([("a", 0, RATE_SECONDS_MIN - 0.1), ("b", 1 << 20, RATE_SECONDS_MIN)])
            == "b"
        )
        assert slowest_body([("a", 0, 0.0)]) is None


class ConnectionsMaxTests:
    """How many connections fit into a limit of descriptors."""

    def test_each_may_take_two_and_some_are_left_for_work(self) -> None:
        assert connections_max(1024) == (1024 - DESCRIPTORS_RESERVED) // 2

    def test_a_very_small_limit_is_shared_out_too(self) -> None:
        assert connections_max(64) == 21
        assert connections_max(1) == 1

    def test_there_is_an_end(self) -> None:
        assert connections_max(1 << 30) == CONNECTIONS_MAX
