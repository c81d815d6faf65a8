"""`imagepipe delete`: deletes images."""

from typing import TYPE_CHECKING

import click

from imagepipe.cli.options import client_of, daemon_command
from imagepipe.core.path_escaping import escaped

if TYPE_CHECKING:
    from imagepipe.cli.client import ServerAddress

_TOGETHER = 10_000  # as many as a call takes


@daemon_command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
def delete(server: "ServerAddress", paths: tuple[str, ...]) -> None:
    r"""Delete images.

    All PATHs are deleted together (ten thousand at a time). A PATH that does not exist counts as
    deleted, so the command can be repeated. Give a PATH that `imagepipe list` prints as
    .escaped/... in that form.

    For example:
      imagepipe delete x/y/photo.jpg x/y/photo_s.jpg
      imagepipe list old/ | xargs -d '\n' imagepipe delete

    Exit status: 0 deleted; 1 the daemon refused, or could not be reached.
    """
    with client_of(server) as client:
        for start in range(0, len(paths), _TOGETHER):
            client.call(
                "delete_image", [escaped(path) for path in paths[start : start + _TOGETHER]]
            )
