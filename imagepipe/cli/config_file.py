"""imagepipe.ini, for the commands that read it: its problems end the command."""

from pathlib import Path
from typing import TYPE_CHECKING

from imagepipe.cli.failures import CommandFailed

if TYPE_CHECKING:
    from imagepipe.config import Settings


def load_settings(file: Path) -> "Settings":
    """The settings in the file. Raises CommandFailed with all its problems."""
    from imagepipe.config import load
    from imagepipe.errors import ConfigError

    try:
        return load(file)
    except ConfigError as error:
        raise CommandFailed(f"{file} has problems: {'; '.join(error.problems)}") from None
