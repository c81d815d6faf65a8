"""SQLite as the catalogue uses it: one connection that writes, for one thread; and for any thread
as many that read as ever read at once.

What is written between `begin` and `commit` is on the disk when `commit` returns. Readers see whole
commits.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from imagepipe.errors import CatalogueDamaged, FlushError, StoreUnusable
from imagepipe.storage.catalogue import schema
from imagepipe.storage.disk import catalogue_refusal
from imagepipe.storage.health import Health

T = TypeVar("T")
Value = str | int | None


class Database:
    """The open file `path`. All but `read` and `check` is for the one thread that writes.

    What writes raises NotStored on a full disk, FlushError on a broken one; what reads raises
    CatalogueDamaged, or StoreUnusable where the file cannot be opened.
    """

    def __init__(self, path: Path, health: Health) -> None:
        """Raises StartError if the file is of no use."""
        self._path = path
        self._health = health
        self._writing = schema.open_for_writing(path)
        self._idle_readers: list[sqlite3.Connection] = []

    def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """What `query` finds out, in any thread."""
        # As many connections as threads ever read at once; list.pop and list.append are atomic.
        try:
            connection = self._idle_readers.pop()
        except IndexError:
            connection = self._reader()
        try:
            return query(connection)
        except sqlite3.Error as error:
            raise self._read_error(error) from error
        finally:
            self._idle_readers.append(connection)

    def check(self) -> None:
        """Read the file's beginning from the disk, by a connection that knows nothing yet. Raises
        what `read` does.
        """
        connection = self._reader()
        try:
            connection.execute("SELECT schema_version FROM meta").fetchone()
        except sqlite3.Error as error:
            raise self._read_error(error) from error
        finally:
            connection.close()

    def refusal(self, error: sqlite3.Error) -> Exception:
        """What a call gets that met `error`; one that says that the file is damaged is the end of
        all writing.
        """
        refused = catalogue_refusal(error, self._path)
        if isinstance(refused, CatalogueDamaged):
            self._health.fail(refused)
        return refused or error

    def _reader(self) -> sqlite3.Connection:
        self._health.check_places()  # another file may lie there now
        try:
            return schema.open_for_reading(self._path)
        except sqlite3.Error as error:
            raise self._read_error(error) from error

    def _read_error(self, error: sqlite3.Error) -> Exception:
        """What a reader gets. That it could not read says nothing of what was flushed."""
        refused = self.refusal(error)
        return StoreUnusable(str(refused)) if type(refused) is FlushError else refused

    def select(self, query: str, *values: Value) -> sqlite3.Cursor:
        """Rows as the transaction under way sees them."""
        return self._writing.execute(query, values)

    def begin(self) -> None:
        """Begin a transaction."""
        self.write("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """End it: what was written is on the disk."""
        self.write("COMMIT")

    def roll_back(self) -> None:
        """End it, if there is one, as if nothing had been written."""
        if self._writing.in_transaction:
            self.write("ROLLBACK")

    def write(self, statement: str, *values: Value) -> list[Any]:
        """Change something; what the statement returns."""
        try:
            return self._writing.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self.refusal(error) from error

    def write_many(self, statement: str, rows: Iterable[Sequence[Value]]) -> None:
        """The same for each of `rows`."""
        try:
            self._writing.executemany(statement, rows)
        except sqlite3.Error as error:
            raise self.refusal(error) from error

    def close(self) -> None:
        """No other call is under way or follows."""
        for connection in self._idle_readers:
            connection.close()
        self._writing.close()
