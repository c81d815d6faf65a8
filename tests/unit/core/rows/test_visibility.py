"""What the tree shows of a map in which images lie above and below each other."""

from hypothesis import given
from hypothesis import strategies as st

from imagepipe.core.paths import ancestors
from imagepipe.core.rows.entries import Content, Entry, wins
from imagepipe.core.rows.stamp import Version
from imagepipe.core.rows.visibility import Hidden, all_hidden, is_above, visible

ONE = Content("1" * 64, 10)

PATHS = st.lists(st.sampled_from(["a", "b", "a-b", "a0"]), min_size=1, max_size=3).map("/".join)
ENTRIES = st.builds(
    Entry,
    path=PATHS,
    version=st.builds(Version, st.integers(0, 5), st.sampled_from("xy")),
    replaced=st.none(),
    content=st.sampled_from([ONE, None]),
    seq=st.just(1),
)
MAPS = st.lists(ENTRIES, unique_by=lambda entry: entry.path, max_size=12)


def entry(path: str, stamp: int, content: Content | None = ONE) -> Entry:
    """A row."""
    return Entry(path, Version(stamp, "x"), None, content, 1)


class ShownTests:
    def test_an_image_alone_is_shown(self) -> None:
        assert visible(entry("a", 1), []) == ONE

    def test_of_an_image_and_one_below_it_the_newer_is_shown(self) -> None:
        above, below = entry("a", 1), entry("a/b", 2)
        assert (visible(above, [below]), visible(below, [above])) == (None, ONE)

    def test_what_is_deleted_is_neither_shown_nor_in_the_way(self) -> None:
        assert visible(None, []) is None
        assert visible(entry("a", 1, None), []) is None
        assert visible(entry("a", 1), [entry("a/b", 2, None)]) == ONE

    @given(MAPS)
    def test_what_is_shown_fits_into_a_file_system_and_something_is_if_anything_lives(
        self, entries: list[Entry]
    ) -> None:
        visible_paths = {
            one.path
            for one in entries
            if visible(
                one,
                [
                    other
                    for other in entries
                    if is_above(other.path, one.path) or is_above(one.path, other.path)
                ],
            )
        }
        assert not any(
            folder in visible_paths for path in visible_paths for folder in ancestors(path)
        )
        assert bool(visible_paths) == any(one.content for one in entries)


class AboveTests:
    def test_only_a_folder_is_above(self) -> None:
        assert is_above("a", "a/b/c")
        assert not any(
            is_above(one, other)
            for one, other in (("a", "a"), ("a", "a-b"), ("a", "ab/c"), ("a/b", "a"))
        )


class HiddenTests:
    def test_a_hidden_row_names_what_hides_it(self) -> None:
        above, between, below = entry("a", 2), entry("a-b", 9), entry("a/b", 1)
        assert all_hidden([above, between, below]) == [Hidden(below, above)]

    @given(MAPS)
    def test_exactly_the_live_rows_that_are_not_shown_are_hidden_by_the_greatest_around_them(
        self, entries: list[Entry]
    ) -> None:
        live = sorted((one for one in entries if one.content), key=lambda one: one.path)
        expected = []
        for one in live:
            around = [
                other
                for other in live
                if is_above(other.path, one.path) or is_above(one.path, other.path)
            ]
            if visible(one, around) is None:
                greater = [other for other in around if wins(other, one)]
                expected.append(
                    Hidden(
                        one,
                        next(
                            other
                            for other in greater
                            if not any(wins(third, other) for third in greater)
                        ),
                    )
                )
        assert all_hidden(live) == expected
