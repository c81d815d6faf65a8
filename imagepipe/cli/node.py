"""`imagepipe check-config` and `keygen`: on the node itself, before its daemon starts."""

from pathlib import Path

import click

from imagepipe.cli import output
from imagepipe.cli.failures import FAILED, CommandFailed
from imagepipe.cli.options import Command, config_of, config_option


@click.command(name="check-config", cls=Command)
@config_option("The configuration file.")
def check_config(config: str | None) -> int:
    """Check a configuration file.

    Prints everything that is wrong with it, a line each, in the words of the daemon, which does not
    start before all of it is mended; and what is not wrong, but may surprise, as warnings. Nothing
    is started and nothing is changed.

    For example:
      imagepipe check-config
      imagepipe check-config -c /etc/imagepipe.ini && systemctl reload imagepipe

    Exit status: 0 a daemon can use it; 1 it has problems.
    """
    from imagepipe.daemon.offline import check  # noqa: PLC0415 - slow
    from imagepipe.errors import ConfigError, StartError  # noqa: PLC0415

    file = config_of(config)
    try:
        settings = check(file)
    except ConfigError as error:
        problems = error.problems
    except StartError as error:
        problems = (str(error),)
    else:
        for warning in settings.warnings:
            output.warn(f"{file}: warning: {warning}")
        output.line(f"{file} is good")
        return 0
    for problem in problems:
        output.warn(problem)
    return FAILED


@click.command(cls=Command)
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False))
def keygen(folder: str) -> None:
    """Make a node's keys for replication.

    Writes a new pair, server.key_secret and server.key, and a folder authorized for the server.key
    of each peer, into DIR, which is made if need be. Name it in [replication] keys. Keys that are
    there are never replaced.

    For example:
      imagepipe keygen keys
      scp keys/server.key south:keys/authorized/north.key

    Exit status: 0; 1 there are keys already, or they cannot be written.
    """
    from imagepipe.errors import StartError  # noqa: PLC0415

    # slow
    from imagepipe.replication.zmq.curve_keys import PUBLIC_FILE, create_keys  # noqa: PLC0415

    try:
        create_keys(Path(folder))
    except StartError as error:
        raise CommandFailed(str(error)) from None
    output.line(f"{folder}/{PUBLIC_FILE} is for the peers; everything else stays here")
