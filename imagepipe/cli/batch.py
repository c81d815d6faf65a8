"""A run over a range of ids, as the user sees it: a progress bar on a terminal or else a line per
record, then a summary, the failures, and how to continue.
"""

import contextlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagepipe.cli import output
from imagepipe.cli.failures import FAILED, INTERRUPTED, CommandFailed
from imagepipe.cli.options import client_of

if TYPE_CHECKING:
    from imagepipe.cli.client import Client, ServerAddress
    from imagepipe.cli.parallel import Record, Task

_FAILURES_KEPT = 1000


@dataclass(frozen=True, slots=True)
class BatchRun:
    """A run. run: identifies it in its state file. check: called once before the first id; a fault
    ends the run. state: the state file; None for the default one.
    """

    run: dict[str, Any]
    start: int
    end: int
    path_of: Callable[[int], str]
    check: "Callable[[Client], None]"
    task: "Task"
    concurrency: int
    patience_seconds: float
    state: str | None
    restart: bool
    as_json: bool


def carry_out(server: "ServerAddress", batch: BatchRun) -> int:
    """Run the batch and return the exit status."""
    from imagepipe.cli import resume
    from imagepipe.cli.parallel import Parallel

    run = {
        **batch.run,
        "host": server.host,
        "port": server.port,
        "start": batch.start,
        "end": batch.end,
    }
    file = Path(batch.state) if batch.state else resume.default_file(run)
    total = batch.end - batch.start + 1
    with resume.opened(file, run, (batch.start, batch.end), restart=batch.restart) as state:
        if state.done_before:
            output.warn(
                f"continuing: {state.done_before} of {total} are already done ({file}; use"
                " --restart to start over)"
            )
        parallel = Parallel(
            server, batch.task, batch.path_of, batch.concurrency, batch.patience_seconds
        )
        results: Counter[str] = Counter()
        failures: list[Record] = []
        with client_of(server) as client:
            batch.check(client)
        try:
            with (
                contextlib.closing(parallel.run(state.left.ids(), len(state.left))) as records,
                _shown(batch, total, state.done_before) as show,
            ):
                for record in records:
                    if record is None:
                        state.catch_up()
                        continue
                    results[record.result] += 1
                    if not record.is_failed:
                        state.done(record.id)
                    elif len(failures) < _FAILURES_KEPT:
                        failures.append(record)
                    show(record)
        except KeyboardInterrupt:
            parallel.was_interrupted = True
        except CommandFailed as error:
            _summarize(results, failures)
            raise CommandFailed(f"{error}; {_resume_hint(len(state.left), total, file)}") from None
        _summarize(results, failures)
        if parallel.was_interrupted:
            output.warn(f"interrupted: {_resume_hint(len(state.left), total, file)}")
            return INTERRUPTED
        if results["failed"]:
            output.warn(f"run the same command again to retry those that failed ({file})")
            return FAILED
    return 0


def _summarize(results: "Counter[str]", failures: "list[Record]") -> None:
    for record in failures:
        output.warn(f"{record.path}: {record.error}")
    if results["failed"] > len(failures):
        output.warn(f"and {results['failed'] - len(failures)} more that failed")
    summary = (
        ", ".join(f"{count} {result}" for result, count in sorted(results.items()) if count)
        or "nothing"
    )
    print(
        f"imagepipe: {summary}", file=sys.stdout if output.is_terminal() else sys.stderr, flush=True
    )


def _resume_hint(left: int, total: int, file: Path) -> str:
    return f"{total - left} of {total} are done; run the same command again to continue ({file})"


@contextlib.contextmanager
def _shown(batch: BatchRun, total: int, done: int) -> "Iterator[Callable[[Record], None]]":
    """Yields a callback that shows a record."""
    if batch.as_json or not output.is_terminal():
        yield _json_line if batch.as_json else _line
        return
    from imagepipe.cli.progress_bar import ProgressBar

    with ProgressBar(batch.run["command"], total, done) as bar:
        yield lambda record: bar.advance(failed=record.is_failed)


def _json_line(record: "Record") -> None:
    print(json.dumps(asdict(record)), flush=True)


def _line(record: "Record") -> None:
    output.line(record.path, record.result, record.error)
    sys.stdout.flush()
