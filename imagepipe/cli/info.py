"""`imagepipe info`: prints the facts of an image."""

from typing import TYPE_CHECKING

import click

from imagepipe.cli import output
from imagepipe.cli.options import client_of, daemon_command
from imagepipe.core.path_escaping import escaped

if TYPE_CHECKING:
    from imagepipe.cli.client import ServerAddress


@daemon_command()
@click.argument("path")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def info(server: "ServerAddress", path: str, as_json: bool) -> None:
    """Print the facts of an image.

    Prints the size in bytes of the image at PATH, its SHA-256, width and height in pixels, format,
    and when it was stored (UTC).

    For example:
      imagepipe info x/y/photo.jpg
      imagepipe info x/y/photo.jpg --json | jq .digest

    Exit status: 0 printed; 1 there is no such image.
    """
    with client_of(server) as client:
        facts = client.call("image_info", escaped(path))
    if as_json:
        output.as_json(facts)
    else:
        output.facts(facts)
