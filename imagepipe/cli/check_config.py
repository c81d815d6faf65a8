"""`imagepipe check-config`: checks a configuration file without starting anything."""

import click

from imagepipe.cli import output
from imagepipe.cli.failures import FAILED
from imagepipe.cli.options import Command, config_of, config_option


@click.command(name="check-config", cls=Command)
@config_option("The configuration file.")
def check_config(config: str | None) -> int:
    """Check a configuration file.

    Prints every problem, one per line, as the daemon would report it; the daemon does not start
    until all of them are fixed. Settings that work but may surprise are printed as warnings.
    Nothing is started and nothing is changed.

    For example:
      imagepipe check-config
      imagepipe check-config -c /etc/imagepipe.ini && systemctl reload imagepipe

    Exit status: 0 the file is valid; 1 it has problems.
    """
    from imagepipe.daemon.offline import check
    from imagepipe.errors import ConfigError, StartError

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
        output.line(f"{file} is valid")
        return 0
    for problem in problems:
        output.warn(problem)
    return FAILED
