"""What is durable on a simulated node: the catalogue and the objects, as storage/ keeps them; each
method is one transaction.

It is a model of the store's promises, not of its making: here a transaction is an instant.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from imagepipe.core.replication.actions import Join
from imagepipe.core.rows import join, versions
from imagepipe.core.rows.entries import Content, Entry, PathChange, Row, wins
from imagepipe.core.rows.epochs import Epoch
from imagepipe.core.rows.erasure import erased_path, is_erased
from imagepipe.core.rows.join import Cursor, JoinResult, Pending
from tests.simulation.contents import BYTES, is_good


@dataclass(slots=True, eq=False)
class Disk:
    """`changed` is told of every row that is written: the one before, and the new one.

    objects: bytes by digest, which may have gone bad. damaged: digests whose bytes were spoilt or
    taken away from outside.
    """

    node: str
    changed: "Callable[[Disk, Entry | None, Entry], None]"
    epochs: list[Epoch] = field(default_factory=list)
    rows: dict[str, Entry] = field(default_factory=dict)
    pending: dict[tuple[str, str], Row] = field(default_factory=dict)
    cursors: dict[str, Cursor] = field(default_factory=dict)
    history: list[Entry] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    seq: int = 0

    def copy(self) -> "Disk":
        """A backup."""
        return Disk(
            self.node,
            self.changed,
            list(self.epochs),
            dict(self.rows),
            dict(self.pending),
            dict(self.cursors),
            list(self.history),
            dict(self.objects),
            set(self.damaged),
            self.seq,
        )

    def start(self, epoch: str) -> None:
        """The daemon starts."""
        self.epochs.append(Epoch(epoch, self.seq + 1))

    def content_of(self, path: str) -> Content | None:
        """What a live path holds."""
        entry = self.rows.get(path)
        return entry.content if entry else None

    def has_bytes(self, content: Content) -> bool:
        """Whether there is an object of this name and size; nobody looks into it."""
        return len(self.objects.get(content.digest, b"")) == content.size

    def keep(self, digest: str, data: bytes) -> None:
        """Keep bytes that were verified."""
        self.objects[digest] = data
        if is_good(digest, data):
            self.damaged.discard(digest)

    def write(self, changes: tuple[PathChange, ...], wall_ms: int) -> tuple[Entry, ...]:
        """What a call does. The bytes are kept first."""
        given = versions.next_versions(
            [change.path for change in changes], self.node, wall_ms, self.known_at
        )
        written = []
        for change in changes:
            if change.content:
                self.keep(change.content.digest, BYTES[change.content.digest])
            before = self.rows.get(change.path)
            self.seq += 1
            entry = Entry(
                change.path,
                given[change.path],
                before.version if before else None,
                change.content,
                self.seq,
            )
            self._set(entry)
            written.append(entry)
        return tuple(written)

    def known_at(self, path: str) -> list[Entry]:
        """All rows of a path: its own, and those that wait for their bytes."""
        waiting = [row.entry for (_, at), row in self.pending.items() if at == path]
        return waiting + ([self.rows[path]] if path in self.rows else [])

    def join(self, action: Join) -> JoinResult:
        """Join rows, and move the cursor."""
        before = dict(self.pending)
        if action.from_start:
            self.pending = {
                key: row for key, row in self.pending.items() if key[0] != action.upstream
            }
        outcome = join.join(action.rows, self.rows.get, self.has_bytes, self.node, self.seq)
        self.history += outcome.lost
        # all is one transaction
        for entry in sorted(outcome.accepted, key=lambda entry: erased_path(entry.path) is None):
            self.seq = max(self.seq, entry.seq)
            self._set(entry)
        if action.upstream is not None:
            self.pending |= {(action.upstream, row.entry.path): row for row in outcome.pending}
        touched = {row.entry.path for row in action.rows}
        self.pending = {
            key: row
            for key, row in self.pending.items()
            if key[1] not in touched or wins(row.entry, self.rows.get(key[1]))
        }
        if action.upstream is not None and action.cursor is not None:
            self.cursors[action.upstream] = action.cursor
        return JoinResult(
            self.seq,
            tuple(
                Pending(key[0], row) for key, row in self.pending.items() if before.get(key) != row
            ),
            tuple(key for key in before if key not in self.pending),
        )

    def forget(self, upstreams: Collection[str]) -> None:
        """Forget how far upstreams were pulled, and what waits of them."""
        for upstream in upstreams:
            self.cursors.pop(upstream, None)
        self.pending = {key: row for key, row in self.pending.items() if key[0] not in upstreams}

    def changes(self, after: int, limit: int) -> tuple[Row, ...]:
        """The rows with greater numbers, in order."""
        entries = sorted(
            (entry for entry in self.rows.values() if entry.seq > after),
            key=lambda entry: entry.seq,
        )
        return tuple(Row(entry, None) for entry in entries[:limit])

    def collect(self, pins: Mapping[str, int]) -> None:
        """Remove the objects that nothing names."""
        named = {
            entry.content.digest for entry in (*self.rows.values(), *self.history) if entry.content
        }
        for digest in [one for one in self.objects if one not in named and not pins.get(one)]:
            del self.objects[digest]

    def dominates(self, entry: Entry) -> bool:
        """Whether the map has this row, or one that wins over it."""
        mine = self.rows.get(entry.path)
        return mine is not None and not wins(entry, mine)

    def _set(self, entry: Entry) -> None:
        before = self.rows.get(entry.path)
        self.rows[entry.path] = entry
        if erased_path(entry.path) is not None:
            self.history = [lost for lost in self.history if not is_erased(lost, self.rows)]
        self.changed(self, before, entry)
