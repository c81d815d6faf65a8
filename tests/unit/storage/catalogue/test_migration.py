"""A catalogue that an older imagepipe wrote is brought up to date at a start, whole or not
at all.
"""

import sqlite3
from pathlib import Path

import pytest

from imagepipe.core.replication.messages import batch, decode_reply, encode
from imagepipe.core.rows.entries import Content, Entry, Row
from imagepipe.core.rows.join import Cursor
from imagepipe.core.rows.stamp import STAMP_MAX, Version
from imagepipe.errors import StartError
from imagepipe.storage.catalogue import schema
from imagepipe.storage.catalogue.orders import Order
from tests.support.stores import (
    FACTS,
    PRIVATE,
    check_kept,
    check_whole,
    delete,
    digest,
    opened,
    put,
    tree,
)

VERSION_1 = (
    """CREATE TABLE entry (
    path            TEXT NOT NULL PRIMARY KEY,
    stamp           INTEGER NOT NULL,
    origin          TEXT NOT NULL,
    replaced_stamp  INTEGER,
    replaced_origin TEXT,
    digest          TEXT,
    size            INTEGER,
    seq             INTEGER NOT NULL UNIQUE

) WITHOUT ROWID, STRICT""",
    "CREATE INDEX entry_digest ON entry (digest) WHERE digest IS NOT NULL",
    """CREATE TABLE image (
    digest TEXT NOT NULL PRIMARY KEY,
    format TEXT NOT NULL,
    width  INTEGER NOT NULL,
    height INTEGER NOT NULL
) WITHOUT ROWID, STRICT""",
    """CREATE TABLE meta (
    schema_version INTEGER NOT NULL,
    node_id        TEXT NOT NULL,
    last_stamp     INTEGER NOT NULL,
    projected      INTEGER NOT NULL,
    clean          INTEGER NOT NULL
) STRICT""",
)


def older(root: Path) -> Path:
    """Put a catalogue of version 1, with the same rows, in place of the one in `root`."""
    new = root / PRIVATE / "catalogue.sqlite"
    old = root / PRIVATE / "old.sqlite"
    with sqlite3.connect(old) as connection:
        for statement in VERSION_1:
            connection.execute(statement)
        connection.execute("ATTACH ? AS new", (str(new),))
        for table in ("entry", "image"):
            connection.execute(f"INSERT INTO {table} SELECT * FROM new.{table}")
        connection.execute("INSERT INTO meta SELECT 1, node_id, 0, projected, clean FROM new.meta")
    connection.close()
    for name in ("-wal", "-shm"):
        (root / PRIVATE / f"catalogue.sqlite{name}").unlink(missing_ok=True)
    return old.rename(new)


def tables(catalogue: Path) -> set[str]:
    """What is in a catalogue."""
    connection = sqlite3.connect(catalogue)
    found = {
        row[0] for row in connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")
    }
    connection.close()
    return found


YOU = "f" * 32


def told(path: str, data: bytes, *, seq: int) -> Row:
    """A row of a node that is not here."""
    return Row(Entry(path, Version(9, YOU), None, Content(digest(data), len(data)), seq), FACTS)


FROM_4_TO_3 = (
    "DROP INDEX entry_stamp",
    "ALTER TABLE meta ADD COLUMN last_stamp INTEGER NOT NULL DEFAULT 0",
    "UPDATE meta SET schema_version = 3",
)


def change(root: Path, *statements: str) -> None:
    """Change the catalogue of a store that is closed."""
    connection = sqlite3.connect(root / PRIVATE / "catalogue.sqlite")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


class MigrationTests:
    def test_all_rows_are_there_and_it_is_like_a_new_one(self, tmp_path: Path) -> None:
        with opened(tmp_path / "one") as store:
            put(store, {"a/b": b"1", "c": b"2"})
            rows, node = store.peers.changes(0, 10).rows, store.node_id
        new = tables(tmp_path / "one" / PRIVATE / "catalogue.sqlite")
        catalogue = older(tmp_path / "one")
        assert tables(catalogue) < new | tables(catalogue)
        for _ in range(2):
            with opened(tmp_path / "one") as store:
                assert (store.peers.changes(0, 10).rows, store.node_id) == (rows, node)
                assert store.epochs[0].first_seq == 3
                assert (store.peers.cursors(), store.peers.pending(), store.history()) == (
                    {},
                    (),
                    [],
                )
                check_whole(store, tmp_path / "one")
        named = {statement.split("(")[0] for statement in new}
        assert {statement.split("(")[0] for statement in tables(catalogue)} == named

    def test_one_that_fails_leaves_the_old_one_as_it_was(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1"})
        catalogue = older(tmp_path)
        before = tables(catalogue)
        with monkeypatch.context() as patch:
            patch.setitem(
                schema._MIGRATIONS,
                1,
                (*schema._REPLICATION_TABLES, "CREATE TABLE entry (again)"),
            )
            with pytest.raises(StartError, match="cannot be read"), opened(tmp_path):
                pass
        assert tables(catalogue) == before
        with opened(tmp_path) as store:
            assert tree(tmp_path) == {"a": b"1"}
            put(store, {"b": b"2"})

    def test_one_of_version_2_gets_a_place_for_promises(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1"})
        change(tmp_path, *FROM_4_TO_3, "DROP TABLE wanted", "UPDATE meta SET schema_version = 2")
        with opened(tmp_path) as store:
            store.order(Order("a", ("w5.jpg",)))
            assert store.orders() == [Order("a", ("w5.jpg",))]
            check_whole(store, tmp_path)


class StampTests:
    """Up to version 3 stamps went up to 2^62, and a forged one lifted all that were written after
    it.
    """

    forged = (1 << 62) - 1000

    def poison(self, root: Path, stamp: int) -> None:
        """Make a catalogue of version 3 whose rows all have a stamp of a peer's choice, or one
        above it.
        """
        with opened(root) as store:
            put(store, {"a": b"1"})
            put(store, {"c": b"2"})
            delete(store, "d")
            store.peers.join(
                [told("e", b"not here", seq=1), told("f", b"nor this", seq=2)], YOU, Cursor("e", 2)
            )
        change(
            root,
            f"UPDATE entry SET stamp = {stamp} + seq, replaced_stamp = {stamp}, replaced_origin ="
            " origin",
            f"UPDATE pending SET stamp = {stamp} + 1 + seq",
            f"INSERT INTO history VALUES ('c', {stamp}, 'ab', '{digest(b'2')}', 1, 5, {stamp} + 1,"
            " 'cd')",
            *FROM_4_TO_3,
            f"UPDATE meta SET last_stamp = {stamp} + 9",
        )

    def test_images_with_such_stamps_stay_and_can_be_written_over(self, tmp_path: Path) -> None:
        self.poison(tmp_path, self.forged)
        with opened(tmp_path) as store:
            assert tree(tmp_path) == {"a": b"1", "c": b"2"}
            stamps = [row.entry.version.stamp for row in store.peers.changes(0, 10).rows]
            assert stamps == [(self.forged + number) >> 1 for number in (1, 2, 3)]
            assert max(stamps) < STAMP_MAX
            put(store, {"a": b"3"})
            delete(store, "c")
            put(store, {"d": b"4"})
            assert tree(tmp_path) == {"a": b"3", "d": b"4"}
            check_kept(store, tmp_path)

    def test_new_paths_are_dated_by_the_clock_again(self, tmp_path: Path) -> None:
        self.poison(tmp_path, self.forged)
        with opened(tmp_path) as store:
            commit = put(store, {"new": b"3"})
            assert commit.stored[0].modified_ms == 1_700_000_000_000

    def test_what_peers_send_and_what_waits_is_within_bounds_again(self, tmp_path: Path) -> None:
        self.poison(tmp_path, self.forged)
        with opened(tmp_path) as store:
            for row in [
                *store.peers.changes(0, 10).rows,
                *(one.row for one in store.peers.pending()),
            ]:
                assert decode_reply(
                    "c", encode("c", batch(1, YOU, "e", row.entry.seq - 1, row.entry.seq, [row]))
                )
            assert [one.row.entry.path for one in store.peers.pending()] == ["e", "f"]
            assert {(lost.version.stamp, lost.winner.stamp) for lost in store.history()} == {
                (self.forged >> 1, (self.forged + 1) >> 1)
            }

    def test_the_greatest_of_all_can_be_got_rid_of(self, tmp_path: Path) -> None:
        self.poison(tmp_path, (1 << 62) - 3)
        with opened(tmp_path) as store:
            assert [one.row.entry.path for one in store.peers.pending()] == ["e"]
            delete(store, "a")
            put(store, {"d": b"4"})
            assert tree(tmp_path) == {"c": b"2", "d": b"4"}

    def test_stamps_of_today_stay_as_they_are(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1"})
            rows = store.peers.changes(0, 10).rows
        change(tmp_path, *FROM_4_TO_3)
        with opened(tmp_path) as store:
            assert store.peers.changes(0, 10).rows == rows
