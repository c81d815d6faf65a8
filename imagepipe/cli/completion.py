"""`imagepipe completion`: prints the script with which a shell completes the command line."""

import click

from imagepipe.cli.options import Command


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, /, shell: str) -> None:
    """Print a shell completion script.

    With it, the shell completes commands and options.

    For example:
      imagepipe completion bash > /etc/bash_completion.d/imagepipe
      imagepipe completion zsh > "${fpath[1]}/_imagepipe"
      imagepipe completion fish > ~/.config/fish/completions/imagepipe.fish

    Exit status: 0.
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind
    print(kind(context.find_root().command, {}, "imagepipe", "_IMAGEPIPE_COMPLETE").source())
