"""The progress of a run over a range of ids, in a file, so that the next run continues from there.

    {"run": {"command": "process", "host": ..., "port": ..., ...},
     "left": [[1000412, 1000412], [1000517, 1001000]]}

left: the ids that are not done, including those that failed. The file is replaced as a whole, and
removed when nothing is left. Two runs cannot share one: the second is refused.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from imagepipe.cli.failures import CommandFailed
from imagepipe.cli.id_ranges import IdRanges, Range, are_ranges

_FILE_BYTES_MAX = 16 << 20
_SHARE = 20
"""A run spends at most one part in 20 of its time on saving, which for images is as good as saving
after each id.
"""


class Resume:
    """The state of a run. Public: `left`, the ids that are not done; `done_before`, how many ids
    earlier runs did; `file`.
    """

    def __init__(self, file: Path, run: Mapping[str, Any], within: Range, left: IdRanges) -> None:
        self.file = file
        self.left = left
        self.done_before = within[1] - within[0] + 1 - len(left)
        self._run = dict(run)
        self._saved = self._cost = 0.0
        self._is_saved = False

    def done(self, id: int) -> None:
        """Mark an id as done, and save that now or soon."""
        self.left.remove(id)
        self._is_saved = False
        if time.monotonic() >= self._saved + _SHARE * self._cost:
            self.save()

    def catch_up(self) -> None:
        """Save what has not been saved yet."""
        if not self._is_saved:
            self.save()

    def save(self) -> None:
        """Write the file, or remove it if nothing is left."""
        began = time.monotonic()
        with _explained(self.file):
            if len(self.left):
                _replace(self.file, json.dumps({"run": self._run, "left": self.left.ranges}))
            else:
                self.file.unlink(missing_ok=True)
        self._saved = time.monotonic()
        self._cost = self._saved - began
        self._is_saved = True


def default_file(run: Mapping[str, Any]) -> Path:
    """The default state file of a run, named by what it does and on which daemon."""
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser())
    key = hashlib.sha256(json.dumps(dict(run), sort_keys=True).encode()).hexdigest()[:16]
    return folder / "imagepipe" / f"{run['command']}-{key}.json"


@contextlib.contextmanager
def opened(file: Path, run: Mapping[str, Any], within: Range, *, restart: bool) -> Iterator[Resume]:
    """The state of a run, this process's alone; saved at the end, however that comes.

    run: what the file must be about. restart: what it says does not count. Raises CommandFailed if
    another run has it, or it is about another one.
    """
    with _explained(file):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(file.with_name(file.name + ".lock"), file):
        left = None if restart else _load(file, run, within)
        resume = Resume(file, run, within, IdRanges([within]) if left is None else left)
        resume.save()
        try:
            yield resume
        finally:
            resume.catch_up()


def _load(file: Path, run: Mapping[str, Any], within: Range) -> IdRanges | None:
    with _explained(file):
        try:
            with file.open("rb") as opened:
                content = opened.read(_FILE_BYTES_MAX + 1)
        except FileNotFoundError:
            return None
    try:
        state = json.loads(content)
        its_run, left = state["run"], state["left"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise CommandFailed(
            f"{file} is damaged, or not the state of a run: use --restart to start over"
        ) from None
    if its_run != dict(run):
        raise CommandFailed(
            f"{file} is the state of another run: name another file with --state, or start over"
            " with --restart"
        )
    if not are_ranges(left, within):
        raise CommandFailed(f"{file} is damaged: use --restart to start over")
    return IdRanges((first, last) for first, last in left)


def _replace(file: Path, text: str) -> None:
    new = file.with_name(file.name + ".new")
    new.write_text(text)
    new.replace(file)


@contextlib.contextmanager
def _locked(lock: Path, file: Path) -> Iterator[None]:
    """Hold a lock file, and remove it at the end."""
    with _explained(lock):
        while True:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                raise CommandFailed(f"the same run is already under way: it uses {file}") from None
            # The previous holder may have removed it since it was opened; then it guards nothing.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), lock.stat()):
                    break
            os.close(descriptor)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)


@contextlib.contextmanager
def _explained(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CommandFailed(f"{file}: {error.strerror}") from None
