"""What a node makes of the rows of a peer."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from imagepipe.core.rows.entries import Content, Entry, ImageFacts, Row, wins
from imagepipe.core.rows.join import JoinPlan, join, missing_contents
from imagepipe.core.rows.stamp import STAMP_MAX, Version

CONTENTS = tuple(Content(digit * 64, 10) for digit in "123")
ONE, TWO, _ = CONTENTS
FACTS = ImageFacts("jpeg", 40, 30)

VERSIONS = st.builds(Version, st.integers(1, 6), st.sampled_from(["me", "you"]))
ENTRIES = st.builds(
    Entry,
    st.sampled_from("abc"),
    VERSIONS,
    st.none() | VERSIONS,
    st.none() | st.sampled_from(CONTENTS),
    st.integers(1, 9),
)
ROWS = st.lists(st.builds(Row, ENTRIES, st.none() | st.just(FACTS)), max_size=12)
Map = dict[str, Entry]


def row(
    path: str,
    stamp: int,
    content: Content | None,
    *,
    origin: str = "you",
    replaced: Version | None = None,
    facts: ImageFacts | None = FACTS,
) -> Row:
    """A row that a peer tells."""
    return Row(Entry(path, Version(stamp, origin), replaced, content, 70), facts)


def joined(
    rows: Sequence[Row],
    mine: Sequence[Entry] = (),
    here: Sequence[Content] = CONTENTS,
    seq: int = 10,
) -> JoinPlan:
    """Join with a map, on a node that has the bytes `here`."""
    return join(rows, {entry.path: entry for entry in mine}.get, here.__contains__, "me", seq)


def batches(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows in order, in batches of distinct paths, as peers tell them."""
    found: list[list[Row]] = [[]]
    for one in rows:
        if any(other.entry.path == one.entry.path for other in found[-1]):
            found.append([])
        found[-1].append(one)
    return found


def told(rows: Sequence[Row], known: Map | None = None) -> Map:
    """The map after all rows, whose bytes are all here."""
    state = dict(known or {})
    seq = len(state)
    for batch in batches(rows):
        outcome = join(batch, state.get, lambda _: True, "me", seq)
        seq += len(outcome.accepted)
        state.update((entry.path, entry) for entry in outcome.accepted)
    return state


def unnumbered(state: Map) -> Map:
    """A map as it is the same on every node."""
    return {path: replace(entry, seq=0) for path, entry in state.items()}


class TakenTests:
    def test_what_is_new_gets_the_next_numbers_of_this_node_and_is_else_as_it_was(self) -> None:
        rows = [row("a", 7, ONE), row("b", 8, None)]
        assert joined(rows).accepted == (
            replace(rows[0].entry, seq=11),
            replace(rows[1].entry, seq=12),
        )

    def test_what_is_known_or_overtaken_changes_nothing(self) -> None:
        known, newer = row("a", 7, ONE), row("b", 9, None)
        outcome = joined([known, row("b", 8, TWO)], [known.entry, newer.entry])
        assert (outcome.accepted, outcome.pending, outcome.lost) == ((), (), ())

    def test_a_delete_is_taken_for_a_path_that_was_never_heard_of(self) -> None:
        assert joined([row("a", 7, None)], here=()).accepted[0].content is None

    def test_facts_come_along_if_they_are_sent(self) -> None:
        assert joined(
            [row("a", 7, ONE), row("b", 7, TWO, facts=None), row("c", 7, None)]
        ).facts == {ONE.digest: FACTS}


class PendingTests:
    def test_what_has_no_bytes_waits_and_takes_no_number(self) -> None:
        waits, comes = row("a", 7, ONE), row("b", 7, TWO)
        outcome = joined([waits, comes], here=[TWO])
        assert outcome.pending == (waits,)
        assert [entry.seq for entry in outcome.accepted] == [11]

    def test_what_nothing_could_overtake_does_not_wait_for_ever(self) -> None:
        greatest = row("a", STAMP_MAX, ONE)
        assert joined([greatest, row("b", STAMP_MAX - 1, ONE)], here=()).pending == (
            row("b", STAMP_MAX - 1, ONE),
        )
        assert joined([greatest]).accepted == (replace(greatest.entry, seq=11),)

    def test_what_does_not_win_does_not_wait(self) -> None:
        assert joined([row("a", 7, ONE)], [row("a", 8, TWO).entry], here=()).pending == ()


class LostTests:
    """An image that this node accepted and that its conqueror had not seen is kept."""

    mine = Entry("a", Version(6, "me"), None, ONE, 3)

    def test_what_the_winner_had_not_seen_is_lost(self) -> None:
        assert joined([row("a", 7, TWO)], [self.mine]).lost == (self.mine,)
        assert joined([row("a", 7, None)], [self.mine]).lost == (self.mine,)

    def test_what_the_winner_wrote_over_is_not(self) -> None:
        assert joined([row("a", 7, TWO, replaced=self.mine.version)], [self.mine]).lost == ()

    def test_equal_bytes_are_not(self) -> None:
        assert joined([row("a", 7, ONE)], [self.mine]).lost == ()

    def test_a_tombstone_is_not(self) -> None:
        assert joined([row("a", 7, TWO)], [replace(self.mine, content=None)]).lost == ()

    def test_another_nodes_image_is_kept_there(self) -> None:
        assert (
            joined(
                [row("a", 7, TWO, origin="third")], [replace(self.mine, version=Version(6, "you"))]
            ).lost
            == ()
        )

    def test_nothing_is_lost_to_a_row_that_waits(self) -> None:
        assert joined([row("a", 7, TWO)], [self.mine], here=()).lost == ()


class WantedTests:
    def test_the_bytes_of_rows_that_win_each_once_and_in_order(self) -> None:
        rows = [
            row("a", 7, TWO),
            row("b", 7, ONE),
            row("c", 7, TWO),
            row("d", 7, None),
            row("e", 7, CONTENTS[2]),
        ]
        assert list(missing_contents(rows, {"e": row("e", 8, None).entry}.get)) == [TWO, ONE]


class ConvergenceTests:
    """In whatever order, batches and repetition rows come: the map is the same."""

    @given(ROWS)
    def test_joining_is_idempotent(self, rows: list[Row]) -> None:
        once = told(rows)
        assert told(rows, once) == once

    @given(ROWS, ROWS)
    def test_joining_is_commutative(self, some: list[Row], others: list[Row]) -> None:
        assert unnumbered(told([*some, *others])) == unnumbered(told([*others, *some]))

    @given(ROWS, ROWS, ROWS)
    def test_joining_is_associative(
        self, first: list[Row], second: list[Row], third: list[Row]
    ) -> None:
        """It is the same whether a node hears of all, or of what another has made of a part."""
        middle = [Row(entry, None) for entry in told([*second, *third]).values()]
        assert unnumbered(told([*first, *middle])) == unnumbered(told([*first, *second, *third]))

    @given(ROWS, st.data())
    def test_any_order_batching_and_repetition_ends_in_the_greatest_row_of_each_path(
        self, rows: list[Row], data: st.DataObject
    ) -> None:
        again = data.draw(st.lists(st.sampled_from(rows), max_size=12)) if rows else []
        state = told(data.draw(st.permutations([*rows, *again])))
        ordered = sorted((replace(one.entry, seq=0) for one in rows), key=lambda entry: entry.path)
        for path, entries in groupby(ordered, key=lambda entry: entry.path):
            assert not any(wins(entry, state[path]) for entry in entries)
        assert {entry.path for entry in ordered} == state.keys()

    @given(ROWS, st.data())
    def test_bytes_that_come_late_change_nothing_in_the_end(
        self, rows: list[Row], data: st.DataObject
    ) -> None:
        here = data.draw(st.sets(st.sampled_from(CONTENTS)))
        state: Map = {}
        waiting: list[Row] = []
        for batch in batches(rows):
            outcome = join(batch, state.get, here.__contains__, "me", len(state))
            state.update((entry.path, entry) for entry in outcome.accepted)
            waiting += outcome.pending
        assert unnumbered(told(waiting, state)) == unnumbered(told(rows))

    @given(ROWS)
    def test_numbers_go_on_without_a_gap(self, rows: list[Row]) -> None:
        for batch in batches(rows):
            outcome = join(batch, lambda _: None, lambda _: True, "me", 40)
            assert [entry.seq for entry in outcome.accepted] == list(range(41, 41 + len(batch)))
