"""`imagepipe verify`: lets a running daemon check every file against its digest, and watches."""

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
    help="Repair what is wrong: bytes from a copy or a peer, files from their bytes.",
)
@click.option(
    "--rate",
    default="",
    metavar="SIZE",
    help="How much to read per second: '10 MiB'.  [default: 50 MiB]",
)
@click.option(
    "--watch",
    is_flag=True,
    help="Start nothing; watch the running check, or print the result of the last one.",
)
@click.option("--stop", is_flag=True, help="Stop the running check and do nothing else.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def verify(
    server: "ServerAddress", repair: bool, rate: str, watch: bool, stop: bool, as_json: bool
) -> int:
    """Check every stored file against its digest.

    The daemon reads every file at a limited rate while it keeps serving. A file can be missing,
    rotten (not the bytes that were stored), changed by another program, or a stranger that
    imagepipe did not store. Shows a progress bar on a terminal. At the end it prints one line per
    problem: the path, the problem and the outcome.

    Ctrl-C stops watching while the daemon continues; use --watch to see it again, and --stop to end
    it.

    For example:
      imagepipe verify
      imagepipe verify --repair --rate '200 MiB'
      imagepipe verify --watch

    Exit status: 0 nothing is wrong, or everything was repaired; 1 something is wrong, or the check
    did not finish; 130 interrupted, the daemon continues.
    """
    if (stop and (repair or rate or watch)) or (watch and (repair or rate)):
        raise click.UsageError(
            "--stop and --watch start nothing, so they cannot be combined with --repair and --rate"
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
                "stopped watching; the daemon continues (see imagepipe verify --watch and --stop)"
            )
            return INTERRUPTED
    if as_json:
        output.as_json(progress)
    else:
        _print(progress)
    return 0 if progress["finished"] and is_clean(progress) else FAILED


def is_clean(progress: dict[str, Any]) -> bool:
    """Whether no problem is left."""
    if progress["repair"]:
        return not progress["unrepaired"]
    return not any(progress[problem] for problem in _PROBLEMS)


def _watch(client: "Client", *, show_bar: bool) -> dict[str, Any]:
    """The result, once the check has ended."""
    wait = _FIRST_POLL_SECONDS
    with _bar() if show_bar else contextlib.nullcontext(lambda _progress: None) as show:
        while True:
            progress: dict[str, Any] | None = json.loads(client.call("admin.verify_progress"))
            if progress is None:
                raise CommandFailed("nothing has been verified since the daemon started")
            show(progress)
            if not progress["running"]:
                return progress
            time.sleep(wait)
            wait = min(2 * wait, _POLL_SECONDS)


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[dict[str, Any]], None]]:
    from imagepipe.cli.progress_bar import ProgressBar

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
            f"; it could not continue: {progress['error']}"
            if progress.get("error")
            else "; it was stopped before it finished"
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
