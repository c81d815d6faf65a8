"""`imagepipe restore`: stores an image that lost a conflict again."""

from typing import TYPE_CHECKING

import click

from imagepipe.cli import output
from imagepipe.cli.options import client_of, daemon_command

if TYPE_CHECKING:
    from imagepipe.cli.client import ServerAddress


@daemon_command()
@click.argument("path")
@click.argument("version")
@click.option(
    "--to", default="", metavar="PATH", help="Store it at this path.  [default: its old path]"
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def restore(server: "ServerAddress", path: str, version: str, to: str, as_json: bool) -> None:
    """Restore an image that lost a conflict.

    VERSION is one that `imagepipe history PATH` prints, or the beginning of it. The image becomes
    the newest version of PATH, or of --to, on every node, as if it were stored now. Prints its
    facts.

    For example:
      imagepipe restore users/1/original 0650f1
      imagepipe restore users/1/original 0650f1 --to users/1/other

    Exit status: 0 restored; 1 there is no such version, or it could not be stored.
    """
    with client_of(server) as client:
        facts = client.call("admin.restore", path, version, to)
    if as_json:
        output.as_json(facts)
    else:
        output.facts(facts)
