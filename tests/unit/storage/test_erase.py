"""Erasing: what lost a conflict at a path goes with the path, on every node, in whatever order it
hears of it.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from imagepipe.storage.store import Store
from tests.support.exchange import pull, rows_of
from tests.support.stores import check_kept, delete, digest, open_store, opened, put, tree

EARLY, LATE = 1_700_000_000_000, 1_700_000_001_000
LOST, WON = b"what lost", b"what won"


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """Two nodes that have not heard of each other; what `late` writes is newer than what `early`
    does, until that has heard of it.
    """
    with ExitStack() as stack:
        stores = []
        for name, now in (("early", EARLY), ("late", LATE)):
            store = open_store(tmp_path / name, now_ms=lambda now=now: now)  # type: ignore[misc]
            stack.callback(store.close)
            stores.append(store)
        yield stores[0], stores[1]


def kept(store: Store) -> list[str]:
    """The paths of what it keeps that lost."""
    return [lost.path for lost in store.history()]


def is_on_disk(root: Path, image: bytes) -> bool:
    """Whether the store holds these bytes."""
    name = digest(image)
    return (root / ".imagepipe" / "objects" / name[:2] / name).exists()


def conflict(early: Store, late: Store, path: str = "a.jpg") -> None:
    """Early loses what it had stored at a path."""
    put(early, {path: LOST})
    put(late, {path: WON})
    pull(early, late)
    assert kept(early) == [path]


class EraseTests:
    def test_the_image_and_what_lost_to_it_are_gone_with_their_bytes(
        self, tmp_path: Path, both: tuple[Store, Store]
    ) -> None:
        early, late = both
        conflict(early, late)
        early.erase("a.jpg").result()
        assert (kept(early), tree(tmp_path / "early"), early.list()) == ([], {}, [])
        assert early.tidy().result()
        assert not is_on_disk(tmp_path / "early", LOST)
        assert not is_on_disk(tmp_path / "early", WON)
        assert early.conflicts == 0
        check_kept(early, tmp_path / "early")

    def test_a_node_that_hears_of_it_drops_what_it_keeps(
        self, tmp_path: Path, both: tuple[Store, Store]
    ) -> None:
        early, late = both
        conflict(early, late)
        late.erase("a.jpg").result()
        pull(early, late)
        assert (kept(early), tree(tmp_path / "early")) == ([], {})
        assert early.tidy().result()
        assert not is_on_disk(tmp_path / "early", LOST)
        pull(late, early)
        assert rows_of(early) == rows_of(late)

    def test_what_is_lost_by_an_erasure_is_not_kept(
        self, tmp_path: Path, both: tuple[Store, Store]
    ) -> None:
        early, late = both
        put(early, {"a.jpg": LOST, "b.jpg": LOST})
        put(late, {"a.jpg": WON, "b.jpg": WON})
        late.erase("a.jpg").result()
        delete(late, "b.jpg")
        pull(early, late)
        assert kept(early) == ["b.jpg"]
        assert tree(tmp_path / "early") == {}

    def test_what_was_erased_long_ago_is_not_kept_when_it_loses_now(
        self, both: tuple[Store, Store]
    ) -> None:
        """The image has been stored again since; the erasure still holds for what is older
        than it.
        """
        early, late = both
        put(late, {"a.jpg": b"first"})
        late.erase("a.jpg").result()
        put(late, {"a.jpg": WON})
        put(early, {"a.jpg": LOST})
        pull(early, late)
        assert kept(early) == []

    def test_newer_versions_of_the_path_and_other_paths_are_kept(
        self, both: tuple[Store, Store]
    ) -> None:
        early, late = both
        conflict(early, late, "other.jpg")
        put(early, {"a.jpg": b"old"})
        early.erase("a.jpg").result()
        put(early, {"a.jpg": b"new"})
        pull(late, early)
        put(late, {"a.jpg": b"mine"})
        put(early, {"a.jpg": b"newer"})
        pull(late, early)
        pull(early, late)
        assert "other.jpg" in kept(early)
        assert sorted(kept(early) + kept(late)).count("a.jpg") == 1

    def test_bytes_that_another_path_has_stay(
        self, tmp_path: Path, both: tuple[Store, Store]
    ) -> None:
        early, late = both
        put(early, {"copy.jpg": LOST})
        conflict(early, late)
        early.erase("a.jpg").result()
        assert early.tidy().result()
        assert tree(tmp_path / "early") == {"copy.jpg": LOST}
        check_kept(early, tmp_path / "early")

    def test_twice_is_as_good_as_once_and_a_path_without_an_image_may_be(
        self, both: tuple[Store, Store]
    ) -> None:
        early, late = both
        conflict(early, late)
        for _ in range(2):
            early.erase("a.jpg").result()
        early.erase("never/heard-of.jpg").result()
        put(early, {"a.jpg": b"again"})
        assert early.list() == ["a.jpg"]
        pull(late, early)
        assert late.list() == ["a.jpg"]

    def test_a_start_keeps_to_it(self, tmp_path: Path) -> None:
        with opened(tmp_path / "a") as store:
            put(store, {"a.jpg": LOST})
            store.erase("a.jpg").result()
            before = rows_of(store)
        with opened(tmp_path / "a") as store:
            assert rows_of(store) == before
            assert (store.list(), store.hidden()) == ([], [])
        assert not (tmp_path / "a" / ".erased").exists()
