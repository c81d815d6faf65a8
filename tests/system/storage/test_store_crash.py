"""Killed at any system call, and with any of them failing: what was acknowledged is there, and
nothing is by half.

Each thread of the load has a folder of its own, so what it holds follows from its own calls: those
that were answered and, maybe, the one that was under way.
"""

import itertools
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.random_load import Operation, Refused, Walk
from tests.support.stores import check_whole, opened, tree
from tests.system.storage.write_until_killed import THREADS

CRASHER = ("-m", "tests.system.storage.write_until_killed")
STRACE = ("strace", "-f", "-qq", "-o", "/dev/null")


@dataclass(frozen=True)
class Run:
    """What a crasher said, and how it ended."""

    lines: list[str]
    status: int

    def answers(self, thread: int) -> list[str]:
        """The answers that one thread got."""
        return [line.split(" ", 2)[2] for line in self.lines if line.startswith(f"{thread} ")]


def crash(root: Path, seed: str, calls: int, *wrapper: str, lines_max: int | None = None) -> Run:
    """Run a crasher to its end, or kill it when it has said so many lines."""
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [*wrapper, sys.executable, *CRASHER, str(root), seed, str(calls)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=path) as process:
        assert process.stdout
        lines = [line.rstrip() for line in itertools.islice(process.stdout, lines_max)]
        if lines_max is not None:
            process.kill()
        lines += [line.rstrip() for line in process.stdout]
    return Run(lines, process.returncode)


def inject(syscalls: str, what: str) -> tuple[str, ...]:
    """The command that makes system calls fail or kill."""
    return (*STRACE, "-e", f"trace={syscalls}", "-e", f"inject={syscalls}:{what}")


def possible(
    seed: str, thread: int, answers: list[str], before: dict[str, bytes]
) -> list[dict[str, bytes]]:
    """What the thread's folder may hold after these answers, and perhaps one call more."""
    walk = Walk(seed, f"x/{thread}")
    images = before
    for answer in answers:
        operation = walk.next()
        if answer == "flush":
            # What the disk holds of this call is unknown, and none came after it.
            return [images, *_after(operation, images)]
        if answer in ("refused", "not stored"):
            continue
        images = operation.apply(images)
    return [images, *_after(walk.next(), images)]


def _after(operation: Operation, images: dict[str, bytes]) -> list[dict[str, bytes]]:
    try:
        return [operation.apply(images)]
    except Refused:
        return []


def below(images: dict[str, bytes | None], thread: int) -> dict[str, bytes]:
    """The images in one thread's folder."""
    return {
        path: content
        for path, content in images.items()
        if content is not None and path.startswith(f"x/{thread}/")
    }


def check(root: Path, seed: str, run: Run, before: dict[str, bytes | None] | None = None) -> None:
    """Open the store and hold it against the answers."""
    with opened(root) as store:
        check_whole(store, root)
        shown = tree(root)
        for thread in range(THREADS):
            assert below(shown, thread) in possible(
                seed, thread, run.answers(thread), below(before or {}, thread)
            ), (seed, thread, run.lines[-20:])


# The first calls are those of the first start, the later ones those of the writing.
KILLS = [
    *(("fsync", number) for number in (1, 6, 9, 15, 40, 77)),
    *(("fdatasync", number) for number in (1, 3, 6, 12, 30, 61)),
    *(("rename,renameat,renameat2", number) for number in (1, 2, 5, 14, 33)),
    *(("link,linkat", number) for number in (1, 2, 9, 25)),
    *(("unlink,unlinkat", number) for number in (1, 3, 8, 21, 60)),
    *(("rmdir", number) for number in (1, 4, 13)),
    *(("mkdir,mkdirat", number) for number in (1, 2, 3, 7, 12, 24, 100, 258, 260)),
    *(("pwrite64", number) for number in (1, 4, 9, 20, 45, 160)),
    *(("openat", number) for number in (280, 300, 320)),
]


class KillTests:
    @pytest.mark.parametrize(("syscall", "number"), KILLS)
    def test_killed_at_a_system_call(self, tmp_path: Path, syscall: str, number: int) -> None:
        root = tmp_path / "images"
        seed = f"{syscall} {number}"
        run = crash(root, seed, 400, *inject(syscall, f"signal=KILL:when={number}"))
        assert run.status in (-signal.SIGKILL, 128 + signal.SIGKILL), run.lines[-1:]
        check(root, seed, run)

    @pytest.mark.parametrize("seed", ["one", "two"])
    def test_killed_again_and_again(self, tmp_path: Path, seed: str) -> None:
        root = tmp_path / "images"
        before: dict[str, bytes | None] = {}
        for turn in range(5):
            name = f"{seed} {turn}"
            run = crash(root, name, 10_000, lines_max=20 + 61 * turn)
            assert run.status == -signal.SIGKILL
            check(root, name, run, before)
            before = tree(root)


class FullDiskTests:
    """Any system call that needs room finds none, now and then."""

    @pytest.mark.parametrize(
        ("syscall", "error", "first"),
        [
            ("link,linkat", "ENOSPC", 3),
            ("link,linkat", "EDQUOT", 3),
            ("mkdir,mkdirat", "ENOSPC", 5),
            ("mkdir,mkdirat", "EDQUOT", 5),
            ("rename,renameat,renameat2", "ENOSPC", 3),
            ("rename,renameat,renameat2", "EDQUOT", 3),
            # those of the start come first; SQLite tells only this error from a broken disk
            ("pwrite64", "ENOSPC", 60),
        ],
    )
    def test_the_call_is_refused_and_changes_nothing(
        self, tmp_path: Path, syscall: str, error: str, first: int
    ) -> None:
        root = tmp_path / "images"
        with opened(root):
            pass
        run = crash(root, error, 40, *inject(syscall, f"error={error}:when={first}+7"))
        assert run.lines[-1] == "closed", run.lines[-5:]
        assert "not stored" in "".join(run.lines)
        assert "fatal" not in run.lines
        check(root, error, run)


class BrokenDiskTests:
    @pytest.mark.parametrize(
        ("syscall", "number"), [("fdatasync", 4), ("fdatasync", 15), ("fsync", 8), ("fsync", 30)]
    )
    def test_the_first_failed_flush_is_the_end_of_all_writing(
        self, tmp_path: Path, syscall: str, number: int
    ) -> None:
        root = tmp_path / "images"
        with opened(root):
            pass
        run = crash(root, "broken", 60, *inject(syscall, f"error=EIO:when={number}"))
        assert run.lines.count("fatal") == 1
        assert run.lines[-1] == "closed"
        for thread in range(THREADS):
            answers = run.answers(thread)
            first = answers.index("flush")
            assert set(answers[first:]) == {"flush"}
        check(root, "broken", run)

    def test_one_at_the_start_refuses_the_start(self, tmp_path: Path) -> None:
        root = tmp_path / "images"
        run = crash(root, "broken", 1, *inject("fsync,fdatasync", "error=EIO:when=2"))
        assert run.status == 1
        assert run.lines == []
        with opened(root) as store:
            check_whole(store, root)
