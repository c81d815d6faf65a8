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

    Writes a new pair, server.key_secret and server.key, and a folder authorized for the server.key
    of each peer, into DIR, which is made if need be. Name it in [replication] keys. Keys that are
    there are never replaced.

    For example:
      imagepipe keygen keys
      scp keys/server.key south:keys/authorized/north.key

    Exit status: 0; 1 there are keys already, or they cannot be written.
    """
    from imagepipe.errors import StartError  # noqa: PLC0415

    # slow
    from imagepipe.replication.zmq.curve_keys import PUBLIC_FILE, create_keys  # noqa: PLC0415

    try:
        create_keys(Path(folder))
    except StartError as error:
        raise CommandFailed(str(error)) from None
    output.line(f"{folder}/{PUBLIC_FILE} is for the peers; everything else stays here")
