"""What version a call writes, on a store whose peers have sent rows from the future."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from imagepipe.core.replication.fetches import ReceiveResult
from imagepipe.core.rows.entries import Content, Entry, Row
from imagepipe.core.rows.join import Cursor
from imagepipe.core.rows.stamp import STAMP_MAX, Version, milliseconds
from imagepipe.core.rows.versions import FutureStamps
from imagepipe.storage.store import Store
from tests.support.exchange import pull, retry, rows_of
from tests.support.stores import (
    FACTS,
    check_whole,
    delete,
    digest,
    move,
    open_store,
    opened,
    put,
    tree,
)

YOU = "f" * 32
NOW = 1_700_000_000_000
TODAY = NOW << 16
HOUR_MS = 3_600_000
LATER = TODAY + (HOUR_MS << 16)


def told(path: str, data: bytes | None, stamp: int = LATER, *, seq: int = 1) -> Row:
    """A row of a node that is not here."""
    content = None if data is None else Content(digest(data), len(data))
    return Row(Entry(path, Version(stamp, YOU), None, content, seq), FACTS if content else None)


def stamp(store: Store, path: str) -> int:
    """The stamp of a path's row."""
    entry = store.look_up(path)
    assert entry
    return entry.version.stamp


def ahead(store: Store) -> FutureStamps | None:
    """What is dated ahead of the clock now."""
    store.probe()
    return store.ahead


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store whose clock stands at NOW."""
    with opened(tmp_path / "store") as store:
        yield store


class PathTests:
    """A write is above all that is known of its own paths, and else of today."""

    def test_a_row_from_the_future_dates_its_own_path_alone(self, store: Store) -> None:
        store.peers.join(
            [told("gone", None), told("waits", b"not here", seq=2)], YOU, Cursor("e", 2)
        )
        put(store, {"gone": b"1"})
        put(store, {"waits": b"2"})
        put(store, {"other": b"3"})
        delete(store, "never/heard/of")
        assert [stamp(store, path) for path in ("gone", "waits", "other", "never/heard/of")] == [
            LATER + 1,
            LATER + 1,
            TODAY,
            TODAY,
        ]

    def test_a_row_that_waits_is_overtaken_by_a_write_after_it(self, store: Store) -> None:
        store.peers.join([told("a", b"not here")], YOU, Cursor("e", 1))
        put(store, {"a": b"1"})
        assert retry(store, []).settled == ((YOU, "a"),)
        assert store.peers.pending() == ()

    def test_all_outputs_of_a_call_have_one_version(self, store: Store) -> None:
        store.peers.join([told("b", None)], YOU, Cursor("e", 1))
        commit = put(store, {"a": b"1", "b": b"2", "c": b"3"})
        assert {stamp(store, path) for path in "abc"} == {LATER + 1}
        assert commit.version == Version(LATER + 1, store.node_id)

    def test_a_move_is_above_its_source_and_its_destination(self, store: Store) -> None:
        store.peers.join([told("to", None)], YOU, Cursor("e", 1))
        put(store, {"from": b"1"})
        move(store, ("from", "to"))
        assert (stamp(store, "from"), stamp(store, "to")) == (LATER + 1, LATER + 1)

    def test_calls_that_share_a_transaction_do_not_share_a_stamp_from_the_future(
        self, store: Store
    ) -> None:
        store.peers.join([told("a", None)], YOU, Cursor("e", 1))
        for change in [store.delete(["a"]), store.delete(["b"])]:
            change.result(5)
        assert (stamp(store, "a"), stamp(store, "b")) == (LATER + 1, TODAY)

    def test_an_image_stored_after_an_erasure_was_heard_of_is_kept_when_it_loses(
        self, store: Store
    ) -> None:
        """The erasure came in an earlier batch than the delete that belongs to it."""
        store.peers.join([told(".erased/a", None)], YOU, Cursor("e", 1))
        put(store, {"a": b"mine"})
        store.peers.join([told("a", None, seq=2)], YOU, Cursor("e", 2))
        assert stamp(store, "a") == LATER + 1

    def test_a_clock_that_ran_ahead_and_was_set_right_dates_only_what_it_wrote(
        self, tmp_path: Path
    ) -> None:
        clock = [NOW + HOUR_MS]
        with closing(open_store(tmp_path, now_ms=lambda: clock[0])) as store:
            put(store, {"ahead": b"1"})
            clock[0] = NOW
            put(store, {"right": b"2"})
            put(store, {"ahead": b"3"})
        with closing(open_store(tmp_path, now_ms=lambda: clock[0])) as store:
            put(store, {"after/a/restart": b"4"})
            assert [
                milliseconds(stamp(store, path)) - NOW
                for path in ("ahead", "right", "after/a/restart")
            ] == [HOUR_MS, 0, 0]
            assert stamp(store, "ahead") == LATER + 1


class GreatestTests:
    """A row with the greatest stamp was forged: nothing can exceed it, and a client's call goes
    over it on the node that it asks.
    """

    greatest = told("a", None, STAMP_MAX)

    def test_a_store_and_a_delete_go_over_it(self, tmp_path: Path, store: Store) -> None:
        for data in (b"1", None):
            store.peers.join([self.greatest], YOU, Cursor("e", 1))
            assert stamp(store, "a") == STAMP_MAX
            put(store, {"a": data}) if data else delete(store, "a")
            assert stamp(store, "a") == TODAY
            assert tree(tmp_path / "store") == ({"a": data} if data else {})
        check_whole(store, tmp_path / "store")

    def test_the_last_stamp_below_it_leaves_one_write(self, store: Store) -> None:
        store.peers.join([told("a", None, STAMP_MAX - 1)], YOU, Cursor("e", 1))
        put(store, {"a": b"1"})
        assert stamp(store, "a") == STAMP_MAX
        put(store, {"a": b"2"})
        assert stamp(store, "a") == TODAY

    def test_the_path_is_back_once_it_was_deleted_on_every_node(
        self, tmp_path: Path, store: Store
    ) -> None:
        with opened(tmp_path / "other") as other:
            for one in (store, other):
                one.peers.join([self.greatest], YOU, Cursor("e", 1))
            for one, peer in ((store, other), (other, store)):
                delete(one, "a")
                pull(peer, one)
            put(store, {"a": b"again"})
            pull(other, store)
            assert tree(tmp_path / "other") == tree(tmp_path / "store") == {"a": b"again"}
            assert rows_of(other) == rows_of(store)

    def test_it_does_not_wait_for_bytes_that_nobody_has(self, store: Store) -> None:
        joined = store.peers.join([told("a", b"not here", STAMP_MAX)], YOU, Cursor("e", 1))
        assert (joined.added, store.peers.pending(), store.look_up("a")) == ((), (), None)

    def test_with_its_bytes_it_is_an_image_like_any_other(
        self, tmp_path: Path, store: Store
    ) -> None:
        with opened(tmp_path / "other") as other:
            other.peers.join([told("b", None, STAMP_MAX - 1)], YOU, Cursor("e", 1))
            put(other, {"b": b"1"})
            pull(store, other)
        info = store.info("b")
        assert info
        assert milliseconds(STAMP_MAX) == info.modified_ms


class AheadTests:
    """Images that are dated more than an hour ahead of the clock are reported by their paths."""

    def test_a_clock_that_was_set_back_shows_what_it_has_dated_ahead(self, tmp_path: Path) -> None:
        clock = [NOW + 3 * HOUR_MS]
        with closing(open_store(tmp_path, now_ms=lambda: clock[0])) as store:
            put(store, {"a": b"1", "b": b"2"})
            clock[0] += HOUR_MS
            put(store, {"c": b"3"})
            assert ahead(store) is None
            clock[0] = NOW
            assert ahead(store) == FutureStamps(3, "c", 4 * 3600.0)
            delete(store, "c")
            found = ahead(store)
            assert found
            assert (found.images, found.seconds) == (2, 3 * 3600.0)
            clock[0] += 2 * HOUR_MS
            assert ahead(store) is None

    def test_a_forged_row_is_named_until_it_is_deleted(self, store: Store) -> None:
        content = b"1"
        assert (
            store.peers.receive(1, Content(digest(content), 1), 0, content)
            is ReceiveResult.COMPLETE
        )
        store.peers.pin_rows([told("a", content, STAMP_MAX)])
        store.peers.join([told("a", content, STAMP_MAX)], YOU, Cursor("e", 1))
        put(store, {"b": b"2"})
        found = ahead(store)
        assert found
        assert (found.images, found.path, round(found.seconds / (365 * 24 * 3600))) == (
            1,
            "a",
            1062,
        )
        delete(store, "a")
        assert ahead(store) is None
