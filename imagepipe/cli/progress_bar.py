"""A progress bar: the count, the rate and the time left."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class ProgressBar:
    """A bar on the terminal while the context lasts. total: None if unknown. unit: of the rate."""

    def __init__(self, description: str, total: int | None, done: int = 0, unit: str = "") -> None:
        self._failed = 0
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            _RateColumn(unit),
            TextColumn("{task.fields[note]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(highlight=False),
        )
        self._task = self._progress.add_task(description, total=total, completed=done, note="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def advance(self, *, failed: bool) -> None:
        """Count one more that is done or has failed."""
        self._failed += failed
        self._progress.update(
            self._task, advance=1, note=f"{self._failed} failed" if self._failed else ""
        )

    def move(self, done: int, total: int | None, note: str) -> None:
        """Show that `done` of `total` are done."""
        self._progress.update(self._task, completed=done, total=total, note=note)


class _RateColumn(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """The rate per second."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f}{self._unit}/s" if speed is not None else f"-{self._unit}/s")
