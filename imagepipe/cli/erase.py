"""`imagepipe erase`: deletes images and their history on every node."""

from typing import TYPE_CHECKING

import click

from imagepipe.cli import output
from imagepipe.cli.failures import FAILED, FaultReturned
from imagepipe.cli.options import client_of, daemon_command
from imagepipe.core.path_escaping import escaped

if TYPE_CHECKING:
    from imagepipe.cli.client import ServerAddress


@daemon_command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
def erase(server: "ServerAddress", paths: tuple[str, ...]) -> int:
    """Delete images and their history on every node.

    Works like `imagepipe delete`, and also removes the versions of PATH that lost a conflict: here
    at once, and on the other nodes when they learn of it. This cannot be undone. PATHs are erased
    one after the other; those that fail are listed.

    For example:
      imagepipe erase users/1/original

    Exit status: 0 all are erased; 1 some are not.
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
