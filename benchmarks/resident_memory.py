"""What processes hold: the proportional set size, in which a page that several share counts once,
summed over a process and its descendants.
"""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

INTERVAL_SECONDS = 0.1


def family(process_id: int) -> Iterator[int]:
    """A process and its descendants."""
    yield process_id
    try:
        tasks = list(Path(f"/proc/{process_id}/task").iterdir())
        children = [
            int(child) for task in tasks for child in (task / "children").read_text().split()
        ]
    except OSError:
        return
    for child in children:
        yield from family(child)


def resident_bytes(process_ids: Iterator[int] | list[int]) -> int:
    """The sum of their proportional set sizes; 0 for one that is gone."""
    return sum(map(_proportional, process_ids))


def _proportional(process_id: int) -> int:
    try:
        lines = Path(f"/proc/{process_id}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:")), 0)


class Peak:
    """Looks all the time at what a process and its descendants hold together, or it alone; `bytes`
    is the most that was seen.
    """

    def __init__(self, process_id: int, *, alone: bool = False) -> None:
        self.bytes = 0
        self._process_id = process_id
        self._alone = alone
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(INTERVAL_SECONDS):
            self.bytes = max(
                self.bytes,
                resident_bytes([self._process_id] if self._alone else family(self._process_id)),
            )
