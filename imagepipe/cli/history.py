"""`imagepipe history`, `restore` and `erase`: images that lost a conflict, and images of which
nothing shall be left.
"""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from imagepipe.cli import output
from imagepipe.cli.failures import FAILED, FaultReturned
from imagepipe.cli.options import client_of, daemon_command
from imagepipe.core.escaping import escaped

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


@daemon_command()
@click.argument("path")
@click.argument("version")
@click.option("--to", default="", metavar="PATH", help="Store it there.  [default: where it was]")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def restore(server: "ServerAddress", path: str, version: str, to: str, as_json: bool) -> None:
    """Store an image again that lost a conflict.

    VERSION is what `imagepipe history PATH` printed, or its beginning. The image becomes the newest
    one at PATH, or at --to, on every node, as if it were stored now; prints its facts.

    For example:
      imagepipe restore users/1/original 0650f1
      imagepipe restore users/1/original 0650f1 --to users/1/other

    Exit status: 0 it is stored; 1 there is no such version, or it was not stored.
    """
    with client_of(server) as client:
        facts = client.call("admin.restore", path, version, to)
    if as_json:
        output.as_json(facts)
    else:
        output.facts(facts)


@daemon_command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
def erase(server: "ServerAddress", paths: tuple[str, ...]) -> int:
    """Delete images, history included, on every node.

    As `imagepipe delete`, but what a node has kept of PATH because it lost a conflict goes too,
    here at once and on the others when they hear of it. There is no way back. One PATH after the
    other; those that are not erased are listed.

    For example:
      imagepipe erase users/1/original

    Exit status: 0 erased; 1 some are not.
    """
    failed = 0
    with client_of(server) as client:
        for path in paths:
            try:
                client.call("admin.erase", escaped(path))
            except FaultReturned as fault:
                failed += 1
                output.warn(f"{path}: {fault}")
    return FAILED if failed else 0
