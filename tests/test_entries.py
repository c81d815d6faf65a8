"""Catalogue rows, and the net effect of moves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipe.core.entries import Change, Content, net_moves
from imagepipe.errors import BadRequest

ONE, TWO, THREE = (Content(digit * 64, size) for digit, size in (("1", 10), ("2", 20), ("3", 30)))
TREE = {"a": ONE, "b": TWO, "same": ONE}


def moved(*pairs: tuple[str, str]) -> dict[str, Content | None]:
    """The changes that `pairs` make to TREE."""
    return {change.path: change.content for change in net_moves(pairs, TREE.get)}


class NetMovesTests:
    """Moves apply in order, all or none; what is recorded is what they come to."""

    def test_a_move_puts_and_deletes(self) -> None:
        assert net_moves([("a", "x")], TREE.get) == (Change("a", None), Change("x", ONE))

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
    def test_the_net_effect_is_what_one_move_after_the_other_gives(self, pairs: list[tuple[str, str]], tree: dict[str, Content]) -> None:
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
