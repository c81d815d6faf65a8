"""Images that this node had accepted and that lost a conflict: their writer did not know the
version that won, nor its writer them.

They stay as bytes that can be looked at and stored again, for KEPT_MS, and then go.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from imagepipe.core.requests.history_query import HistoryPage
from imagepipe.core.rows.entries import Content, Entry
from imagepipe.core.rows.stamp import Version
from imagepipe.storage.catalogue.database import Database, Value

KEPT_MS = 30 * 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class LostVersion:
    """What was stored at `path` as `version` until another node's `winner` was heard of, at
    `lost_ms` (milliseconds since 1970).
    """

    path: str
    version: Version
    content: Content
    lost_ms: int
    winner: Version


class History:
    """The table history. `count`, `of`, `page` and `versions` are for any thread, the rest is for
    the one that writes, in its transactions.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._erased: set[str] = set()
        self.count = 0
        self.recount()

    def of(self, path: str | None) -> Sequence[LostVersion]:
        """What was lost at a path, or at all paths; the latest first."""
        return self._select("?1 IS NULL OR path = ?1 ORDER BY lost_ms DESC, path, stamp DESC", path)

    def page(self, page: HistoryPage) -> Sequence[LostVersion]:
        """Some of what was lost, by path, the newest version of a path first."""
        path, version = page.after or ("", Version(0, ""))
        where = "path >= ?1"
        if path >= page.begin:  # otherwise SQLite might search from ?2 on, which is far too early
            where = "path >= ?2 AND (path > ?2 OR (stamp, origin) < (?3, ?4))"
        if page.end is not None:
            where += " AND path < ?5"
        where += " ORDER BY path, stamp DESC, origin DESC LIMIT ?6"
        return self._select(
            where, page.begin, path, version.stamp, version.origin, page.end, page.limit
        )

    def versions(self, path: str, beginning: str, limit: int) -> Sequence[LostVersion]:
        """Some of what was lost at a path, whose version, written as `looking_back.version_text`,
        begins so.
        """
        text = "printf('%016x-%s', stamp, origin)"
        return self._select(
            f"path = ?1 AND substr({text}, 1, length(?2)) = ?2 ORDER BY stamp DESC, origin DESC"
            " LIMIT ?3",
            path,
            beginning,
            limit,
        )

    def add(self, loser: Entry, winner: Entry, now_ms: int) -> None:
        """`loser`, an image, was overtaken by a row whose writer had not seen it."""
        assert loser.content
        self._database.write(
            "INSERT OR IGNORE INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            loser.path,
            loser.version.stamp,
            loser.version.origin,
            loser.content.digest,
            loser.content.size,
            now_ms,
            winner.version.stamp,
            winner.version.origin,
        )

    def erase(self, path: str, upto: Version) -> None:
        """Drop what was lost at a path, up to this version; `expire` returns the digests."""
        query = "DELETE FROM history WHERE path = ? AND (stamp, origin) <= (?, ?) RETURNING digest"
        self._erased.update(
            digest for (digest,) in self._database.write(query, path, upto.stamp, upto.origin)
        )

    def expire(self, now_ms: int) -> set[str]:
        """Drop what was lost too long ago; its digests, and those of what was erased since the last
        time.
        """
        before = now_ms - KEPT_MS
        gone, self._erased = self._erased, set()
        if (
            self._database.select(
                "SELECT 1 FROM history WHERE lost_ms < ? LIMIT 1", before
            ).fetchone()
            is not None
        ):
            gone.update(
                digest
                for (digest,) in self._database.write(
                    "DELETE FROM history WHERE lost_ms < ? RETURNING digest", before
                )
            )
        if gone:
            self.recount()
        return gone

    def recount(self) -> None:
        """Look at what is committed by now."""
        self.count = self._database.select("SELECT count(*) FROM history").fetchone()[0]

    def _select(self, where: str, *values: Value) -> Sequence[LostVersion]:
        # it is written here
        query = (
            "SELECT path, stamp, origin, digest, size, lost_ms, winner_stamp, winner_origin FROM"
            " history WHERE " + where
        )
        return self._database.read(
            lambda connection: [
                LostVersion(
                    path, Version(stamp, origin), Content(digest, size), lost_ms, Version(*winner)
                )
                for path, stamp, origin, digest, size, lost_ms, *winner in connection.execute(
                    query, values
                )
            ]
        )
