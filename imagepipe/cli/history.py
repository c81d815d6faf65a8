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
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def history(server: "ServerAddress", path: str, as_json: bool) -> None:
    """List the images that lost a conflict.

    When two nodes store the same path independently, one version wins everywhere, and the node that
    accepted the other one keeps it for 30 days. Lists the versions that this node keeps: those of
    PATH, those of all paths below it if PATH ends in a slash, or all of them if there is no PATH;
    the newest of a path first. Each line has the path, the version, the size in bytes, the SHA-256,
    the time of the conflict, and the version that won.

    For example:
      imagepipe history
      imagepipe history users/1/original
      imagepipe restore users/1/original "$(imagepipe history users/1/original | head -1 | cut -f2)"

    Exit status: 0 listed, even if there are none; 1 the daemon could not be reached.
    """
    with client_of(server) as client:
        rows = _rows(client, path)
        if as_json:
            for row in rows:
                print(json.dumps({name: row[name] for name in _COLUMNS}))
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
