"""The render cache's index: which renditions there are, of which sources, and which was used when.
SQLite, a row a rendition.

    uses      noted in memory, and written 256 at a time or with the next change
    commits   not flushed: after a power cut the index may have forgotten something, or be damaged

So everything that can be checked is checked: a row has a checksum, and the bytes of the file that
it names are compared with their digest when it is opened. The index has a write-ahead log, because
without flushes that was the fastest journal that survives a kill.
"""

import contextlib
import itertools
import sqlite3
import stat
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from imagepipe.core.rows.entries import ImageFacts
from imagepipe.storage.disk import status_of

FORMAT = 2
SLICE = 256
"""How many rows are changed at a time, at most: some milliseconds."""

FAILURES = (sqlite3.Error, ArithmeticError, TypeError, ValueError)
"""What comes of an index that is damaged: SQLite does not look at all that it reads."""

_BLOCK = 4096

_TABLES = (
    """
CREATE TABLE rendition (
    number INTEGER NOT NULL PRIMARY KEY,        -- names the file
    key    TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,                       -- digest of what it was made of
    digest TEXT NOT NULL,
    size   INTEGER NOT NULL,
    format TEXT NOT NULL,
    width  INTEGER NOT NULL,
    height INTEGER NOT NULL,
    sum    INTEGER NOT NULL,                    -- CRC-32 of all the above
    used   INTEGER NOT NULL                     -- greater: later
) STRICT
""",
    "CREATE INDEX rendition_source ON rendition (source)",
    # while there is a rendition of it
    (
        "CREATE TABLE source (digest TEXT NOT NULL PRIMARY KEY, header BLOB NOT NULL) WITHOUT"
        " ROWID, STRICT"
    ),
    "CREATE INDEX rendition_used ON rendition (used, size)",
    "CREATE TABLE meta (format INTEGER NOT NULL, generation TEXT NOT NULL) STRICT",
)


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """A file of the cache. `number` names it. `digest`, `size`: of its bytes; `source`: the digest
    of what it was made of.
    """

    number: int
    key: str
    source: str
    digest: str
    size: int
    facts: ImageFacts


@dataclass(frozen=True, slots=True)
class RemovedEntry:
    """A row that is no more; its file has to go."""

    number: int
    key: str


def room_of(size: int) -> int:
    """What a file of `size` bytes takes on the disk."""
    return -(-size // _BLOCK) * _BLOCK


class CacheIndex:
    """The open index; one thread at a time. Every method raises FAILURES, and the index is of no
    use then.

    `count`: how many rows there are; `room_taken`: what their files take on the disk, in bytes.
    `generation`: the folder that these are in.
    """

    @classmethod
    def create(cls, path: Path, generation: str) -> "CacheIndex":
        """Make a new one, where there is none."""
        connection = _connect(path)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            with _transaction(connection):
                for statement in _TABLES:
                    connection.execute(statement)
                connection.execute("INSERT INTO meta VALUES (?, ?)", (FORMAT, generation))
            return cls(connection)
        except BaseException:
            connection.close()
            raise

    @classmethod
    def open(cls, path: Path) -> "CacheIndex | None":
        """Open the one that is there, if there is one."""
        status = status_of(path)
        if status is None or not stat.S_ISREG(status.st_mode):
            return None
        connection = _connect(path)
        try:
            return cls(connection)
        except BaseException:
            connection.close()
            raise

    def __init__(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA synchronous = OFF")
        [(form, self.generation)] = connection.execute(
            "SELECT format, generation FROM meta"
        ).fetchall() or [(None, "")]
        if form != FORMAT:
            raise sqlite3.DatabaseError(f"its format is {form}, not {FORMAT}")
        self.count: int
        self.room_taken: int
        self.count, self.room_taken, newest = connection.execute(
            f"SELECT count(*), coalesce(sum((size + {_BLOCK - 1}) / {_BLOCK} * {_BLOCK}), 0),"
            " coalesce(max(used), 0) FROM rendition"
        ).fetchone()
        self._connection = connection
        self._clock = itertools.count(newest + 1)
        self._uses: dict[int, int] = {}

    def look_up(self, key: str) -> CacheEntry | None:
        """The rendition with this key."""
        row = self._connection.execute(
            "SELECT number, key, source, digest, size, format, width, height, sum FROM rendition"
            " WHERE key = ?",
            (key,),
        ).fetchone()
        if row is None:
            return None
        number, key, source, digest, size, form, width, height, checksum = row
        rendition = CacheEntry(number, key, source, digest, size, ImageFacts(form, width, height))
        if _sum_of(rendition) != checksum:
            raise sqlite3.DatabaseError("a row is damaged")
        return rendition

    def has(self, number: int) -> bool:
        """Whether there is a row of this number."""
        return bool(
            self._connection.execute(
                "SELECT 1 FROM rendition WHERE number = ?", (number,)
            ).fetchone()
        )

    def sources_after(self, source: str) -> Sequence[str]:
        """The next sources in order, SLICE at most."""
        found = self._connection.execute(
            "SELECT DISTINCT source FROM rendition WHERE source > ? ORDER BY source LIMIT ?",
            (source, SLICE),
        )
        return [row[0] for row in found]

    def use(self, number: int) -> None:
        """Note that the rendition was used now."""
        self._uses[number] = next(self._clock)
        if len(self._uses) >= SLICE:
            with self.changing():
                pass

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """A transaction, for the methods below; the uses so far are written before all else."""
        with _transaction(self._connection):
            self._connection.executemany(
                "UPDATE rendition SET used = ? WHERE number = ?",
                [(used, number) for number, used in self._uses.items()],
            )
            self._uses.clear()
            yield

    def header(self, source: str) -> bytes | None:
        """What was kept of the header of a source."""
        row = self._connection.execute(
            "SELECT header FROM source WHERE digest = ?", (source,)
        ).fetchone()
        return row[0] if row else None

    def add(self, rendition: CacheEntry, header: bytes) -> None:
        """Add one whose key is not there."""
        self._connection.execute(
            "INSERT OR REPLACE INTO source VALUES (?, ?)", (rendition.source, header)
        )
        self._connection.execute(
            "INSERT INTO rendition VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*_values(rendition), _sum_of(rendition), next(self._clock)),
        )
        self.count += 1
        self.room_taken += room_of(rendition.size)

    def evict(self, room: int) -> Sequence[RemovedEntry]:
        """Remove the least recently used renditions until `room` bytes are free or SLICE of them
        are removed.
        """
        numbers = []
        for number, size in self._connection.execute(
            "SELECT number, size FROM rendition ORDER BY used LIMIT ?", (SLICE,)
        ):
            if room <= 0:
                break
            numbers.append(number)
            room -= room_of(size)
        return self.remove(numbers)

    def remove(self, numbers: Collection[int]) -> Sequence[RemovedEntry]:
        """Remove those of `numbers` that are there."""
        removed = []
        sources = set()
        for number in numbers:
            rows = self._connection.execute(
                "DELETE FROM rendition WHERE number = ? RETURNING number, key, size, source",
                (number,),
            ).fetchall()
            for gone, key, size, source in rows:
                removed.append(RemovedEntry(gone, key))
                sources.add(source)
                self.count -= 1
                self.room_taken -= room_of(size)
        for source in sources:
            self._connection.execute(
                "DELETE FROM source WHERE digest = ?1 AND NOT EXISTS (SELECT 1 FROM rendition WHERE"
                " source = ?1)",
                (source,),
            )
        return removed

    def remove_of_source(self, sources: Collection[str]) -> Sequence[RemovedEntry]:
        """Remove what was made of `sources`, SLICE at most."""
        marks = ", ".join("?" * len(sources))
        found = self._connection.execute(
            f"SELECT number FROM rendition WHERE source IN ({marks}) LIMIT {SLICE}",
            tuple(sources),
        )
        return self.remove([row[0] for row in found])

    def close(self) -> None:
        """Write what is noted, flush, and close it."""
        try:
            with self.changing():
                pass
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            self._connection.close()

    def abandon(self) -> None:
        """Close it as it is."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()


def check(path: Path, is_enough: Callable[[], bool]) -> None:
    """Look through an index that is open, as long as another thread changes it too. Raises
    sqlite3.Error if it is damaged, or `is_enough`.
    """
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None
    )
    try:
        connection.set_progress_handler(is_enough, 10_000)
        found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    finally:
        connection.close()
    if found != "ok":
        raise sqlite3.DatabaseError(found)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _values(rendition: CacheEntry) -> tuple[int | str, ...]:
    facts = rendition.facts
    return (
        rendition.number,
        rendition.key,
        rendition.source,
        rendition.digest,
        rendition.size,
        facts.format,
        facts.width,
        facts.height,
    )


def _sum_of(rendition: CacheEntry) -> int:
    return zlib.crc32(repr(_values(rendition)).encode())
