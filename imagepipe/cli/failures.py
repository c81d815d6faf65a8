"""The errors that end a command: a sentence for stderr, and an exit status."""

from imagepipe.core.printable import printable

FAILED = 1
USAGE = 2
INTERRUPTED = 130


class CommandFailed(Exception):
    """The command did not do all that it was asked to."""

    status = FAILED


class CallFailed(CommandFailed):
    """The daemon could not be reached, or did not answer as an imagepipe."""


class Unreachable(CallFailed):
    """The connection could not be made, or broke: a retry may succeed."""


class FaultReturned(CommandFailed):
    """The daemon answered with a fault."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(printable(text))
        self.code = code
