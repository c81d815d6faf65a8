"""Images that lost a conflict: kept for 30 days on the node that had accepted them, and
gone then.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagepipe.core.requests.history_query import HistoryPage, version_text
from imagepipe.core.rows.entries import Content
from imagepipe.core.rows.stamp import Version
from imagepipe.storage.catalogue.history import KEPT_MS, LostVersion
from imagepipe.storage.store import Store
from tests.support.exchange import pull
from tests.support.stores import (
    NEVER,
    check_kept,
    delete,
    digest,
    objects,
    open_store,
    opened,
    put,
    tree,
)

NOW = 1_700_000_000_000


class Clock:
    """A wall clock set by hand."""

    def __init__(self) -> None:
        self.ms = NOW


@contextlib.contextmanager
def losing(root: Path, clock: Clock, other: Path) -> Iterator[Store]:
    """A store whose image at `a`, "mine", lost against "theirs"."""
    store = open_store(root, now_ms=lambda: clock.ms, checkpoint_seconds=NEVER)
    try:
        put(store, {"a": b"mine"})
        theirs = open_store(other, now_ms=lambda: NOW + 5)
        put(theirs, {"a": b"theirs"})
        clock.ms += 10
        pull(store, theirs)
        theirs.close()
        yield store
    finally:
        store.close()


class HistoryTests:
    def test_what_was_lost_says_to_whom_and_when(self, tmp_path: Path) -> None:
        with losing(tmp_path / "one", Clock(), tmp_path / "two") as store:
            (lost,) = store.history()
            row = store.look_up("a")
            assert row is not None
            assert lost == LostVersion(
                "a", lost.version, Content(digest(b"mine"), 4), NOW + 10, row.version
            )
            assert lost.version.origin == store.node_id
            assert store.history("a") == [lost]
            assert store.history("b") == []
            assert store.conflicts == 1

    def test_pages_go_by_path_and_the_newest_version_first(self, tmp_path: Path) -> None:
        clock = Clock()
        with (
            contextlib.closing(
                open_store(tmp_path / "one", now_ms=lambda: clock.ms, checkpoint_seconds=NEVER)
            ) as one,
            contextlib.closing(
                open_store(tmp_path / "two", now_ms=lambda: clock.ms + 5, checkpoint_seconds=NEVER)
            ) as two,
        ):
            for paths in (["b", "a/x"], ["b"], ["b"]):
                clock.ms += 10
                put(one, dict.fromkeys(paths, b"mine %d" % clock.ms))
                put(two, dict.fromkeys(paths, b"theirs %d" % clock.ms))
                pull(one, two)
            whole = list(one.history())
            assert len(whole) == 4
            whole.sort(key=lambda lost: lost.version, reverse=True)
            whole.sort(key=lambda lost: lost.path)
            assert list(one.lost_page(HistoryPage("", None, None, 9))) == whole
            paged: list[LostVersion] = []
            while page := one.lost_page(
                HistoryPage("", None, (paged[-1].path, paged[-1].version) if paged else None, 1)
            ):
                paged += page
            assert paged == whole
            early = (whole[0].path, Version(0, ""))
            assert list(one.lost_page(HistoryPage("b", "b\0", early, 9))) == [
                lost for lost in whole if lost.path == "b"
            ]
            for lost in whole:
                assert list(one.lost_versions(lost.path, version_text(lost.version), 2)) == [lost]
            of_b = [lost for lost in whole if lost.path == "b"]
            assert (
                list(one.lost_versions("b", "", 9)) == list(one.lost_versions("b", "0", 9)) == of_b
            )
            assert list(one.lost_versions("b", "0", 2)) == of_b[:2]
            assert (
                list(one.lost_versions("b", "f", 9)) == list(one.lost_versions("c", "0", 9)) == []
            )
            assert list(one.lost_page(HistoryPage("a/", "a0", None, 9))) == [
                lost for lost in whole if lost.path == "a/x"
            ]
            assert list(
                one.lost_page(HistoryPage("b", "b\0", (whole[0].path, whole[0].version), 9))
            ) == [lost for lost in whole if lost.path == "b"]

    def test_the_winner_of_a_delete_is_one_too(self, tmp_path: Path) -> None:
        with opened(tmp_path / "one") as one, opened(tmp_path / "two") as two:
            put(one, {"a": b"mine"})
            put(two, {"x": b"1"})
            delete(two, "a")
            delete(two, "a")
            pull(one, two)
            assert tree(tmp_path / "one") == {"x": b"1"}
            assert [lost.content.digest for lost in one.history()] == [digest(b"mine")]
            assert two.history() == []

    def test_bytes_survive_checkpoints_and_restarts(self, tmp_path: Path) -> None:
        clock = Clock()
        with losing(tmp_path / "one", clock, tmp_path / "two") as store:
            check_kept(store, tmp_path / "one")
            assert store.peers.read_piece(digest(b"mine"), 0, 4) == b"mine"
        store = open_store(tmp_path / "one", now_ms=lambda: NOW + KEPT_MS)
        check_kept(store, tmp_path / "one")
        assert store.conflicts == 1
        assert set(objects(tmp_path / "one")) == {digest(b"mine"), digest(b"theirs")}
        store.close()

    def test_they_survive_the_sweep_after_a_crash(self, tmp_path: Path) -> None:
        with losing(tmp_path / "one", Clock(), tmp_path / "two") as store:
            store._catalogue.set_clean(False)
            store._parts.housekeeping.finish = lambda: False  # type: ignore[method-assign]
        with opened(tmp_path / "one") as store:
            check_kept(store, tmp_path / "one")
            assert store.peers.read_piece(digest(b"mine"), 0, 4) == b"mine"

    def test_after_thirty_days_they_go(self, tmp_path: Path) -> None:
        clock = Clock()
        with losing(tmp_path / "one", clock, tmp_path / "two") as store:
            clock.ms += KEPT_MS
            assert store.tidy().result(60)
            assert store.conflicts == 1
            clock.ms += 1
            assert store.tidy().result(60)
            assert (store.conflicts, store.history()) == (0, [])
            assert set(objects(tmp_path / "one")) == {digest(b"theirs")}

    def test_bytes_that_an_image_has_again_stay(self, tmp_path: Path) -> None:
        clock = Clock()
        with losing(tmp_path / "one", clock, tmp_path / "two") as store:
            put(store, {"b": b"mine"})
            clock.ms += KEPT_MS + 1
            check_kept(store, tmp_path / "one")
            assert tree(tmp_path / "one") == {"a": b"theirs", "b": b"mine"}

    @pytest.mark.parametrize("again", [1, 3])
    def test_the_same_row_received_again_is_not_a_second_loss(
        self, tmp_path: Path, again: int
    ) -> None:
        with (
            losing(tmp_path / "one", Clock(), tmp_path / "two") as store,
            opened(tmp_path / "two") as theirs,
        ):
            for _ in range(again):
                rows = theirs.peers.changes(0, 10).rows
                store.peers.join(rows, None, None)
            assert store.conflicts == 1
