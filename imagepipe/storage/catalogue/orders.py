"""Promised outputs: a POST that stored an image named them, and they are rendered after the answer,
even if the daemon ends in between.

An order whose image was never stored, because the daemon ended before that, is dropped when it is
its turn.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from imagepipe.storage.catalogue.database import Database


@dataclass(frozen=True, slots=True)
class Order:
    """The names of renditions to make of the image at `path`."""

    path: str
    names: tuple[str, ...]


class Orders:
    """The table wanted. `all` is for any thread, the rest for the one that writes, and each a
    transaction of its own.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> Sequence[Order]:
        """What is still to be done, an order an image."""
        names: dict[str, list[str]] = {}

        def read(rows: Sequence[tuple[str, str]]) -> None:
            for path, name in rows:
                names.setdefault(path, []).append(name)

        self._database.read(
            lambda connection: read(
                connection.execute("SELECT path, name FROM wanted ORDER BY path, name").fetchall()
            )
        )
        return [Order(path, tuple(some)) for path, some in names.items()]

    def add(self, order: Order) -> None:
        """Take an order; it is on the disk when this returns. Raises NotStored where the disk is
        full, FlushError where it failed.
        """
        self._write("INSERT OR IGNORE INTO wanted VALUES (?, ?)", order)

    def remove(self, order: Order) -> None:
        """It was carried out, or cannot be. Raises what `add` does."""
        self._write("DELETE FROM wanted WHERE path = ? AND name = ?", order)

    def _write(self, statement: str, order: Order) -> None:
        self._database.begin()
        try:
            self._database.write_many(statement, [(order.path, name) for name in order.names])
            self._database.commit()
        except BaseException:
            self._database.roll_back()
            raise
