"""`imagepipe adopt`: an existing tree is taken into the catalogue, on the node itself, while its
daemon does not run.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from imagepipe.cli import output
from imagepipe.cli.config_file import load_settings
from imagepipe.cli.failures import INTERRUPTED, CommandFailed
from imagepipe.cli.options import Command, config_of, config_option

if TYPE_CHECKING:
    from imagepipe.storage.adopt import Adopted


@click.command(cls=Command)
@config_option("The node's configuration file.")
@click.option("--dry-run", is_flag=True, help="Change nothing, but say what would be done.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def adopt(config: str | None, dry_run: bool, as_json: bool) -> int:
    """Take an existing tree of images into the catalogue.

    The images below [images] path of the configuration file become imagepipe's, where they lie, as
    if each had been stored when its file was last changed; then a daemon may start on them, and
    replicate them. The daemon must not run meanwhile. What is no image, or has a name that no image
    may have, is left alone and listed, a line each: its path and why.

    It can be interrupted at any time; run again, it goes on where it was.

    For example:
      imagepipe adopt -c /etc/imagepipe.ini --dry-run
      imagepipe adopt -c /etc/imagepipe.ini

    Exit status: 0 done, whatever was left alone; 1 it failed, and what was done before stays; 130
    interrupted.
    """
    from imagepipe.daemon.offline import adopt_tree  # noqa: PLC0415 - slow
    from imagepipe.errors import NotStored, StartError  # noqa: PLC0415

    settings = load_settings(config_of(config))
    skipped = _Skipped(as_json=as_json)
    try:
        with _Progress(show=output.is_terminal() and not as_json) as on_progress:
            adopted = adopt_tree(settings, on_progress, skipped, dry_run=dry_run)
    except KeyboardInterrupt:
        output.warn("interrupted: the same command goes on from here")
        return INTERRUPTED
    except (StartError, NotStored) as error:
        raise CommandFailed(str(error)) from None
    if as_json:
        print(json.dumps(asdict(adopted)))  # noqa: T201
    else:
        would = "would be adopted" if dry_run else "adopted"
        output.warn(
            f"{adopted.files} {would} ({adopted.bytes} bytes), {adopted.already} known already,"
            f" {adopted.skipped} left alone"
        )
    return 0


class _Skipped:
    """Prints a line for each file that is left alone; to stderr where JSON is wanted."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def __call__(self, path: str, why: str) -> None:
        if self._as_json:
            output.warn(f"{path}: {why}")
        else:
            output.line(path, why)


class _Progress:
    """As a context, a callback that shows how far it has come."""

    def __init__(self, *, show: bool) -> None:
        self._bar = None
        if show:
            from imagepipe.cli.progress_bar import ProgressBar  # noqa: PLC0415 - slow

            self._bar = ProgressBar("adopt", None)

    def __enter__(self) -> "Callable[[Adopted], None]":
        if self._bar is None:
            return lambda _adopted: None
        bar = self._bar.__enter__()
        return lambda adopted: bar.move(
            adopted.files + adopted.already,
            None,
            f"{adopted.skipped} left alone" if adopted.skipped else "",
        )

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
