"""Two stores that exchange rows and bytes as nodes do, without the network between.

pull(b, a)                       b hears from a what it has not heard, up to `limit` rows, fetches
                                 what it lacks, and joins it
retry(b, [a, c])                 b tries again to get the bytes of what is pending
rows_of(b)                       its map
check_shown(b, root)             its tree is what core.rows.visibility makes of its map
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from imagepipe.core.paths import ancestors
from imagepipe.core.replication.fetches import ReceiveResult
from imagepipe.core.rows.entries import Content, Entry
from imagepipe.core.rows.epochs import holds
from imagepipe.core.rows.join import Cursor, JoinResult
from imagepipe.core.rows.visibility import visible
from imagepipe.storage.store import Store
from tests.support.stores import digest, expected_tree, tree

_transfers = iter(range(1, 1 << 60))


def pull(
    store: Store,
    upstream: Store,
    *,
    limit: int = 256,
    cut: random.Random | None = None,
    lost: Iterable[str] = (),
) -> JoinResult:
    """One batch; `cut` cuts the bytes into pieces, and `lost` are digests that do not come."""
    cursor = store.peers.cursors().get(upstream.node_id)
    known = cursor is not None and holds(
        upstream.epochs, upstream.last_seq, cursor.epoch, cursor.seq
    )
    after = cursor.seq if cursor and known else 0
    end = upstream.last_seq
    rows = upstream.peers.changes(after, limit).rows
    upto = rows[-1].entry.seq if len(rows) == limit else end
    lacking = store.peers.pin_rows(rows)
    try:
        for content in lacking:
            if content.digest not in lost:
                fetch(store, [upstream], content, cut)
        return store.peers.join(
            rows, upstream.node_id, Cursor(upstream.epochs[-1].id, upto), from_start=after == 0
        )
    finally:
        store.peers.unpin_rows(rows)


def retry(store: Store, peers: Sequence[Store]) -> JoinResult:
    """Ask every peer for what is pending."""
    rows = tuple({one.row.entry.path: one.row for one in store.peers.pending()}.values())
    lacking = store.peers.pin_rows(rows)
    try:
        for content in lacking:
            fetch(store, peers, content)
        return store.peers.join(rows, None, None)
    finally:
        store.peers.unpin_rows(rows)


def fetch(
    store: Store, peers: Sequence[Store], content: Content, cut: random.Random | None = None
) -> ReceiveResult:
    """Get an object from the first peer that has it, whole or in pieces that come in any order."""
    for peer in peers:
        if peer.peers.read_piece(content.digest, 0, content.size) is not None:
            break
    else:
        return ReceiveResult.MORE
    places = (
        [
            0,
            *sorted(cut.sample(range(1, content.size), min(content.size - 1, cut.randint(0, 3)))),
            content.size,
        ]
        if cut
        else [0, content.size]
    )
    ranges = list(pairwise(places))
    if cut:
        cut.shuffle(ranges)
    transfer = next(_transfers)
    for start, end in ranges:
        piece = peer.peers.read_piece(content.digest, start, end - start)
        assert piece is not None
        received = store.peers.receive(transfer, content, start, piece)
    assert received is ReceiveResult.COMPLETE
    return received


def rows_of(store: Store) -> dict[str, Entry]:
    """The map, without this node's numbers."""
    return {
        row.entry.path: replace(row.entry, seq=0) for row in store.peers.changes(0, 1_000_000).rows
    }


def expected_shown(rows: Iterable[Entry]) -> dict[str, str]:
    """What a tree shows of a map: {path: digest}."""
    live = [row for row in rows if row.content]
    contents = {
        row.path: visible(
            row,
            [
                other
                for other in live
                if row.path in ancestors(other.path) or other.path in ancestors(row.path)
            ],
        )
        for row in live
    }
    return {path: content.digest for path, content in contents.items() if content}


def check_shown(store: Store, root: Path) -> None:
    """The tree is what the map says, to the last folder."""
    found = tree(root)
    expected = expected_shown(rows_of(store).values())
    assert {
        path: digest(content) for path, content in found.items() if content is not None
    } == expected
    assert set(found) == set(expected_tree(dict.fromkeys(expected, b"")))
    hidden = {one.entry.path for one in store.hidden()}
    assert hidden == set(store.list("", "", 1_000_000)) - expected.keys()
