"""`imagepipe adopt`: takes an existing tree into the catalogue, on the node itself and while its
daemon is not running.
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
@click.option("--dry-run", is_flag=True, help="Change nothing; only report what would be done.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def adopt(config: str | None, dry_run: bool, as_json: bool) -> int:
    """Take an existing tree of images into the catalogue.

    The files below [images] path of the configuration file become imagepipe's images without being
    moved, as if each had been stored when its file was last modified. A daemon can then start on
    them and replicate them. The daemon must not be running meanwhile. Files that are not images, or
    whose names no image may have, are left alone and listed, one per line, with the reason.

    The command can be interrupted at any time; run it again to continue.

    For example:
      imagepipe adopt -c /etc/imagepipe.ini --dry-run
      imagepipe adopt -c /etc/imagepipe.ini

    Exit status: 0 done, even if files were left alone; 1 failed, but everything up to then is
    adopted; 130 interrupted.
    """
    from imagepipe.daemon.offline import adopt_tree
    from imagepipe.errors import NotStored, StartError

    settings = load_settings(config_of(config))
    skipped = _Skipped(as_json=as_json)
    try:
        with _Progress(show=output.is_terminal() and not as_json) as on_progress:
            adopted = adopt_tree(settings, on_progress, skipped, dry_run=dry_run)
    except KeyboardInterrupt:
        output.warn("interrupted: run the same command again to continue")
        return INTERRUPTED
    except (StartError, NotStored) as error:
        raise CommandFailed(str(error)) from None
    if as_json:
        print(json.dumps(asdict(adopted)))
    else:
        would = "would be adopted" if dry_run else "adopted"
        output.warn(
            f"{adopted.files} {would} ({adopted.bytes} bytes), {adopted.already} already adopted,"
            f" {adopted.skipped} left alone"
        )
    return 0


class _Skipped:
    """Prints a line for each file that is left alone; to stderr if the output is JSON."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def __call__(self, path: str, why: str) -> None:
        if self._as_json:
            output.warn(f"{path}: {why}")
        else:
            output.line(path, why)


class _Progress:
    """A context manager that yields a callback to show the progress."""

    def __init__(self, *, show: bool) -> None:
        self._bar = None
        if show:
            from imagepipe.cli.progress_bar import ProgressBar

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
