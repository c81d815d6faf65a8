"""`imagepipe history`: lists the images that lost a conflict."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from imagepipe.cli import output
from imagepipe.cli.options import client_of, daemon_command

if TYPE_CHECKING:
    from imagepipe.cli.client import Client, ServerAddress

_PAGE = 1000
_COLUMNS = ("path", "version", "size", "digest", "lost", "winner")


@daemon_command()
@click.argument("path", default="")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
def history(server: "ServerAddress", path: str, as_json: bool) -> None:
    """List the images that lost a conflict.

    When two nodes store one path without having seen each other, one version wins everywhere; the
    other is kept for 30 days on the node that accepted it. Lists those that this node keeps: of
    PATH; of all below it, if it ends in a slash; of all, without one. The newest of a path comes
    first. A line has the path, the version, the bytes, their SHA-256, when it lost, and the version
    that won.

    For example:
      imagepipe history
      imagepipe history users/1/original
      imagepipe restore users/1/original "$(imagepipe history users/1/original | head -1 | cut -f2)"

    Exit status: 0, even if there are none; 1 the daemon was not reached.
    """
    with client_of(server) as client:
        rows = _rows(client, path)
        if as_json:
            for row in rows:
                print(json.dumps({name: row[name] for name in _COLUMNS}))  # noqa: T201
        else:
            output.table(_COLUMNS, ([row[name] for name in _COLUMNS] for row in rows))


def _rows(client: "Client", path: str) -> Iterator[dict[str, Any]]:
    after = ""
    while True:
        rows = client.call("admin.history", path, after, _PAGE)
        yield from rows
        if len(rows) < _PAGE:
            return
        after = rows[-1]["cursor"]
