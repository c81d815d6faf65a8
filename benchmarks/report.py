"""What the benchmarks found, in docs/performance.md: tables and goals between the marks of their
section, charts as SVG beside it.

<!-- store -->
... replaced by each run of that section ...
<!-- end of store -->
"""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.results import Chart, Goal, Section, Table

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs/performance.md"


def write(name: str, section: Section, measured: str, document: Path = DOCUMENT) -> None:
    """Replace the section's part of the document, and its charts, which lie in `performance` beside
    it. `measured` says when, where and in what time. Raises ValueError if the document has no place
    for it.
    """
    text = document.read_text()
    place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    if not place.search(text):
        raise ValueError(f"{document} has no <!-- {name} --> and <!-- end of {name} -->")
    for chart in section.charts:
        draw(chart, document.parent / "performance" / f"{chart.name}.svg")
    document.write_text(
        place.sub(
            lambda found: found[1] + "\n" + markdown(name, section, measured) + "\n" + found[2],
            text,
        )
    )


def markdown(name: str, section: Section, measured: str) -> str:
    """The section as Markdown."""
    parts = [f"`python -m benchmarks {name}`, {measured}."]
    if section.goals:
        parts.append(
            "\n".join(
                [
                    "| goal | wanted | found | |",
                    "| --- | ---: | ---: | --- |",
                    *map(_goal, section.goals),
                ]
            )
        )
    parts += [_table(table) for table in section.tables]
    parts += [f"![{chart.title}](performance/{chart.name}.svg)" for chart in section.charts]
    return "\n\n".join(parts) + "\n"


def _goal(goal: Goal) -> str:
    sign = "at most" if goal.at_most else "at least"
    return (
        f"| {goal.text} | {sign} {_number(goal.wanted)}{goal.unit} |"
        f" {_number(goal.found)}{goal.unit} | {'met' if goal.met else '**missed**'} |"
    )


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}".rstrip("0").rstrip(".")


def _table(table: Table) -> str:
    left = " | ".join(["---", *("---:" for _ in table.columns[1:])])
    lines = [
        f"| {' | '.join(table.columns)} |",
        f"| {left} |",
        *(f"| {' | '.join(row)} |" for row in table.rows),
    ]
    return "\n".join([f"**{table.title}.** {table.note}".rstrip(), "", *lines])


def machine() -> str:
    """What it ran on, and when."""
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "?",
    )
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    cores = len(os.sched_getaffinity(0))
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {commit or 'no commit'}, {cores} cores ({model}), Python"
        f" {platform.python_version()}, Linux {platform.release()}"
    )


def draw(chart: Chart, file: Path) -> None:
    """The chart as SVG: text stays text, and the same values give the same file."""
    import matplotlib as mpl  # takes a second

    mpl.use("svg")
    from matplotlib import pyplot as plt

    mpl.rcParams.update(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": chart.name,
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    )
    figure, axes = plt.subplots(
        figsize=(7, 3.2 if chart.x else 0.8 + 0.36 * len(chart.series)), layout="constrained"
    )
    (_lines if chart.x else _bars)(axes, chart)
    axes.set_title(chart.title, loc="left", fontsize=10)
    file.parent.mkdir(exist_ok=True)
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)


def _bars(ax: Any, chart: Chart) -> None:

    names = list(chart.series)
    series = [chart.series[name][0] for name in names]
    medians = [one.median for one in series]
    errors = [
        [one.median - one.spread[0] for one in series],
        [one.spread[1] - one.median for one in series],
    ]
    colours = ["#1f6feb" if name.startswith("imagepipe") else "#9aa4b2" for name in names]
    drawn = ax.barh(names, medians, xerr=errors, color=colours, ecolor="#57606a", capsize=2)
    # beyond the spread: a bar may be shorter than its number
    ax.bar_label(drawn, [f" {_number(median)}" for median in medians], fontsize=8)
    ax.margins(x=0.12)
    ax.invert_yaxis()
    ax.set_xlabel(chart.unit)
    if chart.logarithmic:
        ax.set_xscale("log")


def _lines(ax: Any, chart: Chart) -> None:

    for name, places in chart.series.items():
        medians = [place.median for place in places]
        (line,) = ax.plot(chart.x, medians, marker="o", markersize=3, label=name)
        lows, highs = [place.spread[0] for place in places], [place.spread[1] for place in places]
        ax.fill_between(chart.x, lows, highs, color=line.get_color(), alpha=0.15)
    ax.set_xlabel(chart.x_label)
    ax.set_ylabel(chart.unit)
    ax.set_ylim(bottom=0)
    if chart.logarithmic:
        ax.set_xscale("log")
    ax.set_xticks(list(chart.x), [_tick(x) for x in chart.x])
    ax.legend(frameon=False, fontsize=8)


def _tick(x: float) -> str:
    return f"{x:,.0f}".replace(",", " ")


def summary(goals: Sequence[tuple[str, Goal]]) -> str:
    """All goals of a run, a line each."""
    return "\n".join(
        f"{'met   ' if goal.met else 'MISSED'} {name}: {goal.text}:"
        f" {_number(goal.found)}{goal.unit} ({_number(goal.wanted)})"
        for name, goal in goals
    )
