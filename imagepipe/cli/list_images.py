"""`imagepipe list`: lists the stored images."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from imagepipe.cli import output
from imagepipe.cli.options import client_of, daemon_command

if TYPE_CHECKING:
    from imagepipe.cli.client import Client, ServerAddress

_PAGE = 10_000


@daemon_command(name="list")
@click.argument("prefix", default="")
@click.option("--after", default="", metavar="PATH", help="Start after this path.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Print at most N paths.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_(
    server: "ServerAddress", prefix: str, after: str, limit: int | None, as_json: bool
) -> None:
    """List stored images.

    Prints the paths that begin with PREFIX, or all paths, one per line in byte order.

    For example:
      imagepipe list
      imagepipe list users/ --limit 100
      imagepipe list users/ --after users/1000/original

    Exit status: 0 listed, even if there are none; 1 the daemon could not be reached.
    """
    with client_of(server) as client:
        paths = _listed(client, prefix, after, limit)
        if as_json:
            _print_array(paths)
            return
        for path in paths:
            output.line(path)


def _listed(client: "Client", prefix: str, after: str, limit: int | None) -> Iterator[str]:
    """The paths, a page at a time."""
    left = limit
    while left is None or left > 0:
        wanted = _PAGE if left is None else min(_PAGE, left)
        page = client.call("list_images", prefix, after, wanted)
        yield from page
        if len(page) < wanted:
            return
        after = page[-1]
        left = None if left is None else left - len(page)


def _print_array(paths: Iterator[str]) -> None:
    import json

    separator = "["
    for path in paths:
        print(f"{separator}\n  {json.dumps(path)}", end="")
        separator = ","
    print("[]" if separator == "[" else "\n]")
