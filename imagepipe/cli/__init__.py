"""`imagepipe`: the command line (docs/reference/commands.md).

main         the group of commands, and how errors are reported
options      the options that choose a daemon, before or after the command
client       XML-RPC calls, with a sentence for everything that can go wrong
output       tables on a terminal, lines for programs, JSON
the others   one command each, or what several commands share

`imagepipe --help` must answer at once: modules import click at the top, and everything slower where
it is used.
"""

from imagepipe.cli.main import main

__all__ = ["main"]
