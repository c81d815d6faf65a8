"""The output: a table on a terminal, tab-separated lines without a heading for programs, JSON on
request.

Names come from elsewhere, so everything is printed through `printable`.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from imagepipe.core.printable import printable


def is_terminal() -> bool:
    """Whether the output is a terminal."""
    return sys.stdout.isatty()


def prepare_streams() -> None:
    """Escape characters that the terminal cannot show, so that no name crashes the program."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def line(*fields: object) -> None:
    """Print a line of tab-separated fields."""
    print("\t".join(printable(str(field)) for field in fields))


def warn(text: str) -> None:
    """Print a line to stderr."""
    print(f"imagepipe: {printable(text)}", file=sys.stderr, flush=True)


def as_json(value: Any) -> None:
    """Print a value as JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=True))


def table(heading: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows, below their heading on a terminal or else as tab-separated lines."""
    if not is_terminal():
        for row in rows:
            line(*row)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for name in heading:
        drawn.add_column(name, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(printable(str(field))) for field in row))
    Console(highlight=False).print(drawn)


def facts(values: dict[str, Any]) -> None:
    """Print names and values, one pair per line."""
    if not is_terminal():
        for name, value in values.items():
            line(name, value)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table.grid(padding=(0, 2))
    drawn.add_column(style="bold")
    drawn.add_column(overflow="fold")
    for name, value in values.items():
        drawn.add_row(name, Text(printable(str(value))))
    Console(highlight=False).print(drawn)
