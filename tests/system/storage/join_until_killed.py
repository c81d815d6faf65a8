"""A process that joins the batches of an upstream that does not exist until it is killed, and says
how far it has come.

joincrasher.py FOLDER SEED

open
1             the first batch is joined
2
closed
"""

import os
import random
import sys
import traceback
from pathlib import Path

from imagepipe.core.rows.entries import Content, Entry, Row
from imagepipe.core.rows.join import Cursor
from imagepipe.core.rows.stamp import Version
from imagepipe.storage.store import Store
from tests.support.random_load import NAMES
from tests.support.stores import FACTS, digest, open_store

UPSTREAM = "f" * 32
BATCHES = 40


def batches(seed: str) -> list[tuple[list[Row], dict[str, bytes]]]:
    """Rows of distinct paths, on few paths that are in each other's way, and those of their bytes
    that can be had.
    """
    chance = random.Random(seed)
    found = []
    seq = 0
    for _ in range(BATCHES):
        rows, data = [], {}
        for path in chance.sample(
            [f"{folder}/{name}" for folder in "xy" for name in NAMES], chance.randint(1, 8)
        ):
            seq += 1
            content = None
            if chance.random() < 0.7:
                image = f"{seed} {seq} ".encode() * chance.randint(1, 300)
                content = Content(digest(image), len(image))
                if chance.random() < 0.85:
                    data[content.digest] = image
            rows.append(
                Row(
                    Entry(
                        path,
                        Version((1_700_000_000_000 << 16) + seq + chance.randint(-9, 9), UPSTREAM),
                        None,
                        content,
                        seq,
                    ),
                    FACTS,
                )
            )
        found.append((rows, data))
    return found


def join(store: Store, number: int, rows: list[Row], data: dict[str, bytes]) -> None:
    """Join one batch; its cursor is `number`."""
    try:
        for content in store.peers.pin_rows(rows):
            if content.digest in data:
                half = content.size // 2
                store.peers.receive(number, content, half, data[content.digest][half:])
                store.peers.receive(number, content, 0, data[content.digest][:half])
        store.peers.join(rows, UPSTREAM, Cursor("e", number))
    finally:
        store.peers.unpin_rows(rows)


def main(folder: str, seed: str) -> None:
    """Open, go on where the cursor is, close."""
    # A failed flush is told by the next join. Raised from here it would end the thread that met it,
    # and nobody would be answered any more.
    store = open_store(Path(folder), on_fatal=lambda _: None, checkpoint_seconds=0.01)
    os.write(1, b"open\n")
    cursor = store.peers.cursors().get(UPSTREAM)
    for number, (rows, data) in enumerate(batches(seed), 1):
        if cursor is None or number > cursor.seq:
            join(store, number, rows, data)
            os.write(1, b"%d\n" % number)
    store.close()
    os.write(1, b"closed\n")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        # the store is open still: its thread could hold a lock that the interpreter waits for as it
        # ends
        os._exit(1)
