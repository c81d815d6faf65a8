"""The catalogue's file: its tables, and opening it so that a commit is on the disk when it returns.

entry    one row a path, live or deleted (docs/design/replication.md, "The state of a node")
image    what the header of some bytes says; local to this node, gone with the object
epoch    the starts of this node, by which its peers know whether their cursors still mean something
cursor   how far this node has pulled from each of its upstreams
pending  rows of upstreams that wait for their bytes
history  images that lost a conflict, kept for a while
wanted   renditions that were promised and are not yet made
meta     one row: who this node is, and how far the tree is known to be right
"""

import os
import sqlite3
import stat
from pathlib import Path

from imagepipe.core.rows.stamp import STAMP_MAX
from imagepipe.errors import StartError

SCHEMA_VERSION = 4

_REPLICATION_TABLES = (
    """
CREATE TABLE epoch (
    number    INTEGER NOT NULL PRIMARY KEY,     -- in the order of the starts
    id        TEXT NOT NULL,                    -- 128 random bits in hex
    first_seq INTEGER NOT NULL                  -- the number of the first change since this start
) STRICT
""",
    """
CREATE TABLE cursor (
    upstream TEXT NOT NULL PRIMARY KEY,         -- the name of a link
    epoch    TEXT NOT NULL,                     -- one of the upstream's
    seq      INTEGER NOT NULL,
    end_seq  INTEGER NOT NULL                   -- core.joining.Cursor.end
) WITHOUT ROWID, STRICT
""",
    """
CREATE TABLE pending (
    upstream        TEXT NOT NULL,
    path            TEXT NOT NULL,
    stamp           INTEGER NOT NULL,
    origin          TEXT NOT NULL,
    replaced_stamp  INTEGER,
    replaced_origin TEXT,
    digest          TEXT NOT NULL,
    size            INTEGER NOT NULL,
    seq             INTEGER NOT NULL,           -- the upstream's numbering
    format          TEXT,                       -- NULL: the upstream does not know the facts
    width           INTEGER,
    height          INTEGER,
    PRIMARY KEY (upstream, path)
) WITHOUT ROWID, STRICT
""",
    "CREATE INDEX pending_path ON pending (path)",
    """
CREATE TABLE history (
    path          TEXT NOT NULL,
    stamp         INTEGER NOT NULL,             -- with `origin` the version that lost
    origin        TEXT NOT NULL,
    digest        TEXT NOT NULL,
    size          INTEGER NOT NULL,
    lost_ms       INTEGER NOT NULL,             -- when, in milliseconds since 1970
    winner_stamp  INTEGER NOT NULL,
    winner_origin TEXT NOT NULL,
    PRIMARY KEY (path, stamp, origin)
) WITHOUT ROWID, STRICT
""",
    "CREATE INDEX history_digest ON history (digest)",
    "CREATE INDEX history_lost_ms ON history (lost_ms)",
)

_ORDER_TABLES = (
    """
CREATE TABLE wanted (
    path TEXT NOT NULL,                         -- the image
    name TEXT NOT NULL,                         -- of the rendition
    PRIMARY KEY (path, name)
) WITHOUT ROWID, STRICT
""",
)

_STAMP_INDEX = "CREATE INDEX entry_stamp ON entry (stamp) WHERE digest IS NOT NULL"

_TABLES = (
    """
CREATE TABLE entry (
    path            TEXT NOT NULL PRIMARY KEY,  -- compared as UTF-8 bytes
    stamp           INTEGER NOT NULL,
    origin          TEXT NOT NULL,
    replaced_stamp  INTEGER,                    -- the version it was written over; NULL: none
    replaced_origin TEXT,
    digest          TEXT,                       -- NULL: deleted
    size            INTEGER,
    seq             INTEGER NOT NULL UNIQUE     -- this node's numbering

) WITHOUT ROWID, STRICT
""",
    "CREATE INDEX entry_digest ON entry (digest) WHERE digest IS NOT NULL",
    """
CREATE TABLE image (
    digest TEXT NOT NULL PRIMARY KEY,
    format TEXT NOT NULL,
    width  INTEGER NOT NULL,
    height INTEGER NOT NULL
) WITHOUT ROWID, STRICT
""",
    """
CREATE TABLE meta (
    schema_version INTEGER NOT NULL,
    node_id        TEXT NOT NULL,               -- 128 random bits in hex
    projected      INTEGER NOT NULL,            -- the tree is right, and flushed, up to this seq
    clean          INTEGER NOT NULL             -- 1: stopped in order, nothing is left to sweep
) STRICT
""",
    *_REPLICATION_TABLES,
    *_ORDER_TABLES,
    _STAMP_INDEX,
)

_STAMPS = {
    "entry": ("stamp", "replaced_stamp"),
    "pending": ("stamp", "replaced_stamp"),
    "history": ("stamp", "winner_stamp"),
}

_LOWERED_STAMPS = (
    # Stamps used to go up to 2^62, and a peer that sent a great one lifted all that were written
    # after it. Halved, they keep their order and have room above them; all nodes arrive at the same
    # versions.
    *(
        # all of it is written here
        f"UPDATE OR REPLACE {table} SET {column} = {column} >> 1 WHERE {column} > {STAMP_MAX}"
        for table, columns in _STAMPS.items()
        for column in columns
    ),
    f"DELETE FROM pending WHERE stamp = {STAMP_MAX}",  # as core.rows.join.join
    "DELETE FROM cursor",  # they were kept by node id
    "ALTER TABLE meta DROP COLUMN last_stamp",
    _STAMP_INDEX,
)

_MIGRATIONS = {1: _REPLICATION_TABLES, 2: _ORDER_TABLES, 3: _LOWERED_STAMPS}
"""From each older version to the next."""


def has_catalogue(path: Path) -> bool:
    """Whether there is a catalogue. One without a single table is none: the process died while it
    made it.
    """
    try:
        if path.stat().st_size == 0:
            return False
    except FileNotFoundError:
        return False
    connection = _connect(path)
    try:
        return bool(connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone())
    except sqlite3.Error as error:
        raise unreadable(path, error) from error
    finally:
        connection.close()


def create(path: Path, node_id: str) -> None:
    """Make a new catalogue, whole or not at all."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    # the files that SQLite puts beside it take its mode
    os.fchmod(descriptor, stat.S_IRUSR | stat.S_IWUSR)
    os.close(descriptor)
    connection = _connect(path)
    try:
        _make_durable(connection, path)
        connection.execute("BEGIN IMMEDIATE")
        for statement in _TABLES:
            connection.execute(statement)
        connection.execute("INSERT INTO meta VALUES (?, ?, 0, 1)", (SCHEMA_VERSION, node_id))
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise StartError(f"the catalogue {path} cannot be created: {error}") from error
    finally:
        connection.close()


def open_for_writing(path: Path) -> sqlite3.Connection:
    """The one connection that writes. Raises StartError if the file is of no use."""
    connection = _connect(path)
    try:
        _make_durable(connection, path)
        version = connection.execute("SELECT schema_version FROM meta").fetchone()[0]
        if version in _MIGRATIONS:
            version = _migrate(connection, version)
    except (sqlite3.Error, TypeError) as error:
        connection.close()
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise StartError(
                f"the catalogue {path} cannot be brought up to date: the disk is full"
            ) from error
        raise unreadable(path, error) from error
    except StartError:
        connection.close()
        raise
    if version > SCHEMA_VERSION:
        connection.close()
        raise StartError(
            f"the catalogue {path} was written by a newer imagepipe (schema {version}, this one"
            f" knows {SCHEMA_VERSION}): install that one"
        )
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A connection for reading; by any thread, one at a time."""
    connection = _connect(path)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _migrate(connection: sqlite3.Connection, version: int) -> int:
    """Bring an older catalogue up to date, whole or not at all; returns the version that it has
    then.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        while version in _MIGRATIONS:
            for statement in _MIGRATIONS[version]:
                connection.execute(statement)
            version += 1
        connection.execute("UPDATE meta SET schema_version = ?", (version,))
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return version


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def _make_durable(connection: sqlite3.Connection, path: Path) -> None:
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    connection.execute("PRAGMA synchronous = FULL")
    synchronous = connection.execute("PRAGMA synchronous").fetchone()[0]
    if mode != "wal" or synchronous != 2:  # FULL
        raise StartError(
            f"the catalogue {path} cannot be made durable (journal_mode {mode}, synchronous"
            f" {synchronous}): it needs a local file system"
        )
    # SQLite runs its own checkpoint silently: a flush that fails there would be forgotten, and the
    # log that still had the rows overwritten.
    connection.execute("PRAGMA wal_autocheckpoint = 0")


def unreadable(path: Path, error: Exception) -> StartError:
    """The error that an operator gets for a damaged catalogue."""
    return StartError(
        f"the catalogue {path} cannot be read ({error}): put back a backup of {path.parent}, or"
        f" move {path.parent} away and run imagepipe adopt -c FILE"
    )
