"""`imagepipe move`: moves images."""

from typing import TYPE_CHECKING

import click

from imagepipe.cli.options import client_of, daemon_command
from imagepipe.core.escaping import escaped

if TYPE_CHECKING:
    from imagepipe.cli.client import ServerAddress


@daemon_command()
@click.argument("paths", metavar="SRC DST [SRC DST]...", nargs=-1, required=True)
def move(server: "ServerAddress", paths: tuple[str, ...]) -> None:
    """Move images.

    Each SRC goes to the DST behind it; in order, and all or none. What is at a DST is replaced; a
    SRC that is not there is an error.

    For example:
      imagepipe move x/photo.jpg y/photo.jpg
      imagepipe move a.jpg spare.jpg b.jpg a.jpg spare.jpg b.jpg      swaps a and b

    Exit status: 0 moved; 1 nothing was moved.
    """
    if len(paths) % 2:
        raise click.UsageError("paths go in pairs: SRC DST [SRC DST]...")
    with client_of(server) as client:
        client.call("move_image", [escaped(path) for path in paths[::2]], list(paths[1::2]))
