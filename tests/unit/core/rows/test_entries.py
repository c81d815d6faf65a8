"""Catalogue rows: which of two is the newer, what is lost by it, and the net effect of moves."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipe.core.rows.entries import Content, Entry, PathChange, net_moves, was_unseen, wins
from imagepipe.core.rows.stamp import Version
from imagepipe.errors import BadRequest

ONE, TWO, THREE = (Content(digit * 64, size) for digit, size in (("1", 10), ("2", 20), ("3", 30)))
TREE = {"a": ONE, "b": TWO, "same": ONE}


def moved(*pairs: tuple[str, str]) -> dict[str, Content | None]:
    """The changes that `pairs` make to TREE."""
    return {change.path: change.content for change in net_moves(pairs, TREE.get)}


class NetMovesTests:
    """Moves apply in order, all or none; what is recorded is what they come to."""

    def test_a_move_puts_and_deletes(self) -> None:
        assert net_moves([("a", "x")], TREE.get) == (PathChange("a", None), PathChange("x", ONE))

    def test_what_was_at_the_destination_is_gone(self) -> None:
        assert moved(("a", "b")) == {"a": None, "b": ONE}

    def test_a_move_onto_itself_changes_nothing(self) -> None:
        assert moved(("a", "a")) == {}

    def test_a_chain_leaves_nothing_between(self) -> None:
        assert moved(("a", "x"), ("x", "y")) == {"a": None, "y": ONE}

    def test_there_and_back_is_nothing(self) -> None:
        assert moved(("a", "x"), ("x", "a")) == {}

    def test_two_images_change_places(self) -> None:
        assert moved(("a", "x"), ("b", "a"), ("x", "b")) == {"a": TWO, "b": ONE}

    def test_an_image_moved_over_another_and_away_takes_that_with_it(self) -> None:
        assert moved(("a", "b"), ("b", "a")) == {"b": None}

    def test_equal_bytes_from_elsewhere_are_a_change(self) -> None:
        assert moved(("a", "same")) == {"a": None, "same": ONE}

    def test_a_missing_source_is_a_fault_and_names_it(self) -> None:
        with pytest.raises(BadRequest, match=r"^src_path: there is no image 'nothing'$"):
            moved(("a", "x"), ("nothing", "y"))

    def test_even_onto_itself(self) -> None:
        with pytest.raises(BadRequest, match="there is no image 'nothing'"):
            moved(("nothing", "nothing"))

    def test_a_source_that_an_earlier_move_took_is_missing(self) -> None:
        with pytest.raises(BadRequest, match="there is no image 'a'"):
            moved(("a", "x"), ("a", "y"))

    def test_no_moves_are_no_changes(self) -> None:
        assert moved() == {}

    @given(
        st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), max_size=8),
        st.dictionaries(st.sampled_from("abcd"), st.sampled_from([ONE, TWO, THREE])),
    )
    def test_the_net_effect_is_what_one_move_after_the_other_gives(
        self, pairs: list[tuple[str, str]], tree: dict[str, Content]
    ) -> None:
        after: dict[str, Content] | None = dict(tree)
        for source, destination in pairs:
            if after is not None and source in after:
                after[destination] = after.pop(source)
            else:
                after = None
        if after is None:
            with pytest.raises(BadRequest):
                net_moves(pairs, tree.get)
            return
        changed = dict(tree)
        for change in net_moves(pairs, tree.get):
            if change.content is None:
                # Only what was there is deleted: a path that was merely passed through is not.
                del changed[change.path]
            else:
                changed[change.path] = change.content
        assert changed == after


VERSIONS = st.builds(Version, st.integers(1, 3), st.sampled_from("xy"))
ENTRIES = st.builds(
    Entry,
    st.just("a"),
    VERSIONS,
    st.none() | VERSIONS,
    st.none() | st.sampled_from([ONE, TWO]),
    st.integers(1, 3),
)


def entry(
    stamp: int, content: Content | None, origin: str = "x", replaced: Version | None = None
) -> Entry:
    """A row of one path."""
    return Entry("a", Version(stamp, origin), replaced, content, 1)


class WinsTests:
    """Which of two rows of a path is the newer."""

    def test_the_greater_version_wins_put_or_delete_alike(self) -> None:
        assert wins(entry(2, None), entry(1, ONE))
        assert wins(entry(2, ONE), entry(1, None))
        assert wins(entry(1, ONE, "y"), entry(1, TWO, "x"))

    def test_any_row_wins_over_none(self) -> None:
        assert wins(entry(1, None), None)

    def test_two_rows_of_one_version_are_settled_by_what_else_they_say(self) -> None:
        assert wins(entry(1, TWO), entry(1, ONE))
        assert wins(entry(1, ONE), entry(1, None))
        assert wins(entry(2, ONE, replaced=Version(1, "x")), entry(2, ONE))

    @given(ENTRIES, ENTRIES)
    def test_of_two_that_differ_in_more_than_a_nodes_numbering_exactly_one_wins(
        self, one: Entry, other: Entry
    ) -> None:
        same = replace(one, seq=0) == replace(other, seq=0)
        assert wins(one, other) + wins(other, one) + same == 1

    @given(ENTRIES, ENTRIES, ENTRIES)
    def test_who_wins_over_the_winner_wins(self, one: Entry, two: Entry, three: Entry) -> None:
        assert not (wins(one, two) and wins(two, three)) or wins(one, three)


class UnseenTests:
    """Whether an image is lost in a conflict."""

    def test_it_is_if_the_winner_was_written_over_something_else_by_someone_else(self) -> None:
        assert was_unseen(entry(1, ONE), entry(2, TWO, "y"))
        assert was_unseen(entry(1, ONE), entry(2, None, "y", Version(1, "z")))

    def test_it_is_not_if_the_winner_was_written_over_it(self) -> None:
        assert not was_unseen(entry(1, ONE), entry(2, TWO, "y", Version(1, "x")))

    def test_a_node_knows_its_own_writes(self) -> None:
        assert not was_unseen(entry(1, ONE), entry(2, TWO, "x"))

    def test_a_tombstone_or_equal_bytes_are_no_loss(self) -> None:
        assert not was_unseen(entry(1, None), entry(2, TWO, "y"))
        assert not was_unseen(entry(1, ONE), entry(2, ONE, "y"))
