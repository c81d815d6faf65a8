"""What a node must not forget of its upstreams: how far it has pulled from each, and which of their
rows wait for their bytes.

Beside these its own starts, by which its peers know whether their cursors still mean something
(core/rows/epochs.py).
"""

from collections.abc import Iterable, Mapping, Sequence

from imagepipe.core.rows.entries import Row
from imagepipe.core.rows.epochs import Epoch
from imagepipe.core.rows.join import Cursor, Pending
from imagepipe.storage.catalogue import columns
from imagepipe.storage.catalogue.database import Database

EPOCHS_MAX = 1000
"""How many starts are recorded; a peer that has not asked since then gets everything again."""

_PENDING = f"SELECT upstream, {columns.ENTRY}, {columns.FACTS} FROM pending"


class Upstreams:
    """The tables epoch, cursor and pending. `cursors` and `pending` are for any thread, the rest is
    for the one that writes, in its transactions.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.epochs: tuple[Epoch, ...] = ()

    def cursors(self) -> Mapping[str, Cursor]:
        """How far this node has pulled, by the names of its links."""
        query = "SELECT upstream, epoch, seq, end_seq FROM cursor"
        return self._database.read(
            lambda connection: {
                upstream: Cursor(epoch, seq, end)
                for upstream, epoch, seq, end in connection.execute(query)
            }
        )

    def pending(self) -> Sequence[Pending]:
        """All rows that wait for their bytes, an upstream's in its order."""
        return self._database.read(
            lambda connection: _pending(connection.execute(_PENDING + " ORDER BY upstream, seq"))
        )

    def begin_epoch(self, id: str, first_seq: int) -> None:
        """Note a start of this node."""
        self._database.write("INSERT INTO epoch (id, first_seq) VALUES (?, ?)", id, first_seq)
        self._database.write(
            "DELETE FROM epoch WHERE number <= (SELECT max(number) FROM epoch) - ?", EPOCHS_MAX
        )
        self.epochs = tuple(
            Epoch(*row)
            for row in self._database.select("SELECT id, first_seq FROM epoch ORDER BY number")
        )

    def set_cursor(self, upstream: str, cursor: Cursor) -> None:
        """All rows up to there are joined, or pending."""
        self._database.write(
            "INSERT OR REPLACE INTO cursor VALUES (?, ?, ?, ?)",
            upstream,
            cursor.epoch,
            cursor.seq,
            cursor.end,
        )

    def forget(self, upstreams: Iterable[str]) -> None:
        """Drop all that is known of these."""
        gone = [(upstream,) for upstream in upstreams]
        self._database.write_many("DELETE FROM pending WHERE upstream = ?", gone)
        self._database.write_many("DELETE FROM cursor WHERE upstream = ?", gone)

    def pending_at(self, path: str) -> Sequence[Pending]:
        """The rows of all upstreams that wait at a path, as the transaction sees them."""
        return _pending(self._database.select(_PENDING + " WHERE path = ?", path))

    def pending_of(self, upstream: str) -> Sequence[Pending]:
        """The rows of one upstream."""
        return _pending(self._database.select(_PENDING + " WHERE upstream = ?", upstream))

    def add_pending(self, upstream: str, rows: Iterable[Row]) -> None:
        """Rows begin to wait, each in place of an older one of its path."""
        marks = ", ".join("?" * 12)
        self._database.write_many(
            f"INSERT OR REPLACE INTO pending (upstream, {columns.ENTRY}, {columns.FACTS}) VALUES"
            f" ({marks})",
            [(upstream, *columns.of_row(row)) for row in rows],
        )

    def drop_pending(self, waiting: Iterable[Pending]) -> None:
        """They wait no more."""
        self._database.write_many(
            "DELETE FROM pending WHERE upstream = ? AND path = ?",
            [(one.upstream, one.row.entry.path) for one in waiting],
        )


def _pending(found: Iterable[Sequence[object]]) -> tuple[Pending, ...]:
    return tuple(Pending(str(upstream), columns.row_of(rest)) for upstream, *rest in found)
