"""What ends a command: a sentence for stderr, and an exit status."""

from imagepipe.core.printable import printable

FAILED = 1
USAGE = 2
INTERRUPTED = 130


class CommandFailed(Exception):
    """The command did not do what it was asked to, or not all of it."""

    status = FAILED


class CallFailed(CommandFailed):
    """The daemon was not reached, or did not answer as one."""


class Unreachable(CallFailed):
    """The connection cannot be made, or broke: a little later it may hold."""


class FaultReturned(CommandFailed):
    """The daemon answered with a fault."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(printable(text))
        self.code = code
