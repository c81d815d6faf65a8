"""The versions of a write: one for all its paths, above everything that is known of them."""

from hypothesis import given
from hypothesis import strategies as st

from imagepipe.core.rows.entries import Content, Entry
from imagepipe.core.rows.erasure import erasure_path
from imagepipe.core.rows.stamp import CLOCK_MAX, STAMP_MAX, Version, milliseconds
from imagepipe.core.rows.versions import next_versions

NOW = 1_800_000_000_000
TODAY = NOW << 16
HOUR = 3_600_000 << 16
IMAGE = Content("1" * 64, 10)


def at(path: str, stamp: int, content: Content | None = IMAGE) -> Entry:
    """A row that somebody else has written."""
    return Entry(path, Version(stamp, "you"), None, content, 1)


def versions(paths: list[str], *known: Entry) -> dict[str, Version]:
    """The versions of a write to `paths`, on a node that knows these rows."""
    return next_versions(
        paths, "me", NOW, lambda path: [entry for entry in known if entry.path == path]
    )


def version(paths: list[str], *known: Entry) -> Version:
    """The only one."""
    [found] = set(versions(paths, *known).values())
    return found


class VersionTests:
    def test_it_is_of_this_node_and_of_now(self) -> None:
        assert version(["a"]) == Version(TODAY, "me")

    def test_it_is_above_every_row_of_its_path_deleted_or_waiting(self) -> None:
        assert version(["a"], at("a", TODAY + 5)).stamp == TODAY + 6
        assert version(["a"], at("a", TODAY + 5, None)).stamp == TODAY + 6
        assert version(["a"], at("a", TODAY + 5), at("a", TODAY + HOUR)).stamp == TODAY + HOUR + 1

    def test_a_stamp_of_another_path_does_not_matter(self) -> None:
        """Not one above or below it either: only one of them can be live when it is written."""
        assert version(["a"], at("b", STAMP_MAX - 1), at("a/b", STAMP_MAX - 1)).stamp == TODAY

    def test_all_paths_of_a_call_share_it(self) -> None:
        assert (
            version(["a", "b", "c"], at("b", TODAY + HOUR), at("c", TODAY)).stamp
            == TODAY + HOUR + 1
        )

    def test_what_is_stored_after_an_erasure_was_heard_of_is_not_erased(self) -> None:
        assert version(["a"], at(erasure_path("a"), TODAY + HOUR, None)).stamp == TODAY + HOUR + 1

    def test_a_path_whose_stamp_nothing_can_exceed_is_dated_by_the_clock_again(self) -> None:
        assert milliseconds(version(["a", "b"], at("a", STAMP_MAX)).stamp) == NOW
        assert (
            version(["a", "b"], at("a", STAMP_MAX), at("b", TODAY + HOUR)).stamp == TODAY + HOUR + 1
        )

    def test_a_stamp_that_no_clock_reaches_does_not_spread_to_the_other_paths(self) -> None:
        for forged in (CLOCK_MAX, STAMP_MAX - 2, STAMP_MAX - 1):
            found = versions(["a", "b", "c"], at("b", forged), at("c", TODAY + HOUR))
            assert {path: one.stamp for path, one in found.items()} == {
                "a": TODAY + HOUR + 1,
                "b": forged + 1,
                "c": TODAY + HOUR + 1,
            }

    def test_a_path_and_its_erasure_have_one_version_even_then(self) -> None:
        erased = [path for bare in ("a", "b") for path in (bare, erasure_path(bare))]
        for forged in ("a", erasure_path("a")):
            found = versions(erased, at(forged, STAMP_MAX - 9, None))
            assert [found[path].stamp for path in erased] == [
                STAMP_MAX - 8,
                STAMP_MAX - 8,
                TODAY,
                TODAY,
            ]

    @given(
        st.lists(st.builds(at, st.sampled_from("ab"), st.integers(0, STAMP_MAX - 1)), max_size=5)
    )
    def test_a_writer_that_saw_a_version_always_beats_it(self, known: list[Entry]) -> None:
        found = versions(["a", "b"], *known)
        assert all(entry.version < found[entry.path] for entry in known)
