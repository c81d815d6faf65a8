"""Rows that a peer tells: joined durably and shown, or pending until their bytes are here."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest

from imagepipe.core.replication.admission import Admission
from imagepipe.core.replication.fetches import ReceiveResult
from imagepipe.core.rows.entries import Content, Entry, ImageFacts, Row
from imagepipe.core.rows.epochs import Epoch
from imagepipe.core.rows.join import Cursor
from imagepipe.core.rows.stamp import Version
from imagepipe.errors import DiskFull, NotStored
from imagepipe.storage.catalogue.upstream_rows import EPOCHS_MAX
from imagepipe.storage.store import Store
from tests.support.exchange import check_shown, fetch, pull, retry, rows_of
from tests.support.stores import (
    FACTS,
    check_kept,
    check_whole,
    delete,
    digest,
    move,
    objects,
    open_store,
    opened,
    put,
    tree,
)

YOU = "f" * 32
LATER = 1_800_000_000_000 << 16


def told(path: str, data: bytes | None, *, seq: int = 1, stamp: int = LATER) -> Row:
    """A row of a node that is not here."""
    content = None if data is None else Content(digest(data), len(data))
    return Row(
        Entry(path, Version(stamp, YOU), None, content, seq), FACTS if data is not None else None
    )


def receive(store: Store, *data: bytes) -> None:
    """The bytes come from somewhere."""
    for number, one in enumerate(data):
        assert (
            store.peers.receive(number, Content(digest(one), len(one)), 0, one)
            is ReceiveResult.COMPLETE
        )


class BoundTests:
    """What an upstream can make this node keep is bounded."""

    def test_rows_that_only_wait_do_not_make_the_log_grow(self, tmp_path: Path) -> None:
        log = tmp_path / ".imagepipe" / "catalogue.sqlite-wal"
        with opened(tmp_path) as store:
            sizes = []
            for number in range(40):
                rows = [
                    told(f"{number}/{at}", b"%d %d" % (number, at), seq=number * 250 + at + 1)
                    for at in range(250)
                ]
                store.peers.join(rows, YOU, Cursor("e0", (number + 1) * 250))
                sizes.append(log.stat().st_size)
            assert len(store.peers.pending()) == 10_000
            assert max(sizes[20:]) <= 1.5 * max(sizes[:20])

    def test_an_upstream_is_forgotten_with_all_that_waits_of_it(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            for upstream in (YOU, "e" * 32):
                store.peers.join(
                    [told("a", b"1"), told("b", b"2", seq=2)], upstream, Cursor("e0", 2)
                )
            store.peers.forget_upstreams([YOU])
            assert set(store.peers.cursors()) == {"e" * 32}
            assert {one.upstream for one in store.peers.pending()} == {"e" * 32}
        with opened(tmp_path) as store:
            assert set(store.peers.cursors()) == {"e" * 32}


class HearsayTests:
    """What a peer claims of an image is believed as far as an image can have it, and its bytes
    agree.
    """

    PNG = b"\x89PNG\r\n\x1a\n" + bytes(56)

    def join(self, store: Store, path: str, facts: ImageFacts | None, seq: int = 1) -> Row:
        """The row of `path` after a peer has told that it holds PNG."""
        store.peers.admission = Admission(bytes_max=1 << 20, pixels_max=1 << 20)
        content = Content(digest(self.PNG), len(self.PNG))
        rows = [Row(Entry(path, Version(LATER, YOU), None, content, seq), facts)]
        for lacking in store.peers.pin_rows(rows):
            assert store.peers.receive(seq, lacking, 0, self.PNG) is ReceiveResult.COMPLETE
        store.peers.join(rows, YOU, Cursor("e0", seq))
        store.peers.unpin_rows(rows)
        return store.rows([path])[path]

    def test_facts_that_agree_with_the_bytes_are_taken_over(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            assert self.join(store, "a", ImageFacts("png", 7, 8)).facts == ImageFacts("png", 7, 8)

    def test_facts_that_do_not_are_dropped(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            assert self.join(store, "a", ImageFacts("jpeg", 7, 8)).facts is None

    def test_they_change_nothing_of_another_path_with_the_same_bytes(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"mine": self.PNG})  # which the store was told is a JPEG of 40x30
            self.join(store, "theirs", ImageFacts("png", 7, 8))
            info = store.info("mine")
            assert info is not None
            assert (info.format, info.width, info.height) == ("jpeg", 40, 30)

    def test_what_an_earlier_release_believed_counts_as_missing(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": self.PNG})
        with closing(sqlite3.connect(tmp_path / ".imagepipe" / "catalogue.sqlite")) as connection:
            connection.execute("UPDATE image SET format = 'svg+xml', width = 9223372036854775807")
            connection.commit()
        with opened(tmp_path) as store:
            assert store.rows(["a"])["a"].facts is None
            assert store.info("a") is None
            assert [row.facts for row in store.peers.changes(0, 10).rows] == [None]
            store.note_facts(digest(self.PNG), ImageFacts("png", 7, 8))
            assert store.rows(["a"])["a"].facts == ImageFacts("png", 7, 8)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """Two stores, `one` and `two`."""
    with ExitStack() as stack:
        yield (
            stack.enter_context(opened(tmp_path / "one")),
            stack.enter_context(opened(tmp_path / "two")),
        )


class JoinTests:
    def test_what_one_stored_the_other_shows(
        self, tmp_path: Path, pair: tuple[Store, Store]
    ) -> None:
        one, two = pair
        put(one, {"a/b": b"1", "c": b"2"})
        delete(one, "c")
        move(one, ("a/b", "d/e"))
        joined = pull(two, one)
        assert (joined.added, joined.settled) == ((), ())
        assert rows_of(two) == rows_of(one)
        assert tree(tmp_path / "two") == tree(tmp_path / "one")
        info = two.info("d/e")
        assert info is not None
        assert (info.width, info.format) == (40, "jpeg")
        check_whole(two, tmp_path / "two")

    def test_rows_get_numbers_of_this_node_and_can_be_passed_on(
        self, tmp_path: Path, pair: tuple[Store, Store]
    ) -> None:
        one, two = pair
        put(two, {"own": b"0"})
        put(one, {"a": b"1", "b": b"2"})
        assert pull(two, one).seq == two.last_seq == 3
        assert [(row.entry.path, row.entry.seq) for row in two.peers.changes(1, 10).rows] == [
            ("a", 2),
            ("b", 3),
        ]
        assert two.peers.changes(1, 10).end == two.peers.changes(0, 1).end == 3
        assert [row.facts for row in two.peers.changes(0, 2).rows] == [FACTS, FACTS]
        with opened(tmp_path / "three") as three:
            pull(three, two)
            assert rows_of(three) == rows_of(two)

    def test_what_is_known_moves_the_cursor_alone(self, pair: tuple[Store, Store]) -> None:
        one, two = pair
        put(one, {"a": b"1"})
        pull(two, one)
        seq = two.last_seq
        pull(one, two)
        assert one.last_seq == seq
        assert one.peers.cursors() == {two.node_id: Cursor(two.epochs[-1].id, two.last_seq)}

    def test_cursors_survive_a_restart_with_all_they_say(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            store.peers.join([], YOU, Cursor("e", 7, 9))
            store.peers.join([], YOU, Cursor("f", 8, 10))
        with opened(tmp_path) as store:
            assert store.peers.cursors() == {YOU: Cursor("f", 8, 10)}

    def test_commits_are_announced_in_order_once_they_are_visible(self, tmp_path: Path) -> None:
        heard: list[tuple[int, bool]] = []
        store = open_store(tmp_path)
        store.committed.connect(lambda seq: heard.append((seq, (tmp_path / str(seq)).exists())))
        put(store, {"1": b"1"})
        receive(store, b"2")
        store.peers.pin_rows([told("2", b"2")])
        store.peers.join([told("2", b"2")], YOU, Cursor("e", 1))
        store.peers.join([told("2", b"2")], YOU, Cursor("e", 2))  # which changes nothing
        assert move(store, ("1", "1")).version is None
        delete(store, "gone")
        store.close()
        assert heard == [(1, True), (2, True), (3, False)]


class PendingTests:
    def test_a_row_without_its_bytes_waits_and_the_rest_goes_on(self, tmp_path: Path) -> None:
        rows = [told("a", b"1", seq=1), told("b", None, seq=2), told("c", b"3", seq=3)]
        with opened(tmp_path) as store:
            assert [content.size for content in store.peers.pin_rows(rows)] == [1, 1]
            receive(store, b"3")
            joined = store.peers.join(rows, YOU, Cursor("e", 3))
            store.peers.unpin_rows(rows)
            assert [(one.upstream, one.row) for one in joined.added] == [(YOU, rows[0])]
            assert store.look_up("a") is None
            assert tree(tmp_path) == {"c": b"3"}
            assert store.peers.cursors()[YOU].seq == 3
        with opened(tmp_path) as store:
            assert store.peers.pending() == joined.added
            assert store.peers.pin_rows(rows[:1]) == (rows[0].entry.content,)
            receive(store, b"1")
            assert store.peers.join(rows[:1], None, None).settled == ((YOU, "a"),)
            store.peers.unpin_rows(rows[:1])
            assert store.peers.pending() == ()
            assert store.peers.cursors()[YOU].seq == 3
            check_whole(store, tmp_path)

    def test_what_still_has_no_bytes_stays_as_it_is(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            store.peers.join([told("a", b"1")], YOU, Cursor("e", 1))
            before = store.peers.pending()
            joined = store.peers.join([told("a", b"1")], None, None)
            assert (joined.added, joined.settled, store.peers.pending()) == ((), (), before)

    def test_a_newer_row_of_the_same_upstream_takes_its_place(self, tmp_path: Path) -> None:
        newer = told("a", b"2", seq=2, stamp=LATER + 1)
        with opened(tmp_path) as store:
            store.peers.join([told("a", b"1")], YOU, Cursor("e", 1))
            joined = store.peers.join([newer], YOU, Cursor("e", 2))
            assert [one.row for one in joined.added] == [newer]
            assert joined.settled == ()
            assert [one.row for one in store.peers.pending()] == [newer]

    def test_one_that_was_overtaken_waits_no_more(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            store.peers.join([told("a", b"1")], YOU, Cursor("e", 1))
            store.peers.join([told("a", b"1", seq=5)], "0" * 32, Cursor("e", 5))
            joined = store.peers.join([told("a", None, stamp=LATER + 1)], "1" * 32, Cursor("e", 1))
            assert joined.settled == (("0" * 32, "a"), (YOU, "a"))
            assert store.peers.pending() == ()

    def test_one_that_a_local_write_overtook_waits_until_it_is_tried(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            store.peers.join([told("a", b"1")], YOU, Cursor("e", 1))
            put(store, {"a": b"2"})
            assert retry(store, []).settled == ((YOU, "a"),)
            assert tree(tmp_path) == {"a": b"2"}

    def test_an_upstream_that_starts_over_voids_its_pending_rows(self, tmp_path: Path) -> None:
        kept, gone, other = told("a", b"1", seq=1), told("b", b"2", seq=2), told("c", b"3")
        with opened(tmp_path) as store:
            store.peers.join([kept, gone], YOU, Cursor("e", 2))
            store.peers.join([other], "0" * 32, Cursor("e", 1))
            joined = store.peers.join([kept], YOU, Cursor("f", 1), from_start=True)
            assert (joined.added, joined.settled) == ((), ((YOU, "b"),))
            assert {one.row for one in store.peers.pending()} == {kept, other}

    def test_they_are_returned_in_the_upstreams_order(self, tmp_path: Path) -> None:
        rows = [told(path, path.encode(), seq=seq) for seq, path in enumerate("zyx", 1)]
        with opened(tmp_path) as store:
            store.peers.join(rows, YOU, Cursor("e", 3))
            assert [one.row for one in store.peers.pending()] == rows

    def test_an_object_of_the_wrong_size_is_not_here(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"good"})
            store.object_path(digest(b"good")).write_bytes(b"go")
            rows = [told("b", b"good")]
            assert store.peers.pin_rows(rows) == (rows[0].entry.content,)
            assert store.peers.join(rows, YOU, Cursor("e", 1)).added
            receive(store, b"good")
            store.peers.join(rows, None, None)
            store.peers.unpin_rows(rows)
            assert (tmp_path / "b").read_bytes() == b"good"


class HoldTests:
    def test_bytes_that_are_held_are_not_collected_and_go_when_they_are_given_up(
        self, tmp_path: Path
    ) -> None:
        rows = [told("a", b"1")]
        with opened(tmp_path) as store:
            store.peers.pin_rows(rows)
            store.peers.pin_rows(rows)
            receive(store, b"1")
            store.peers.unpin_rows(rows)
            store.tidy().result(60)
            assert objects(tmp_path) == {digest(b"1"): b"1"}
            store.peers.unpin_rows(rows)
            check_whole(store, tmp_path)

    def test_bytes_that_were_joined_stay(self, tmp_path: Path) -> None:
        rows = [told("a", b"1")]
        with opened(tmp_path) as store:
            store.peers.pin_rows(rows)
            receive(store, b"1")
            store.peers.join(rows, YOU, Cursor("e", 1))
            store.peers.unpin_rows(rows)
            check_whole(store, tmp_path)
            assert tree(tmp_path) == {"a": b"1"}

    def test_a_replaced_object_stays_while_a_row_on_its_way_names_it(self, tmp_path: Path) -> None:
        rows = [told("b", b"1")]
        with opened(tmp_path) as store:
            put(store, {"a": b"1"})
            assert store.peers.pin_rows(rows) == ()
            delete(store, "a")
            store.tidy().result(60)
            store.peers.join(rows, YOU, Cursor("e", 1))
            store.peers.unpin_rows(rows)
            assert tree(tmp_path) == {"b": b"1"}
            check_whole(store, tmp_path)

    def test_a_stop_leaves_nothing_behind_that_was_held(self, tmp_path: Path) -> None:
        rows = [told("a", b"1")]
        with opened(tmp_path) as store:
            store.peers.pin_rows(rows)
            receive(store, b"1")
        store.peers.unpin_rows(rows)  # by a thread that comes too late
        assert objects(tmp_path) == {}
        with opened(tmp_path) as store:
            check_whole(store, tmp_path)

    def test_only_what_wins_is_wanted(self, tmp_path: Path) -> None:
        rows = [told("a", b"1", stamp=5), told("b", b"2"), told("c", b"2"), told("d", None)]
        with opened(tmp_path) as store:
            put(store, {"a": b"newer"})
            assert store.peers.pin_rows(rows) == (rows[1].entry.content,)


class TreeTests:
    """A join is not refused for what lies in the tree."""

    @pytest.mark.parametrize("stranger", ["a", "a/x"])
    def test_a_strangers_file_is_left_and_the_rows_are_joined(
        self, tmp_path: Path, stranger: str
    ) -> None:
        rows = [told("a", b"1", seq=1), told("b", b"2", seq=2)]
        with opened(tmp_path) as store:
            (tmp_path / stranger).parent.mkdir(exist_ok=True)
            (tmp_path / stranger).write_bytes(b"theirs")
            store.peers.pin_rows(rows)
            receive(store, b"1", b"2")
            assert store.peers.join(rows, YOU, Cursor("e", 2)).seq == 2
            store.peers.unpin_rows(rows)
            assert store.list() == ["a", "b"]
            assert (tmp_path / stranger).read_bytes() == b"theirs"
            assert (tmp_path / "b").read_bytes() == b"2"
            check_kept(store, tmp_path)

    def test_a_delete_where_a_stranger_took_the_place_leaves_him(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1"})
            (tmp_path / "a").unlink()
            (tmp_path / "a").write_bytes(b"theirs")
            store.peers.join([told("a", None)], YOU, Cursor("e", 1))
            assert tree(tmp_path) == {"a": b"theirs"}
            assert store.list() == []

    def test_what_the_tree_refuses_now_is_tried_again(self, tmp_path: Path) -> None:
        rows = [told("x/a", b"1")]
        with opened(tmp_path) as store:
            put(store, {"x/b": b"2"})
            store.peers.pin_rows(rows)
            receive(store, b"1")
            tree_of_store = store._parts.joiner._tree
            link = tree_of_store._make_link
            tree_of_store._make_link = _refuse
            store.peers.join(rows, YOU, Cursor("e", 1))
            assert tree(tmp_path) == {"x/": None, "x/b": b"2"}
            assert not store.tidy().result(60)
            tree_of_store._make_link = link
            store.peers.unpin_rows(rows)
            check_whole(store, tmp_path)


def _refuse(_source: bytes, _target: bytes) -> None:
    raise BlockingIOError(11, "not now")


class FullDiskTests:
    def test_a_join_that_does_not_fit_changes_nothing(self, tmp_path: Path) -> None:
        rows = [told("x/a", b"1")]
        with opened(tmp_path) as store:
            store.peers.pin_rows(rows)
            receive(store, b"1")

            def full(_source: bytes, _target: bytes) -> None:
                raise OSError(28, "full")

            link, store._parts.joiner._tree._make_link = (
                store._parts.joiner._tree._make_link,
                full,
            )
            with pytest.raises(NotStored, match="the disk is full"):
                store.peers.join(rows, YOU, Cursor("e", 1))
            assert (
                tree(tmp_path),
                store.peers.cursors(),
                store.last_seq,
                store.look_up("x/a"),
            ) == (
                {},
                {},
                0,
                None,
            )
            store._parts.joiner._tree._make_link = link
            store.peers.join(rows, YOU, Cursor("e", 1))
            store.peers.unpin_rows(rows)
            check_whole(store, tmp_path)

    def test_deletes_are_joined_in_the_room_of_the_reserve(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1"})
            catalogue, reserve = store._catalogue, store._parts.reserve
            begin = catalogue.begin

            def cramped() -> None:
                if reserve.is_allocated:
                    raise DiskFull("the disk is full")
                begin()

            catalogue.begin = cramped  # type: ignore[method-assign]
            rows = [told("b", b"2")]
            store.peers.pin_rows(rows)
            receive(store, b"2")
            with pytest.raises(NotStored):
                store.peers.join(rows, YOU, Cursor("e", 1))
            store.peers.unpin_rows(rows)
            assert store.peers.join([told("a", None)], YOU, Cursor("e", 1)).seq == 2
            assert tree(tmp_path) == {}
            catalogue.begin = begin  # type: ignore[method-assign]
            check_whole(store, tmp_path)


class EpochTests:
    def test_each_start_has_one_and_says_which_number_came_first(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1", "b": b"2"})
            first = store.epochs
        with opened(tmp_path) as store:
            second = store.epochs
            assert second[:-1] == first
            assert [epoch.first_seq for epoch in second] == [1, 3]
            assert len({epoch.id for epoch in second}) == 2

    def test_only_the_newest_are_kept(self, tmp_path: Path) -> None:
        with opened(tmp_path):
            pass
        many = [Epoch(f"{number:032x}", 1) for number in range(EPOCHS_MAX)]
        with (
            closing(sqlite3.connect(tmp_path / ".imagepipe" / "catalogue.sqlite")) as catalogue,
            catalogue,
        ):
            catalogue.executemany(
                "INSERT INTO epoch (id, first_seq) VALUES (?, ?)",
                [(epoch.id, epoch.first_seq) for epoch in many],
            )
        found = []
        for _ in range(2):
            with opened(tmp_path) as store:
                found.append(store.epochs[-1])
        assert list(store.epochs) == [*many[2:], *found]


class SparseTests:
    def test_missing_facts_do_not_hide_a_row(self, tmp_path: Path) -> None:
        rows = [replace(told("a", b"1"), facts=None)]
        with opened(tmp_path) as store:
            store.peers.pin_rows(rows)
            receive(store, b"1")
            store.peers.join(rows, YOU, Cursor("e", 1))
            store.peers.unpin_rows(rows)
            assert [row.facts for row in store.peers.changes(0, 9).rows] == [None]
            assert tree(tmp_path) == {"a": b"1"}

    def test_what_is_fetched_from_another_peer_is_as_good(
        self, tmp_path: Path, pair: tuple[Store, Store]
    ) -> None:
        one, two = pair
        put(one, {"a": b"12345"})
        with opened(tmp_path / "three") as three:
            rows = one.peers.changes(0, 10).rows
            pull(two, one)
            for content in three.peers.pin_rows(rows):
                fetch(three, [two], content)
            three.peers.join(rows, one.node_id, Cursor(one.epochs[-1].id, 1))
            three.peers.unpin_rows(rows)
            check_shown(three, tmp_path / "three")
