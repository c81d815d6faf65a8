"""The catalogue: one row a path, the newest. What is in here is what the store holds; tree and
objects follow from it.

One thread writes, between `begin` and `commit`; any thread reads, and sees whole commits. A commit
is on the disk when it returns. What there is beside the rows has modules of its own: upstreams.py
and history.py write in the same transactions.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from imagepipe.core.rows.entries import Entry, Row, RowPage
from imagepipe.core.rows.erasure import erased_path
from imagepipe.core.rows.stamp import COUNTER_BITS, milliseconds
from imagepipe.core.rows.versions import FUTURE_SECONDS, FutureStamps
from imagepipe.core.rows.visibility import Hidden, all_hidden
from imagepipe.storage.catalogue import columns
from imagepipe.storage.catalogue.database import Database
from imagepipe.storage.catalogue.history import History
from imagepipe.storage.catalogue.orders import Orders
from imagepipe.storage.catalogue.upstream_rows import Upstreams
from imagepipe.storage.health import Health
from imagepipe.storage.image_info import ImageFacts, ImageInfo, info_of
from imagepipe.storage.memory import RowMemory

_ENTRY = f"SELECT {columns.ENTRY} FROM entry"
_ROW = f"SELECT {columns.ENTRY}, {columns.FACTS} FROM entry LEFT JOIN image USING (digest)"
_NAMED = (
    "SELECT 1 FROM entry WHERE digest = ? UNION ALL SELECT 1 FROM history WHERE digest = ? LIMIT 1"
)
_LAST = "\U0010ffff"

AHEAD_MAX = 1000

IN_MEMORY_MAX = 16_384
"""The paths whose rows are in memory at most: about 16 MiB."""


class Catalogue:
    """The catalogue in the file `path`. The second half of the methods is for the one thread that
    writes.

    check, refusal: see Database. last_seq: the newest number that was given and is on the disk; any
    thread reads it. in_memory: the rows that readers have put there, without those that changed.
    """

    def __init__(self, path: Path, health: Health) -> None:
        """Raises StartError if the file is of no use."""
        self._database = Database(path, health)
        self.check = self._database.check
        self.refusal = self._database.refusal
        meta = self._database.select("SELECT node_id, projected, clean FROM meta").fetchone()
        self.node_id: str = meta[0]
        self.projected: int = meta[1]
        self.was_clean = bool(meta[2])
        self.last_seq: int = self._database.select(
            "SELECT coalesce(max(seq), 0) FROM entry"
        ).fetchone()[0]
        self._coming = self.last_seq
        self._changing: list[str] = []
        self.in_memory = RowMemory(IN_MEMORY_MAX)
        self.upstreams = Upstreams(self._database)
        self.history = History(self._database)
        self.orders = Orders(self._database)

    # For any thread.

    def look_up(self, path: str) -> Entry | None:
        """The row of a path, live or deleted; None if it was never heard of."""
        return self._database.read(
            lambda connection: _one(connection.execute(_ENTRY + " WHERE path = ?", (path,)))
        )

    def rows(self, paths: Sequence[str]) -> dict[str, Row]:
        """The rows of those paths that are known, with the facts from their headers."""
        query = _ROW + f" WHERE path IN ({', '.join('?' * len(paths))})"
        found = self._database.read(
            lambda connection: [columns.row_of(row) for row in connection.execute(query, paths)]
        )
        return {row.entry.path: row for row in found}

    def info(self, path: str) -> ImageInfo | None:
        """What is known of the live image at `path`."""
        row = self.rows([path]).get(path)
        if row is None or row.entry.content is None or row.facts is None:
            return None
        return info_of(row)

    def paths(self, prefix: str, after: str, limit: int) -> list[str]:
        """Live paths in order of their UTF-8 bytes that begin with `prefix` and are greater than
        `after`.
        """
        query = (
            "SELECT path FROM entry WHERE digest IS NOT NULL AND path > :after AND path >= :prefix"
        )
        end = _end_of(prefix)
        if end is not None:
            query += " AND path < :end"
        query += " ORDER BY path LIMIT :limit"
        names = {"after": after, "prefix": prefix, "end": end, "limit": limit}
        return self._database.read(
            lambda connection: [row[0] for row in connection.execute(query, names)]
        )

    def changes(self, after: int, limit: int) -> RowPage:
        """The rows with numbers above `after`, in order, `limit` at most, with what the headers of
        their bytes say.
        """
        query = _ROW + " WHERE seq > ? ORDER BY seq LIMIT ?"

        def read(connection: sqlite3.Connection) -> RowPage:
            # one moment for both: a row may be given a new number between them
            connection.execute("BEGIN")
            try:
                rows = tuple(
                    columns.row_of(row) for row in connection.execute(query, (after, limit))
                )
                return RowPage(
                    rows,
                    connection.execute("SELECT coalesce(max(seq), 0) FROM entry").fetchone()[0],
                )
            finally:
                connection.execute("COMMIT")

        return self._database.read(read)

    def unnamed(self, digests: Sequence[str]) -> list[str]:
        """Those of `digests` that nothing names."""
        return self._database.read(
            lambda connection: [
                digest
                for digest in digests
                if not connection.execute(_NAMED, (digest, digest)).fetchone()
            ]
        )

    def live_by_digest(self, after: tuple[str, str], limit: int) -> list[Entry]:
        """The live rows by digest and path, from the first that follows the digest and the path in
        `after`, `limit` at most.
        """
        query = (
            _ENTRY
            + " WHERE digest IS NOT NULL AND (digest, path) > (?, ?) ORDER BY digest, path LIMIT ?"
        )
        return self._database.read(
            lambda connection: [
                columns.entry_of(row) for row in connection.execute(query, (*after, limit))
            ]
        )

    def extent(self) -> tuple[int, int]:
        """How many live rows there are, and how many bytes in their objects; looks at every live
        row.
        """
        query = (
            "SELECT coalesce(sum(rows), 0), coalesce(sum(size), 0) FROM (SELECT count(*) AS rows,"
            " max(size) AS size FROM entry"
        )
        query += " WHERE digest IS NOT NULL GROUP BY digest)"
        rows, size = self._database.read(lambda connection: connection.execute(query).fetchone())
        return rows, size

    def future_stamps(self, now_ms: int) -> FutureStamps | None:
        """Which live images are dated ahead of the clock, if any are; AHEAD_MAX of them are counted
        at most.
        """
        later = (now_ms + 1000 * FUTURE_SECONDS + 1) << COUNTER_BITS
        query = (
            "SELECT path, stamp FROM entry WHERE digest IS NOT NULL AND stamp >= ? ORDER BY stamp"
            " DESC LIMIT ?"
        )
        found = self._database.read(
            lambda connection: connection.execute(query, (later, AHEAD_MAX)).fetchall()
        )
        return (
            FutureStamps(len(found), found[0][0], (milliseconds(found[0][1]) - now_ms) / 1000)
            if found
            else None
        )

    def hidden(self) -> list[Hidden]:
        """The live rows that the tree does not show; looks at every live row."""
        query = _ENTRY + " WHERE digest IS NOT NULL ORDER BY path"
        return self._database.read(
            lambda connection: all_hidden(map(columns.entry_of, connection.execute(query)))
        )

    # For the thread that writes.

    def begin(self) -> None:
        """Begin a transaction. Like all that follows it raises NotStored where the disk is full,
        FlushError where it failed.
        """
        self._coming = self.last_seq
        self._changing.clear()
        self._database.begin()

    def commit(self) -> None:
        """End it: what was written is on the disk."""
        try:
            self._database.commit()
        finally:  # of one that failed nobody knows
            if self._changing:
                self.in_memory.changed(self._changing)
        self.last_seq = self._coming

    def roll_back(self) -> None:
        """End it as if nothing had been written."""
        self._database.roll_back()

    def entry(self, path: str) -> Entry | None:
        """The row of a path as the transaction under way sees it."""
        return _one(self._database.select(_ENTRY + " WHERE path = ?", path))

    def known_at(self, path: str) -> Iterator[Entry]:
        """All rows of a path as the transaction under way sees them: its own, and those of
        upstreams that wait for their bytes.
        """
        entry = self.entry(path)
        if entry is not None:
            yield entry
        yield from (one.row.entry for one in self.upstreams.pending_at(path))

    def live_below(self, path: str) -> Iterator[Entry]:
        """The live rows below `path`, were it a folder."""
        query = _ENTRY + " WHERE path > ? AND path < ? AND digest IS NOT NULL"
        # "0" follows "/"
        return map(columns.entry_of, self._database.select(query, path + "/", path + "0"))

    def put(
        self, entries: Sequence[Entry], facts: Mapping[str, ImageFacts], *, is_hearsay: bool = False
    ) -> None:
        """Write rows, numbered on from last_seq, and what the headers of their bytes say, by
        digest.

        is_hearsay: a peer claims these facts. They are no reason to change what is known of a
        digest, which other paths may have too. What the rows erase goes from the history with them.
        """
        self._changing += [entry.path for entry in entries]
        self._database.write_many(
            "INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            map(columns.of_entry, entries),
        )
        self._put_facts(facts, "IGNORE" if is_hearsay else "REPLACE")
        for entry in entries:
            if (erased := erased_path(entry.path)) is not None:
                self.history.erase(erased, entry.version)
        self._coming = max([self._coming, *(entry.seq for entry in entries)])

    def since(self, seq: int) -> list[Entry]:
        """The rows with a greater number, in order."""
        return [
            columns.entry_of(row)
            for row in self._database.select(_ENTRY + " WHERE seq > ? ORDER BY seq", seq)
        ]

    def is_live(self, digest: str) -> bool:
        """Whether anything names the digest: a row, or an image in the history."""
        return self._database.select(_NAMED, digest, digest).fetchone() is not None

    def live_digests(self, first: str) -> set[str]:
        """The digests that are live and that begin with `first`."""
        return self._digests("entry", first) | self._digests("history", first)

    def fact_digests(self, first: str) -> set[str]:
        """The digests that facts are kept for and that begin with `first`."""
        return self._digests("image", first)

    def note_facts(self, facts: Mapping[str, ImageFacts]) -> None:
        """Write down what the headers of bytes say, by digest."""
        self.begin()
        try:
            self._put_facts(facts, "REPLACE")
            self.commit()
        except BaseException:
            self.roll_back()
            raise

    def forget_facts(self, digests: Sequence[str]) -> None:
        """Drop the facts of digests that no row names any more."""
        self.begin()
        try:
            self._database.write_many(
                "DELETE FROM image WHERE digest = ?", [(digest,) for digest in digests]
            )
            self.commit()
        except BaseException:
            self.roll_back()
            raise

    def set_projected(self, seq: int) -> None:
        """The tree is right, and flushed, up to `seq`."""
        if seq != self.projected:
            self._database.write("UPDATE meta SET projected = ?", seq)
            self.projected = seq

    def start(self, epoch: str) -> None:
        """A run begins, of that random id; until `set_clean` it counts as one that crashed."""
        self.begin()
        try:
            self.upstreams.begin_epoch(epoch, self.last_seq + 1)
            self.set_clean(False)
            self.commit()
        except BaseException:
            self.roll_back()
            raise

    def set_clean(self, clean: bool) -> None:
        """Whether the process could end here and leave nothing to sweep."""
        self._database.write("UPDATE meta SET clean = ?", int(clean))

    def checkpoint_wal(self) -> None:
        """Bring the write-ahead log into the main file, flushed, so that it is used again from its
        start and does not grow.
        """
        self._database.write("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        """No other call is under way or follows."""
        self._database.close()

    def _put_facts(self, facts: Mapping[str, ImageFacts], otherwise: str) -> None:
        values = [(digest, one.format, one.width, one.height) for digest, one in facts.items()]
        self._database.write_many(f"INSERT OR {otherwise} INTO image VALUES (?, ?, ?, ?)", values)

    def _digests(self, table: str, first: str) -> set[str]:
        query = f"SELECT digest FROM {table} WHERE digest >= ? AND digest < ?"
        return {row[0] for row in self._database.select(query, first, first + "g")}


def _one(rows: sqlite3.Cursor) -> Entry | None:
    row = rows.fetchone()
    return None if row is None else columns.entry_of(row)


def _end_of(prefix: str) -> str | None:
    """The least text that is greater than all that begins with `prefix`; None if there is none."""
    prefix = prefix.rstrip(_LAST)
    if not prefix:
        return None
    following = ord(prefix[-1]) + 1
    return prefix[:-1] + chr(0xE000 if following == 0xD800 else following)  # no surrogates in UTF-8
