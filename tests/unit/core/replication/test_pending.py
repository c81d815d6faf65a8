"""The rows that wait for their bytes: whose turn it is, and the oldest of each upstream."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from imagepipe.core.replication.pending import PENDING_SECONDS, PendingRows
from imagepipe.core.rows.entries import Content, Entry, Row
from imagepipe.core.rows.join import Pending
from imagepipe.core.rows.stamp import Version

IMAGE = Content("1" * 64, 5)


def waits(upstream: str, path: str, seq: int) -> Pending:
    """A row of `upstream`."""
    return Pending(upstream, Row(Entry(path, Version(seq, upstream), None, IMAGE, seq), None))


class PendingRowsTests:
    """What waits, by upstream and path."""

    def test_what_is_durable_at_the_start_waits(self) -> None:
        one, other = waits("bb", "x", 4), waits("cc", "x", 9)
        assert PendingRows([one, other]) == {("bb", "x"): one.row, ("cc", "x"): other.row}

    def test_a_row_that_is_settled_waits_no_more(self) -> None:
        rows = PendingRows([waits("bb", "x", 4), waits("bb", "y", 5)])
        rows.settle([("bb", "x"), ("bb", "never heard of")])
        assert list(rows) == [("bb", "y")]
        rows.settle([("bb", "y")])
        assert (len(rows), bool(rows)) == (0, False)

    def test_an_upstreams_rows_are_counted_and_can_be_dropped(self) -> None:
        rows = PendingRows([waits("bb", "x", 4), waits("bb", "y", 5), waits("cc", "x", 9)])
        rows.add([waits("bb", "x", 7)])
        assert (rows.count("bb"), rows.count("cc"), rows.count("dd"), rows.upstreams) == (
            2,
            1,
            0,
            ["bb", "cc"],
        )
        rows.settle([("bb", "y"), ("bb", "y")])
        assert rows.count("bb") == 1
        rows.drop(["bb", "dd"])
        assert (list(rows), rows.upstreams, rows.oldest("bb"), rows.oldest("cc")) == (
            [("cc", "x")],
            ["cc"],
            None,
            9,
        )

    def test_a_newer_row_of_a_path_takes_the_place_of_the_older(self) -> None:
        rows = PendingRows([waits("bb", "x", 4)])
        newer = waits("bb", "x", 7)
        rows.add([newer])
        assert rows == {("bb", "x"): newer.row}


class OldestTests:
    """What may not be acknowledged."""

    def test_it_is_the_least_number_that_the_upstream_gave(self) -> None:
        rows = PendingRows([waits("bb", "x", 40), waits("bb", "y", 7), waits("cc", "z", 3)])
        assert (rows.oldest("bb"), rows.oldest("cc"), rows.oldest("dd")) == (7, 3, None)

    def test_it_is_the_next_when_that_row_is_settled_or_changed(self) -> None:
        rows = PendingRows([waits("bb", "x", 4), waits("bb", "y", 6), waits("bb", "z", 8)])
        rows.settle([("bb", "x")])
        assert rows.oldest("bb") == 6
        rows.add([waits("bb", "y", 9)])
        assert rows.oldest("bb") == 8
        rows.settle([("bb", "y"), ("bb", "z")])
        assert rows.oldest("bb") is None

    def test_a_restored_upstream_may_give_lesser_numbers_than_before(self) -> None:
        rows = PendingRows([waits("bb", "x", 40)])
        rows.add([waits("bb", "x", 3), waits("bb", "y", 5)])
        assert rows.oldest("bb") == 3

    def test_a_path_that_changes_all_the_time_makes_no_difference_to_it_and_takes_no_room(
        self,
    ) -> None:
        rows = PendingRows([waits("bb", "stuck", 3), waits("cc", "x", 2), waits("bb", "x", 5)])
        tracemalloc.start()
        for seq in range(6, 20_000):
            rows.add([waits("bb", "x", seq)])
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert taken < 200_000
        assert (rows.oldest("bb"), rows.oldest("cc")) == (3, 2)
        rows.settle([("bb", "stuck")])
        assert rows.oldest("bb") == 19_999

    @given(
        st.lists(
            st.tuples(st.sampled_from("bc"), st.sampled_from("xyz"), st.none() | st.integers(1, 20))
        )
    )
    def test_it_is_right_whatever_came_before(
        self, events: list[tuple[str, str, int | None]]
    ) -> None:
        rows, expected = PendingRows([]), dict[tuple[str, str], int]()
        for upstream, path, seq in events:
            if seq is None:
                rows.settle([(upstream, path)])
                expected.pop((upstream, path), None)
            else:
                rows.add([waits(upstream, path, seq)])
                expected[upstream, path] = seq
            for one in "bc":
                assert rows.oldest(one) == min(
                    (seq for (who, _), seq in expected.items() if who == one), default=None
                )


class TurnTests:
    """Which rows are tried next, and when."""

    def test_all_have_their_turn(self) -> None:
        rows = PendingRows([waits("bb", path, seq) for seq, path in enumerate("abcde")])
        turns = ["".join(row.entry.path for row in rows.take_turn(0.0, 2)["bb"]) for _ in range(5)]
        assert turns == ["ab", "cd", "ea", "bc", "de"]

    def test_each_upstream_has_its_own_unless_it_is_busy(self) -> None:
        one, other = waits("bb", "x", 4), waits("cc", "x", 9)
        rows = PendingRows([one, other])
        assert rows.take_turn(0.0, 10) == {"bb": (one.row,), "cc": (other.row,)}
        assert rows.take_turn(0.0, 10, busy={"bb"}) == {"cc": (other.row,)}
        assert rows.take_turn(0.0, 10, busy={"bb", "cc"}) == {}

    def test_a_new_row_is_behind_those_that_wait(self) -> None:
        rows = PendingRows([waits("bb", "x", 4), waits("bb", "y", 5)])
        rows.take_turn(0.0, 1)
        rows.add([waits("bb", "z", 6)])
        assert [row.entry.path for row in rows.take_turn(0.0, 3)["bb"]] == ["y", "x", "z"]

    def test_the_first_is_now_and_the_next_after_a_while(self) -> None:
        rows = PendingRows([waits("bb", "x", 4)])
        assert rows.try_at < 0.0
        rows.take_turn(3.0, 1)
        assert rows.try_at == 3.0 + PENDING_SECONDS
