"""Whether a peer's cursor still means what it meant."""

import pytest

from imagepipe.core.rows.epochs import Epoch, holds

STARTS = (Epoch("first", 1), Epoch("second", 11), Epoch("idle", 21), Epoch("now", 21))


class HoldsTests:
    @pytest.mark.parametrize(
        ("epoch", "seq", "expected"),
        [
            ("first", 0, True),
            ("first", 10, True),
            # in this life that number came later: another one was restored, and lost it
            ("first", 11, False),
            ("second", 5, True),
            ("second", 20, True),
            ("second", 21, False),
            ("idle", 20, True),
            ("idle", 21, False),
            ("now", 25, True),
            ("now", 26, False),
            ("now", -1, False),
            ("unknown", 1, False),
        ],
    )
    def test_a_cursor_counts_as_far_as_its_epoch_reached(
        self, epoch: str, seq: int, expected: bool
    ) -> None:
        assert holds(STARTS, 25, epoch, seq) is expected

    def test_a_node_without_starts_holds_nothing(self) -> None:
        assert not holds((), 0, "first", 0)

    def test_a_restored_node_knows_no_later_start_than_its_backup(self) -> None:
        backup = STARTS[:2]
        assert holds((*backup, Epoch("restored", 16)), 40, "second", 15)
        assert not holds((*backup, Epoch("restored", 16)), 40, "second", 16)
        assert not holds((*backup, Epoch("restored", 16)), 40, "now", 3)
