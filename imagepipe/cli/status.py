"""`imagepipe status`: prints the state of a node."""

import json
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from imagepipe.cli import output
from imagepipe.cli.failures import FAILED
from imagepipe.cli.options import client_of, daemon_command

if TYPE_CHECKING:
    from imagepipe.cli.client import ServerAddress


@daemon_command()
@click.option("--watch", is_flag=True, help="Print it repeatedly until Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(0.1),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="The pause between two outputs of --watch.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print the contents of /status.json; with --watch, one line each time.",
)
def status(server: "ServerAddress", watch: bool, interval: float, as_json: bool) -> int:
    """Print the state of a node.

    Prints whether the node is ready, its problems, its current work, its counters since the start,
    its cache, its disk and its peers: one name and value per line.

    For example:
      imagepipe status
      imagepipe status --watch
      imagepipe status --json | jq .queue.waiting

    Exit status: 0 the node is ready; 1 it does not accept writes, or could not be reached.
    """
    with client_of(server) as client:
        while True:
            text = client.call("admin.status")
            current = json.loads(text)
            if watch and output.is_terminal() and not as_json:
                click.clear()
            if as_json:
                print(json.dumps(current) if watch else json.dumps(current, indent=2), flush=True)
            else:
                output.facts(
                    {name: _readable(name, value) for name, value in _flattened("", current)}
                )
            if not watch:
                return 0 if current["ready"] else FAILED
            sys.stdout.flush()
            time.sleep(interval)


def _flattened(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Each value of a tree with its dotted name: queue.waiting, problems.0.text."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _flattened(f"{name}.{key}" if name else key, one)
    elif isinstance(value, list):
        for at, one in enumerate(value):
            yield from _flattened(f"{name}.{at}", one)
    else:
        yield name, value


def _readable(name: str, value: Any) -> str:
    """A value, with its unit on a terminal and as it is for programs."""
    from imagepipe.core.units import format_bytes, format_seconds

    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if output.is_terminal():
        last = name.rpartition(".")[2]
        if last.startswith("bytes") or last.endswith("_bytes"):
            return format_bytes(value)
        if last.endswith("_seconds"):
            return format_seconds(value)
    return str(value)
