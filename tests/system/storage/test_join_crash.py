"""Killed at any system call of a join: the map is that of the batches up to the cursor, no more and
no less, and what was said to be joined is.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from imagepipe.core.rows.entries import Content, Entry, wins
from imagepipe.core.rows.join import join as join_rows
from imagepipe.storage.store import Store
from tests.support.exchange import check_shown, rows_of
from tests.support.stores import check_kept, opened
from tests.system.storage.join_until_killed import UPSTREAM, batches, join

CRASHER = ("-m", "tests.system.storage.join_until_killed")

# Each thread counts its own.
KILLS = [
    *(("fsync", number) for number in (1, 4, 20, 45)),
    *(("fdatasync", number) for number in (2, 8, 15, 31)),
    *(("rename,renameat,renameat2", number) for number in (1, 3, 12, 40)),
    *(("link,linkat", number) for number in (1, 4, 20, 41)),
    *(("unlink,unlinkat", number) for number in (3, 9, 30)),
    *(("rmdir", number) for number in (1, 5, 11)),
    *(("mkdir,mkdirat", number) for number in (1, 2, 5, 9)),
    *(("pwrite64", number) for number in (10, 40, 70, 140)),
]


def run(root: Path, seed: str, *wrapper: str) -> tuple[int, list[str]]:
    """Run a crasher; its exit status, and what it said."""
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.run(
        [*wrapper, sys.executable, *CRASHER, str(root), seed],
        stdout=subprocess.PIPE,
        text=True,
        env=path,
        check=False,
    )
    return process.returncode, process.stdout.split()


def check(store: Store, root: Path, seed: str, joined: int) -> None:
    """Hold a store against the batches up to `joined`."""
    state: dict[str, Entry] = {}
    waiting: dict[str, Entry] = {}
    for rows, data in batches(seed)[:joined]:
        here = {lost.content.digest for lost in store.history()} | {
            entry.content.digest for entry in state.values() if entry.content
        }

        def has_bytes(
            content: Content, data: dict[str, bytes] = data, here: set[str] = here
        ) -> bool:
            return content.digest in data or content.digest in here

        outcome = join_rows(rows, state.get, has_bytes, store.node_id, 0)
        state.update((entry.path, entry) for entry in outcome.accepted)
        waiting.update((row.entry.path, row.entry) for row in outcome.pending)
        waiting = {path: entry for path, entry in waiting.items() if wins(entry, state.get(path))}
    assert {path: (entry.version, entry.content) for path, entry in rows_of(store).items()} == {
        path: (entry.version, entry.content) for path, entry in state.items()
    }
    assert {one.row.entry.path: one.row.entry for one in store.peers.pending()} == waiting
    check_kept(store, root)
    check_shown(store, root)


class KillTests:
    @pytest.mark.parametrize(("syscall", "number"), KILLS)
    def test_killed_at_a_system_call(self, tmp_path: Path, syscall: str, number: int) -> None:
        root = tmp_path / "images"
        seed = f"{syscall} {number}"
        strace = (
            "strace",
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            f"trace={syscall}",
            "-e",
            f"inject={syscall}:signal=KILL:when={number}",
        )
        with opened(root):
            pass
        status, lines = run(root, seed, *strace)
        assert status in (-signal.SIGKILL, 128 + signal.SIGKILL), lines[-1:]
        said = int(lines[-1]) if lines and lines[-1].isdigit() else 0
        with opened(root) as store:
            cursor = store.peers.cursors().get(UPSTREAM)
            come = cursor.seq if cursor else 0
            assert said <= come <= said + 1
            check(store, root, seed, come)
            for at, (rows, data) in enumerate(batches(seed), 1):
                if at > come:
                    join(store, at, rows, data)
            check(store, root, seed, len(batches(seed)))

    def test_one_that_fails_to_flush_is_the_end_of_all_writing(self, tmp_path: Path) -> None:
        root = tmp_path / "images"
        with opened(root):
            pass
        syscall = "fdatasync"
        strace = (
            "strace",
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            f"trace={syscall}",
            "-e",
            f"inject={syscall}:error=EIO:when=9",
        )
        status, lines = run(root, "broken", *strace)
        assert status == 1
        assert "closed" not in lines
        with opened(root) as store:
            cursor = store.peers.cursors().get(UPSTREAM)
            said = int(lines[-1]) if lines[-1].isdigit() else 0
            assert cursor is None or said <= cursor.seq <= said + 1
            check(store, root, "broken", cursor.seq if cursor else 0)
