"""`imagepipe verify`: a running daemon checks every file against its digest; the command starts it,
and watches.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from imagepipe.cli import output
from imagepipe.cli.failures import FAILED, INTERRUPTED, CommandFailed
from imagepipe.cli.options import client_of, daemon_command

if TYPE_CHECKING:
    from imagepipe.cli.client import Client, ServerAddress

_POLL_SECONDS = 0.5
_FIRST_POLL_SECONDS = 0.02
_PROBLEMS = ("missing", "rotten", "changed", "strangers")


@daemon_command()
@click.option(
    "--repair",
    is_flag=True,
    help="Put right what is wrong: bytes from a copy or a peer, files from their bytes.",
)
@click.option(
    "--rate",
    default="",
    metavar="SIZE",
    help="How many bytes a second to read: '10 MiB'.  [default: 50 MiB]",
)
@click.option(
    "--watch",
    is_flag=True,
    help="Start none, but watch the one that runs, or print what the last one found.",
)
@click.option("--stop", is_flag=True, help="Stop the one that runs, and do nothing else.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def verify(
    server: "ServerAddress", repair: bool, rate: str, watch: bool, stop: bool, as_json: bool
) -> int:
    """Check every stored file against its digest.

    The daemon reads all that it has, at a bounded rate, while it goes on serving. A file can be
    missing, rotten (other bytes than were stored), changed by somebody else, or a stranger's. On a
    terminal there is a bar; what is wrong is printed at the end, a line each: the path, the
    problem, and what became of it.

    Ctrl-C stops watching; the daemon goes on, and --watch looks at it again. --stop ends it.

    For example:
      imagepipe verify
      imagepipe verify --repair --rate '200 MiB'
      imagepipe verify --watch

    Exit status: 0 nothing is wrong, or all was repaired; 1 something is wrong, or it was stopped
    before its end; 130 interrupted, the daemon goes on.
    """
    if (stop and (repair or rate or watch)) or (watch and (repair or rate)):
        raise click.UsageError(
            "--stop and --watch start nothing, so --repair and --rate mean nothing to them"
        )
    with client_of(server) as client:
        if stop:
            client.call("admin.verify_stop")
            return 0
        if not watch:
            client.call("admin.verify", repair, rate)
        try:
            progress = _watch(client, show_bar=output.is_terminal() and not as_json)
        except KeyboardInterrupt:
            output.warn(
                "stopped watching: the daemon goes on (imagepipe verify --watch, imagepipe verify"
                " --stop)"
            )
            return INTERRUPTED
    if as_json:
        output.as_json(progress)
    else:
        _print(progress)
    return 0 if progress["finished"] and is_clean(progress) else FAILED


def is_clean(progress: dict[str, Any]) -> bool:
    """Whether nothing is wrong any more."""
    if progress["repair"]:
        return not progress["unrepaired"]
    return not any(progress[problem] for problem in _PROBLEMS)


def _watch(client: "Client", *, show_bar: bool) -> dict[str, Any]:
    """What it found, when it is over."""
    wait = _FIRST_POLL_SECONDS
    with _bar() if show_bar else contextlib.nullcontext(lambda _progress: None) as show:
        while True:
            progress: dict[str, Any] | None = json.loads(client.call("admin.verify_progress"))
            if progress is None:
                raise CommandFailed("nothing was ever verified since the daemon started")
            show(progress)
            if not progress["running"]:
                return progress
            time.sleep(wait)
            wait = min(2 * wait, _POLL_SECONDS)


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[dict[str, Any]], None]]:
    from imagepipe.cli.progress_bar import ProgressBar  # noqa: PLC0415 - slow

    with ProgressBar("verify", None) as bar:
        yield lambda progress: bar.move(
            progress["checked"], progress["total"], ", ".join(_found(progress))
        )


def _print(progress: dict[str, Any]) -> None:
    output.table(
        ("path", "problem", "outcome"),
        ([one["path"], one["problem"], one["outcome"]] for one in progress["problems"]),
    )
    if progress["more_problems"]:
        output.warn(f"and {progress['more_problems']} more before these")
    end = (
        ""
        if progress["finished"]
        else (
            f"; it could not go on: {progress['error']}"
            if progress.get("error")
            else "; it was stopped before its end"
        )
    )
    output.warn(
        f"{progress['checked']} of {progress['total']} checked:"
        f" {', '.join(_found(progress)) or 'nothing is wrong'}{end}"
    )


def _found(progress: dict[str, Any]) -> Iterator[str]:
    for name in (*_PROBLEMS, "repaired", "unrepaired"):
        if progress[name]:
            yield f"{progress[name]} {name}"
