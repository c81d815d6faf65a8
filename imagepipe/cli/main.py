"""The group of commands. Errors become a line on stderr and an exit status, never a traceback.

0    done
1    it failed, at least in part
2    the command line is wrong
130  interrupted by Ctrl-C
"""

import contextlib
import os
import signal
import sys
from typing import Any, NoReturn

import click

from imagepipe import __version__
from imagepipe.cli import (
    adopt,
    check_config,
    completion,
    delete,
    erase,
    history,
    info,
    keygen,
    list_images,
    move,
    output,
    process,
    restore,
    sign,
    status,
    store,
    verify,
)
from imagepipe.cli.failures import FAILED, INTERRUPTED, CommandFailed
from imagepipe.cli.options import ConnectionOptions, connection_options

NAME = "imagepipe"


@click.group(
    epilog=(
        "Exit status: 0 done; 1 failed, at least in part (the output says what); 2 wrong usage;"
        " 130 interrupted.  See `imagepipe COMMAND --help` for details."
    ),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="imagepipe %(version)s")
@connection_options(environment=True)
@click.pass_context
def imagepipe(context: click.Context, /, **connection: Any) -> None:
    """The command line of imagepipe, the image store: store and manage images, and look after a
    daemon.

    The options below choose the daemon; they may also follow the command. `twistd imagepipe -c
    imagepipe.ini` starts one.
    """
    context.obj = ConnectionOptions(**connection)


for command in (
    *(store.store, delete.delete, move.move, info.info, list_images.list_),
    *(process.process, process.pull, sign.sign),
    *(history.history, restore.restore, erase.erase, status.status, verify.verify),
    *(check_config.check_config, keygen.keygen, adopt.adopt, completion.completion),
):
    imagepipe.add_command(command)


def main() -> NoReturn:
    """The console command."""
    output.prepare_streams()
    status = _run()
    # The status is settled: Ctrl-C must not change it while Python exits.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(status)


def _run() -> int:
    try:
        result = _invoke(sys.argv[1:])
        sys.stdout.flush()
    except CommandFailed as error:
        _complain(str(error))
        return error.status
    except click.ClickException as error:
        _complain(error.format_message(), error)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        _complain("the output was closed before everything was printed")
        _forget_output()
        return FAILED
    except OSError as error:
        _complain(
            f"{error.filename}: {error.strerror}"
            if error.filename
            else f"cannot write: {error.strerror}"
        )
        _forget_output()
        return FAILED
    return result if isinstance(result, int) else 0


def _invoke(arguments: list[str]) -> Any:
    """The command's result. Click's own `main` would hide errors of the output."""
    if instruction := os.environ.get(f"_{NAME.upper()}_COMPLETE"):
        from click.shell_completion import shell_complete

        return shell_complete(imagepipe, {}, NAME, f"_{NAME.upper()}_COMPLETE", instruction)
    try:
        with imagepipe.make_context(NAME, arguments) as context:
            return imagepipe.invoke(context)
    except click.exceptions.Exit as end:  # of --help and --version
        return end.exit_code


def _complain(text: str, error: click.ClickException | None = None) -> None:
    text = " ".join(text.split())  # click puts choices on separate lines
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f" (see `{context.command_path} --help`)" if context else ""
    with contextlib.suppress(OSError):  # stderr is closed too
        output.warn(text + hint)


def _forget_output() -> None:
    """Discard what is still buffered: Python would complain about it when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
