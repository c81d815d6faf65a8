"""What a section of the benchmarks found: series of measurements, tables, goals and charts. Values
only; report.py writes them down.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Series:
    """The values that the rounds gave, in the order of the rounds."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the greatest."""
        return min(self.values), max(self.values)

    def text(self, digits: int = 0) -> str:
        """`median (least to greatest)`."""
        low, high = self.spread
        return f"{self.median:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def ratio(ours: Series, theirs: Series) -> float:
    """The median of the ratios, round by round: a slow moment of the machine hits both of a
    round.
    """
    return statistics.median(a / b for a, b in zip(ours.values, theirs.values, strict=True))


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under `columns`; `note` says what the figures are."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Goal:
    """What was wanted, and what was found: at least `wanted`, or at most, where `at_most`
    is true.
    """

    text: str
    wanted: float
    found: float
    at_most: bool = False
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether it was reached."""
        return self.found <= self.wanted if self.at_most else self.found >= self.wanted


@dataclass(frozen=True, slots=True)
class Chart:
    """A bar for each name with its spread, or with `x` a line for each name over these places."""

    name: str
    title: str
    unit: str
    series: Mapping[str, Sequence[Series]]
    x: Sequence[float] = ()
    x_label: str = ""
    logarithmic: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """What one part of the benchmarks found."""

    tables: Sequence[Table] = ()
    goals: Sequence[Goal] = ()
    charts: Sequence[Chart] = field(default_factory=tuple)
