"""Bytes that are fetched once more: what is waited for, and for how long."""

from imagepipe.core.replication.refetch import MEND_BYTES_A_SECOND, MEND_SECONDS, Mends
from imagepipe.core.rows.entries import Content

ONE, OTHER = Content("1" * 64, MEND_BYTES_A_SECOND), Content("2" * 64, 2 * MEND_BYTES_A_SECOND)


class MendsTests:
    def test_it_is_over_when_nothing_is_on_its_way_any_more(self) -> None:
        mends = Mends()
        mends.begin(7, [ONE, OTHER], 100.0)
        mends.settle(7, ONE)
        assert mends.take_ended(100.0) == []
        mends.settle(7, OTHER)
        assert mends.take_ended(100.0) == [7]
        assert mends.take_ended(100.0) == []

    def test_where_nobody_can_be_asked_it_is_over_at_once(self) -> None:
        mends = Mends()
        mends.begin(7, [], 100.0)
        assert mends.take_ended(100.0) == [7]

    def test_it_is_given_up_after_a_time_that_a_slow_line_would_need(self) -> None:
        mends = Mends()
        assert mends.next_deadline() == float("inf")
        mends.begin(7, [ONE, OTHER, ONE], 100.0)
        mends.begin(8, [ONE], 100.0)
        assert mends.next_deadline() == 100.0 + MEND_SECONDS + 1
        assert mends.take_ended(100.0 + MEND_SECONDS + 1) == [8]
        assert mends.next_deadline() == 100.0 + MEND_SECONDS + 3
        assert mends.take_ended(1000.0) == [7]
