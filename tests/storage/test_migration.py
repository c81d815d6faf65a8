"""A catalogue that an older imagepipe wrote is brought up to date at a start, whole or not at all."""

import sqlite3
from pathlib import Path

import pytest
from stores import PRIVATE, check_whole, opened, put, tree

from imagepipe.errors import StartError
from imagepipe.storage import schema
from imagepipe.storage.orders import Order

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
        for table in ("entry", "image", "meta"):
            connection.execute(f"INSERT INTO {table} SELECT * FROM new.{table}")  # noqa: S608
        connection.execute("UPDATE main.meta SET schema_version = 1")
    connection.close()
    for name in ("-wal", "-shm"):
        (root / PRIVATE / f"catalogue.sqlite{name}").unlink(missing_ok=True)
    return old.rename(new)


def tables(catalogue: Path) -> set[str]:
    """What is in a catalogue."""
    connection = sqlite3.connect(catalogue)
    found = {row[0] for row in connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")}
    connection.close()
    return found


class MigrationTests:
    def test_all_rows_are_there_and_it_is_like_a_new_one(self, tmp_path: Path) -> None:
        with opened(tmp_path / "one") as store:
            put(store, {"a/b": b"1", "c": b"2"})
            rows, node = store.changes(0, 10).rows, store.node_id
        new = tables(tmp_path / "one" / PRIVATE / "catalogue.sqlite")
        catalogue = older(tmp_path / "one")
        assert tables(catalogue) < new | tables(catalogue)
        for _ in range(2):
            with opened(tmp_path / "one") as store:
                assert (store.changes(0, 10).rows, store.node_id) == (rows, node)
                assert store.epochs[0].first_seq == 3
                assert (store.cursors(), store.pending(), store.history()) == ({}, (), [])
                check_whole(store, tmp_path / "one")
        named = {statement.split("(")[0] for statement in new}
        assert {statement.split("(")[0] for statement in tables(catalogue)} == named

    def test_one_that_fails_leaves_the_old_one_as_it_was(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1"})
        catalogue = older(tmp_path)
        before = tables(catalogue)
        with monkeypatch.context() as patch:
            patch.setitem(schema._MIGRATIONS, 1, (*schema._REPLICATION_TABLES, "CREATE TABLE entry (again)"))  # noqa: SLF001
            with pytest.raises(StartError, match="cannot be read"), opened(tmp_path):
                pass
        assert tables(catalogue) == before
        with opened(tmp_path) as store:
            assert tree(tmp_path) == {"a": b"1"}
            put(store, {"b": b"2"})

    def test_one_of_version_2_gets_a_place_for_promises(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1"})
        catalogue = tmp_path / PRIVATE / "catalogue.sqlite"
        connection = sqlite3.connect(catalogue)
        connection.execute("DROP TABLE wanted")
        connection.execute("UPDATE meta SET schema_version = 2")
        connection.commit()
        connection.close()
        with opened(tmp_path) as store:
            store.order(Order("a", ("w5.jpg",)))
            assert store.orders() == [Order("a", ("w5.jpg",))]
            check_whole(store, tmp_path)
