"""The catalogue: one row a path, the newest. What is in here is what the store holds; tree and objects follow from it.

One thread writes, between `begin` and `commit`; any thread reads, and sees whole commits. A commit is on the disk when it returns.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from imagepipe.core.entries import Content, Entry
from imagepipe.core.stamp import Version, milliseconds
from imagepipe.storage import schema
from imagepipe.storage.disk import catalogue_refusal
from imagepipe.storage.images import ImageFacts, ImageInfo

_ENTRY = "SELECT path, stamp, origin, replaced_stamp, replaced_origin, digest, size, seq FROM entry"
_LAST = "\U0010ffff"

T = TypeVar("T")


class Catalogue:
    """The catalogue in the file `path`. All but `look_up`, `info` and `paths` are for the one thread that writes."""

    def __init__(self, path: Path) -> None:
        """Raises StartError if the file is of no use."""
        self._path = path
        self._writing = schema.open_for_writing(path)
        self._idle_readers: list[sqlite3.Connection] = []
        meta = self._writing.execute("SELECT node_id, last_stamp, projected, clean FROM meta").fetchone()
        self.node_id: str = meta[0]
        self.last_stamp: int = meta[1]
        self.projected: int = meta[2]
        self.was_clean = bool(meta[3])
        self.last_seq: int = self._writing.execute("SELECT coalesce(max(seq), 0) FROM entry").fetchone()[0]

    # For any thread.

    def look_up(self, path: str) -> Entry | None:
        """The row of a path, live or deleted; None if it was never heard of."""
        return self._read(lambda connection: _entry(connection, path))

    def info(self, path: str) -> ImageInfo | None:
        """What is known of the live image at `path`."""
        row = self._read(
            lambda connection: connection.execute(
                "SELECT size, digest, width, height, format, stamp FROM entry JOIN image USING (digest) WHERE path = ?", (path,)
            ).fetchone()
        )
        if row is None:
            return None
        size, digest, width, height, format, stamp = row
        return ImageInfo(path, size, digest, width, height, format, milliseconds(stamp))

    def paths(self, prefix: str, after: str, limit: int) -> list[str]:
        """Live paths in order of their UTF-8 bytes that begin with `prefix` and are greater than `after`."""
        query = "SELECT path FROM entry WHERE digest IS NOT NULL AND path > :after AND path >= :prefix"
        end = _end_of(prefix)
        if end is not None:
            query += " AND path < :end"
        query += " ORDER BY path LIMIT :limit"
        names = {"after": after, "prefix": prefix, "end": end, "limit": limit}
        return self._read(lambda connection: [row[0] for row in connection.execute(query, names)])

    # For the thread that writes.

    def begin(self) -> None:
        """Begin a transaction. Like all that follows it raises NotStored where the disk is full, FlushError where it failed."""
        self._write("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """End it: what was written is on the disk."""
        self._write("COMMIT")

    def roll_back(self) -> None:
        """End it as if nothing had been written."""
        if self._writing.in_transaction:
            self._write("ROLLBACK")

    def entry(self, path: str) -> Entry | None:
        """The row of a path as the transaction under way sees it."""
        return _entry(self._writing, path)

    def live_below(self, path: str) -> Iterator[str]:
        """The live paths below `path`, were it a folder."""
        query = "SELECT path FROM entry WHERE path > ? AND path < ? AND digest IS NOT NULL"
        return (row[0] for row in self._writing.execute(query, (path + "/", path + "0")))  # "0" follows "/"

    def put(self, entries: Sequence[Entry], facts: Mapping[str, ImageFacts], last_stamp: int) -> None:
        """Write rows, and what the headers of their bytes say, by digest."""
        self._write_many(
            "INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    entry.path,
                    entry.version.stamp,
                    entry.version.origin,
                    entry.replaced.stamp if entry.replaced else None,
                    entry.replaced.origin if entry.replaced else None,
                    entry.content.digest if entry.content else None,
                    entry.content.size if entry.content else None,
                    entry.seq,
                )
                for entry in entries
            ],
        )
        self._write_many(
            "INSERT OR REPLACE INTO image VALUES (?, ?, ?, ?)", [(digest, one.format, one.width, one.height) for digest, one in facts.items()]
        )
        self._write("UPDATE meta SET last_stamp = ?", last_stamp)

    def since(self, seq: int) -> list[Entry]:
        """The rows with a greater number, in order."""
        return [_from_row(row) for row in self._writing.execute(_ENTRY + " WHERE seq > ? ORDER BY seq", (seq,))]

    def is_live(self, digest: str) -> bool:
        """Whether any row names the digest."""
        return self._writing.execute("SELECT 1 FROM entry WHERE digest = ? LIMIT 1", (digest,)).fetchone() is not None

    def live_digests(self, first: str) -> set[str]:
        """The digests that rows name and that begin with `first`."""
        return {row[0] for row in self._writing.execute("SELECT digest FROM entry WHERE digest >= ? AND digest < ?", (first, first + "g"))}

    def fact_digests(self, first: str) -> set[str]:
        """The digests that facts are kept for and that begin with `first`."""
        return {row[0] for row in self._writing.execute("SELECT digest FROM image WHERE digest >= ? AND digest < ?", (first, first + "g"))}

    def forget_facts(self, digests: Sequence[str]) -> None:
        """Drop the facts of digests that no row names any more."""
        self.begin()
        try:
            self._write_many("DELETE FROM image WHERE digest = ?", [(digest,) for digest in digests])
            self.commit()
        except BaseException:
            self.roll_back()
            raise

    def set_projected(self, seq: int) -> None:
        """The tree is right, and flushed, up to `seq`."""
        if seq != self.projected:
            self._write("UPDATE meta SET projected = ?", seq)
            self.projected = seq

    def set_clean(self, clean: bool) -> None:
        """Whether the process could end here and leave nothing to sweep."""
        self._write("UPDATE meta SET clean = ?", int(clean))

    def fold_log(self) -> None:
        """Bring the write-ahead log into the main file, flushed, so that it is used again from its start and does not grow."""
        self._write("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        """No other call is under way or follows."""
        for connection in self._idle_readers:
            connection.close()
        self._writing.close()

    def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        # As many connections as threads ever read at once; list.pop and list.append are atomic.
        try:
            connection = self._idle_readers.pop()
        except IndexError:
            connection = schema.open_for_reading(self._path)
        try:
            return query(connection)
        finally:
            self._idle_readers.append(connection)

    def _write(self, statement: str, *values: Any) -> None:
        try:
            self._writing.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            refusal = catalogue_refusal(error)
            if refusal is None:
                raise
            raise refusal from error

    def _write_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        try:
            self._writing.executemany(statement, rows)
        except sqlite3.Error as error:
            refusal = catalogue_refusal(error)
            if refusal is None:
                raise
            raise refusal from error


def _entry(connection: sqlite3.Connection, path: str) -> Entry | None:
    row = connection.execute(_ENTRY + " WHERE path = ?", (path,)).fetchone()
    return None if row is None else _from_row(row)


def _from_row(row: Sequence[Any]) -> Entry:
    path, stamp, origin, replaced_stamp, replaced_origin, digest, size, seq = row
    replaced = None if replaced_stamp is None else Version(replaced_stamp, replaced_origin)
    return Entry(path, Version(stamp, origin), replaced, None if digest is None else Content(digest, size), seq)


def _end_of(prefix: str) -> str | None:
    """The least text that is greater than all that begins with `prefix`; None if there is none."""
    prefix = prefix.rstrip(_LAST)
    if not prefix:
        return None
    following = ord(prefix[-1]) + 1
    return prefix[:-1] + chr(0xE000 if following == 0xD800 else following)  # no surrogates in UTF-8
