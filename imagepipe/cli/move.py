"""`imagepipe move`: moves images."""

from typing import TYPE_CHECKING

import click

from imagepipe.cli.options import client_of, daemon_command
from imagepipe.core.path_escaping import escaped

if TYPE_CHECKING:
    from imagepipe.cli.client import ServerAddress


@daemon_command()
@click.argument("paths", metavar="SRC DST [SRC DST]...", nargs=-1, required=True)
def move(server: "ServerAddress", paths: tuple[str, ...]) -> None:
    """Move images.

    Each SRC is moved to the DST that follows it, in order, all or none. An image at a DST is
    replaced. A SRC that does not exist is an error.

    For example:
      imagepipe move x/photo.jpg y/photo.jpg
      imagepipe move a.jpg spare.jpg b.jpg a.jpg spare.jpg b.jpg      swaps a and b

    Exit status: 0 moved; 1 nothing was moved.
    """
    if len(paths) % 2:
        raise click.UsageError("paths must come in pairs: SRC DST [SRC DST]...")
    with client_of(server) as client:
        client.call("move_image", [escaped(path) for path in paths[::2]], list(paths[1::2]))
