"""`a` on one node and `a/b` on another: both stay live, the newer is shown, and the other appears
when that one is deleted.
"""

import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from imagepipe.errors import BadRequest
from imagepipe.storage.store import Store
from tests.support.exchange import check_shown, pull, rows_of
from tests.support.stores import (
    check_kept,
    delete,
    digest,
    expected_tree,
    move,
    open_store,
    opened,
    put,
    tree,
)

EARLY, LATE = 1_700_000_000_000, 1_700_000_001_000


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """Two nodes; what `late` writes is newer than what `early` does, until that has heard of it."""
    with ExitStack() as stack:
        stores = []
        for name, now in (("early", EARLY), ("late", LATE)):
            store = open_store(tmp_path / name, now_ms=lambda now=now: now)  # type: ignore[misc]
            stack.callback(store.close)
            stores.append(store)
        yield stores[0], stores[1]


def met(early: Store, late: Store) -> None:
    """Each hears of the other."""
    pull(early, late)
    pull(late, early)


class ShownTests:
    @pytest.mark.parametrize(("first", "second"), [("a", "a/b/c"), ("a/b/c", "a")])
    def test_the_newer_is_shown_on_both_and_both_are_live(
        self, tmp_path: Path, both: tuple[Store, Store], first: str, second: str
    ) -> None:
        early, late = both
        put(early, {first: b"1", "x": b"x"})
        put(late, {second: b"2"})
        met(early, late)
        for name, store in (("early", early), ("late", late)):
            assert tree(tmp_path / name) == expected_tree({second: b"2", "x": b"x"})
            assert set(store.list()) == {"a", "a/b/c", "x"}
            assert store.info(first) is not None
            assert [(one.entry.path, one.by.path) for one in store.hidden()] == [(first, second)]
            check_kept(store, tmp_path / name)
        assert rows_of(early) == rows_of(late)

    @pytest.mark.parametrize(("first", "second"), [("a", "a/b/c"), ("a/b/c", "a")])
    def test_the_hidden_one_appears_when_the_other_is_deleted(
        self, tmp_path: Path, both: tuple[Store, Store], first: str, second: str
    ) -> None:
        early, late = both
        put(early, {first: b"1"})
        put(late, {second: b"2"})
        met(early, late)
        delete(early, second)
        met(early, late)
        for name, store in (("early", early), ("late", late)):
            assert tree(tmp_path / name) == expected_tree({first: b"1"})
            assert store.hidden() == []
            check_kept(store, tmp_path / name)

    def test_a_hidden_one_that_is_deleted_changes_nothing_in_the_tree(
        self, tmp_path: Path, both: tuple[Store, Store]
    ) -> None:
        early, late = both
        put(early, {"a/b": b"1", "a/c": b"1"})
        put(late, {"a": b"2"})
        met(early, late)
        delete(late, "a/b")
        assert tree(tmp_path / "late") == {"a": b"2"}
        delete(late, "a", "a/c")
        assert tree(tmp_path / "late") == {}
        met(early, late)
        assert tree(tmp_path / "early") == {}

    def test_a_hidden_one_may_be_moved_out(self, tmp_path: Path, both: tuple[Store, Store]) -> None:
        early, late = both
        put(early, {"a/b": b"1"})
        put(late, {"a": b"2"})
        met(early, late)
        move(early, ("a/b", "rescued"))
        assert tree(tmp_path / "early") == {"a": b"2", "rescued": b"1"}
        check_shown(early, tmp_path / "early")

    def test_a_store_above_or_below_a_live_image_is_refused_even_if_that_is_hidden(
        self, tmp_path: Path, both: tuple[Store, Store]
    ) -> None:
        early, late = both
        put(early, {"a": b"1"})
        put(late, {"a/b": b"2"})
        met(early, late)
        for path in ("a", "a/b", "a/c"):
            with pytest.raises(BadRequest, match="would lie"):
                put(early, {path: b"3"})
        assert tree(tmp_path / "early") == expected_tree({"a/b": b"2"})

    def test_one_batch_may_bring_both(self, tmp_path: Path, both: tuple[Store, Store]) -> None:
        early, late = both
        put(early, {"a": b"1", "c/d": b"1"})
        put(late, {"a/b": b"2", "c": b"2"})
        met(early, late)
        with opened(tmp_path / "third") as third:
            pull(third, early)
            assert (
                tree(tmp_path / "third")
                == tree(tmp_path / "early")
                == expected_tree({"a/b": b"2", "c": b"2"})
            )
            check_shown(third, tmp_path / "third")

    def test_two_calls_at_once_that_uncover_the_same_image(
        self, tmp_path: Path, both: tuple[Store, Store]
    ) -> None:
        early, late = both
        put(early, {"a": b"1"})
        put(late, {"a/b": b"2", "a/c": b"3"})
        met(early, late)
        gate, busy = threading.Event(), threading.Event()

        def hold(_future: object) -> None:  # the writer waits in here, and calls gather
            busy.set()
            gate.wait(60)

        early.delete(["nothing"]).add_done_callback(hold)
        busy.wait(60)
        futures = [early.delete([path]) for path in ("x", "a/b", "y", "a/c", "z")]
        gate.set()
        seqs = [future.result(60).seq for future in futures]
        assert seqs == sorted(set(seqs))
        assert tree(tmp_path / "early") == {"a": b"1"}

    def test_a_stranger_in_the_way_of_what_would_appear_does_not_keep_an_image_from_being_deleted(
        self, tmp_path: Path, both: tuple[Store, Store]
    ) -> None:
        early, late = both
        put(early, {"a": b"1"})
        put(late, {"a/b": b"2"})
        met(early, late)
        for name in ("early", "late"):
            (tmp_path / name / "a" / "theirs").write_bytes(b"x")
        delete(early, "a/b")
        met(early, late)
        for name, store in (("early", early), ("late", late)):
            assert tree(tmp_path / name) == expected_tree({"a/theirs": b"x"})
            assert store.list() == ["a"]


class RecoveryTests:
    """A crash may bring back any tree since the last checkpoint."""

    @pytest.mark.parametrize("shown", ["a", "a/b", ""])
    @pytest.mark.parametrize("deleted", [False, True])
    def test_what_is_hidden_is_hidden_and_what_is_shown_is_shown(
        self, tmp_path: Path, both: tuple[Store, Store], shown: str, *, deleted: bool
    ) -> None:
        early, late = both
        put(early, {"a": b"1", "x": b"x"})
        put(late, {"a/b": b"2"})
        met(early, late)
        if deleted:
            early.tidy().result(60)
            delete(early, "a/b")

        early._parts.housekeeping.finish = lambda: False  # type: ignore[method-assign]
        early.close()
        root = tmp_path / "early"
        right = tree(root)
        shutil.rmtree(root / "a") if (root / "a").is_dir() else (root / "a").unlink()
        if shown:
            (root / shown).parent.mkdir(exist_ok=True)
            content = b"1" if shown == "a" else b"2"
            (root / shown).hardlink_to(early.object_path(digest(content)))
        with opened(root) as again:
            assert tree(root) == right
            check_shown(again, root)
            check_kept(again, root)
