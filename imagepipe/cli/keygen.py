"""`imagepipe keygen`: makes a node's keys for replication."""

from pathlib import Path

import click

from imagepipe.cli import output
from imagepipe.cli.failures import CommandFailed
from imagepipe.cli.options import Command


@click.command(cls=Command)
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False))
def keygen(folder: str) -> None:
    """Make a node's keys for replication.

    Writes a new key pair, server.key_secret and server.key, to DIR, and a folder `authorized` for
    the server.key of each peer. DIR is created if necessary; set [replication] keys to it. Existing
    keys are never replaced.

    For example:
      imagepipe keygen keys
      scp keys/server.key south:keys/authorized/north.key

    Exit status: 0 written; 1 there are keys already, or they cannot be written.
    """
    from imagepipe.errors import StartError

    # slow
    from imagepipe.replication.zmq.curve_keys import PUBLIC_FILE, create_keys

    try:
        create_keys(Path(folder))
    except StartError as error:
        raise CommandFailed(str(error)) from None
    output.line(f"copy {folder}/{PUBLIC_FILE} to the peers; keep everything else here")
