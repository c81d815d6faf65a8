"""`imagepipe delete`, `move`, `info` and `list`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from imagepipe.cli import output
from imagepipe.cli.options import client_of, daemon_command
from imagepipe.core.escaping import escaped

if TYPE_CHECKING:
    from imagepipe.cli.client import Client, ServerAddress

_PAGE = 10_000
_TOGETHER = 10_000  # as many as a call takes


@daemon_command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
def delete(server: "ServerAddress", paths: tuple[str, ...]) -> None:
    r"""Delete images.

    All PATHs are deleted as one (by the ten thousand). What does not exist counts as deleted, so
    the command may be repeated. A PATH that `imagepipe list` prints as .escaped/... is given in
    that form.

    For example:
      imagepipe delete x/y/photo.jpg x/y/photo_s.jpg
      imagepipe list old/ | xargs -d '\n' imagepipe delete

    Exit status: 0 deleted; 1 the daemon refused or was not reached.
    """
    with client_of(server) as client:
        for start in range(0, len(paths), _TOGETHER):
            client.call(
                "delete_image", [escaped(path) for path in paths[start : start + _TOGETHER]]
            )


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


@daemon_command()
@click.argument("path")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def info(server: "ServerAddress", path: str, as_json: bool) -> None:
    """Print the facts of an image.

    Of the image at PATH: its bytes, SHA-256, width and height in pixels, format, and when it was
    stored (UTC).

    For example:
      imagepipe info x/y/photo.jpg
      imagepipe info x/y/photo.jpg --json | jq .digest

    Exit status: 0; 1 there is no such image.
    """
    with client_of(server) as client:
        facts = client.call("image_info", escaped(path))
    if as_json:
        output.as_json(facts)
    else:
        output.facts(facts)


@daemon_command(name="list")
@click.argument("prefix", default="")
@click.option("--after", default="", metavar="PATH", help="Begin behind this path.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Print at most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_(
    server: "ServerAddress", prefix: str, after: str, limit: int | None, as_json: bool
) -> None:
    """List stored images.

    Prints the paths that begin with PREFIX, all without one, a line each, in byte order.

    For example:
      imagepipe list
      imagepipe list users/ --limit 100
      imagepipe list users/ --after users/1000/original

    Exit status: 0, even if there are none; 1 the daemon was not reached.
    """
    with client_of(server) as client:
        paths = _listed(client, prefix, after, limit)
        if as_json:
            _print_array(paths)
            return
        for path in paths:
            output.line(path)


def _listed(client: "Client", prefix: str, after: str, limit: int | None) -> Iterator[str]:
    """The paths, a page at a time."""
    left = limit
    while left is None or left > 0:
        wanted = _PAGE if left is None else min(_PAGE, left)
        page = client.call("list_images", prefix, after, wanted)
        yield from page
        if len(page) < wanted:
            return
        after = page[-1]
        left = None if left is None else left - len(page)


def _print_array(paths: Iterator[str]) -> None:
    import json  # noqa: PLC0415 - slow

    separator = "["
    for path in paths:
        print(f"{separator}\n  {json.dumps(path)}", end="")  # noqa: T201
        separator = ","
    print("[]" if separator == "[" else "\n]")  # noqa: T201
