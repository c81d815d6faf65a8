"""Bytes that are fetched once more: what is waited for, and for how long."""

from imagepipe.core.replication.refetch import REFETCH_BYTES_PER_SECOND, REFETCH_SECONDS, Refetches
from imagepipe.core.rows.entries import Content

ONE, OTHER = (
    Content("1" * 64, REFETCH_BYTES_PER_SECOND),
    Content("2" * 64, 2 * REFETCH_BYTES_PER_SECOND),
)


class MendsTests:
    def test_it_is_over_when_nothing_is_on_its_way_any_more(self) -> None:
        refetches = Refetches()
        refetches.begin(7, [ONE, OTHER], 100.0)
        refetches.settle(7, ONE)
        assert refetches.take_ended(100.0) == []
        refetches.settle(7, OTHER)
        assert refetches.take_ended(100.0) == [7]
        assert refetches.take_ended(100.0) == []

    def test_where_nobody_can_be_asked_it_is_over_at_once(self) -> None:
        refetches = Refetches()
        refetches.begin(7, [], 100.0)
        assert refetches.take_ended(100.0) == [7]

    def test_it_is_given_up_after_a_time_that_a_slow_line_would_need(self) -> None:
        refetches = Refetches()
        assert refetches.next_deadline() == float("inf")
        refetches.begin(7, [ONE, OTHER, ONE], 100.0)
        refetches.begin(8, [ONE], 100.0)
        assert refetches.next_deadline() == 100.0 + REFETCH_SECONDS + 1
        assert refetches.take_ended(100.0 + REFETCH_SECONDS + 1) == [8]
        assert refetches.next_deadline() == 100.0 + REFETCH_SECONDS + 3
        assert refetches.take_ended(1000.0) == [7]
