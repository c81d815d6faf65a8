"""`imagepipe`: the command line (docs/commands.md).

main         the group of commands, and what becomes of errors
options      the options that choose a daemon, before the command or after it
client       one call of XML-RPC, with a sentence for whatever goes wrong
output       tables on a terminal, lines for programs, JSON
the others   a command, or a few that belong together

`imagepipe --help` shall be there at once: a module imports click at its top, and all that takes
longer where it is used.
"""

from imagepipe.cli.main import main

__all__ = ["main"]
