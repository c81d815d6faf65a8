"""What a node does with the rows of a peer: which it accepts, which must wait for
their bytes, which of its own are lost by it.

    a row that wins, and is a delete or has its bytes here    taken over under this node's own next
        number, so that its own peers hear of it
    a row that wins, and whose bytes are not here             pending: not part of the map, asked
        for from every peer
    a row that does not win                                   nothing: it is known, or overtaken

Nothing is taken over before its bytes are here, because what is in the map is announced,
acknowledged and served.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from imagepipe.core.rows.entries import Content, Entry, ImageFacts, Row, was_unseen, wins
from imagepipe.core.rows.erasure import erasure_path, is_erased
from imagepipe.core.rows.stamp import STAMP_MAX


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a node has pulled from a peer: all rows up to `seq` of the peer's numbering, as of
    the peer's start `epoch`.

    end: the peer's newest number when it told them, where it had more to tell; else 0. What had a
    number up to `seq` until a change up to `end` gave it a greater one was not told: a peer that
    was restored from a backup and has lost that change still has the row below `seq`.
    """

    epoch: str
    seq: int
    end: int = 0


@dataclass(frozen=True, slots=True)
class Pending:
    """A row of `upstream` that wins, but whose bytes are not here. An upstream has at most one for
    a path: it has one row a path.

    An upstream is known by the name of its link, as for its cursor: what it says of itself could be
    another's node id.
    """

    upstream: str
    row: Row


@dataclass(frozen=True, slots=True)
class JoinPlan:
    """The outcome.

    taken: new rows, numbered. pending: those that wait. lost: own rows that lost a conflict, to be
    kept as history: not what was erased. facts: of the bytes that were taken over, by digest.
    """

    accepted: tuple[Entry, ...]
    pending: tuple[Row, ...]
    lost: tuple[Entry, ...]
    facts: dict[str, ImageFacts]


@dataclass(frozen=True, slots=True)
class JoinResult:
    """What is durable after a join, of which `seq` is this node's newest number.

    added, settled: rows that began to wait for their bytes, and (upstream, path) of those that do
    so no more: their bytes came, or they were overtaken.
    """

    seq: int
    added: tuple[Pending, ...]
    settled: tuple[tuple[str, str], ...]


def join(
    rows: Iterable[Row],
    entry_of: Callable[[str], Entry | None],
    has_bytes: Callable[[Content], bool],
    node_id: str,
    seq: int,
) -> JoinPlan:
    """Join rows, of distinct paths, with the map that `entry_of` tells; `seq` is the newest number
    of this node.

    A row with the greatest stamp does not wait for its bytes: nothing could overtake it, so it
    might wait for ever.
    """
    accepted: list[Entry] = []
    pending: list[Row] = []
    lost: list[Entry] = []
    facts: dict[str, ImageFacts] = {}
    for row in rows:
        theirs = row.entry
        mine = entry_of(theirs.path)
        if not wins(theirs, mine):
            continue
        if theirs.content is not None and not has_bytes(theirs.content):
            if theirs.version.stamp < STAMP_MAX:
                pending.append(row)
            continue
        seq += 1
        accepted.append(replace(theirs, seq=seq))
        if mine is not None and mine.version.origin == node_id and was_unseen(mine, theirs):
            lost.append(mine)
        if theirs.content is not None and row.facts is not None:
            facts[theirs.content.digest] = row.facts
    erasures = {path: entry_of(path) for path in map(erasure_path, (loser.path for loser in lost))}
    erasures.update((entry.path, entry) for entry in accepted)
    kept = tuple(loser for loser in lost if not is_erased(loser, erasures))
    return JoinPlan(tuple(accepted), tuple(pending), kept, facts)


def missing_contents(
    rows: Iterable[Row], entry_of: Callable[[str], Entry | None]
) -> Sequence[Content]:
    """The contents of the rows that win: what must be here before they are joined. Each once, in
    order.
    """
    return tuple(
        dict.fromkeys(
            row.entry.content
            for row in rows
            if row.entry.content is not None and wins(row.entry, entry_of(row.entry.path))
        )
    )
