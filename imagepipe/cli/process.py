"""`imagepipe process` and `imagepipe pull`: render or fetch a range of ids."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from imagepipe.cli.batch import BatchRun, carry_out
from imagepipe.cli.options import daemon_command

if TYPE_CHECKING:
    from imagepipe.cli.client import Client, ServerAddress
    from imagepipe.cli.parallel import Record

_COUNT_MAX = 10**15
_FULL = "[1004]"


def _range_options(concurrency: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options of a run over a range."""
    options = [
        click.option(
            "--namespace",
            required=True,
            metavar="PATH",
            help="The folder that contains the ids: with p, the image 7 is at p/7.",
        ),
        click.option(
            "--start", required=True, type=click.IntRange(0), metavar="ID", help="The first id."
        ),
        click.option(
            "--end",
            required=True,
            type=click.IntRange(0),
            metavar="ID",
            help="The last id, inclusive.",
        ),
        click.option(
            "--concurrency",
            type=click.IntRange(1, 1000),
            default=concurrency,
            show_default=True,
            metavar="N",
            help="The number of ids to work on at a time.",
        ),
        click.option(
            "--patience",
            type=click.FloatRange(0),
            default=60.0,
            show_default=True,
            metavar="SECONDS",
            help="How long to wait for a daemon that does not answer.",
        ),
        click.option(
            "--state",
            type=click.Path(dir_okay=False),
            metavar="FILE",
            help=(
                "The file that records the progress.  [default: a file in"
                " $XDG_STATE_HOME/imagepipe, a separate one for each daemon and range]"
            ),
        ),
        click.option("--restart", is_flag=True, help="Start over and ignore earlier runs."),
        click.option(
            "--json", "as_json", is_flag=True, help="Print one JSON object per line for each id."
        ),
    ]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


@daemon_command()
@click.option(
    "--outputs",
    required=True,
    metavar="NAME,NAME...",
    help="The renditions: w500.jpg, x300.webp, 300x400-q60.jpg, ...",
)
@_range_options(concurrency=8)
def process(server: "ServerAddress", outputs: str, **options: Any) -> int:
    """Render a range of images.

    Renders each rendition in --outputs of every image from --start to --end, inclusive, in
    --namespace into the daemon's cache, unless it is cached already. Shows a progress bar on a
    terminal; otherwise prints a line for each image with its path, the result ("rendered", "cached"
    or "failed") and the reason for a failure.

    The command waits while the daemon's queue is full, and up to --patience while the daemon does
    not answer. The progress is recorded in a file: after Ctrl-C or any other interruption, the same
    command continues, and retries the ids that failed.

    For example:
      imagepipe process --namespace p --outputs x300.jpg,x300.webp --start 1000000 --end 1001000
      imagepipe process --namespace avatars --outputs w500.auto --start 1 --end 50000

    Exit status: 0 all are rendered; 1 some failed (they are listed), or the daemon could not be
    reached; 130 interrupted.
    """
    from imagepipe.cli.parallel import FAILED, Record

    names = _checked_outputs(outputs)
    path_of = _checked_range(options)

    def check(client: "Client") -> None:
        client.call("admin.check_outputs", names)

    def task(client: "Client", id: int) -> "Record":
        rows = client.call("admin.render_outputs", path_of(id), names)
        failed = [f"{row['output']}: {row['error']}" for row in rows if row["result"] == FAILED]
        _try_again_if_full(rows)
        result = (
            FAILED
            if failed
            else "rendered"
            if any(row["result"] == "rendered" for row in rows)
            else "cached"
        )
        return Record(id, path_of(id), result, "; ".join(failed))

    return _carry_out(
        server, {"command": "process", "outputs": names}, path_of, check, task, options
    )


@daemon_command()
@click.option(
    "--source",
    default="",
    metavar="URL",
    help=(
        "The URL of the originals, with {id} in place of the id; it must be below one of [http]"
        " sources.  [default: [http] source_base and the path]"
    ),
)
@_range_options(concurrency=100)
def pull(server: "ServerAddress", source: str, **options: Any) -> int:
    """Fetch a range of originals.

    Lets the daemon fetch the original of every id from --start to --end, inclusive, and store it at
    NAMESPACE/ID/original, unless it is stored already or was deleted. Shows a progress bar on a
    terminal; otherwise prints a line for each id with its path, the result ("fetched", "stored" if
    it was stored already, or "failed") and the reason for a failure. Waits, continues and retries
    like `imagepipe process`.

    For example:
      imagepipe pull --namespace p --start 10000000 --end 10001000 --concurrency 100
      imagepipe pull --namespace p --start 1 --end 9 --source 'https://photos.example.org/{id}.jpg'

    Exit status: 0 all are stored; 1 some failed (they are listed), or the daemon could not be
    reached; 130 interrupted.
    """
    from imagepipe.cli.parallel import Record

    if source and "{id}" not in source:
        raise click.UsageError("--source does not contain {id}: every id would be the same image")
    path_of = _checked_range(options)

    def task(client: "Client", id: int) -> "Record":
        answer = client.call("admin.fetch_original", path_of(id), source.replace("{id}", str(id)))
        return Record(id, path_of(id), "fetched" if answer["fetched"] else "stored")

    return _carry_out(
        server, {"command": "pull", "source": source}, path_of, _nothing_to_check, task, options
    )


def _nothing_to_check(_client: "Client") -> None:
    """Whether an original can be fetched is known only once it has been requested."""


def _carry_out(
    server: "ServerAddress",
    run: dict[str, Any],
    path_of: Callable[[int], str],
    check: Callable[["Client"], None],
    task: Any,
    options: dict[str, Any],
) -> int:
    batch = BatchRun(
        run={**run, "namespace": path_of(0).removesuffix("/0")},
        start=options["start"],
        end=options["end"],
        path_of=path_of,
        check=check,
        task=task,
        concurrency=options["concurrency"],
        patience_seconds=options["patience"],
        state=options["state"],
        restart=options["restart"],
        as_json=options["as_json"],
    )
    return carry_out(server, batch)


def _checked_outputs(outputs: str) -> list[str]:
    from imagepipe.core.rendering.renditions import parse

    names = [name.strip() for name in outputs.split(",") if name.strip()]
    if not names:
        raise click.UsageError("--outputs names no rendition")
    for name in names:
        if parse(name) is None:
            raise click.UsageError(
                f"--outputs: {name} is not the name of a rendition, such as w500.jpg, x300.webp or"
                " 300x400-q60.jpg"
            )
    return list(dict.fromkeys(names))


def _checked_range(options: dict[str, Any]) -> Callable[[int], str]:
    """Id -> path."""
    from imagepipe.core.paths import clean
    from imagepipe.errors import BadRequest

    if options["end"] < options["start"]:
        raise click.UsageError(f"--end {options['end']} is less than --start {options['start']}")
    if options["end"] - options["start"] >= _COUNT_MAX:
        raise click.UsageError("too many ids (at most 10^15)")
    try:
        namespace = clean(f"{options['namespace']}/0").removesuffix("/0")
    except BadRequest as error:
        raise click.UsageError(f"--namespace {error}") from None
    if namespace in ("", "0"):
        raise click.UsageError("--namespace is empty")
    return lambda id: f"{namespace}/{id}"


def _try_again_if_full(rows: list[dict[str, str]]) -> None:
    """Raise FaultReturned if the daemon's queue was full, which does not count as a failure."""
    from imagepipe.cli.failures import FaultReturned
    from imagepipe.cli.parallel import OVERLOADED

    for row in rows:
        if row["error"].startswith(_FULL):
            raise FaultReturned(OVERLOADED, row["error"])
