"""The options that choose the daemon. Each may come before or after the command. Next in order are
the environment, -c FILE and the default.

    imagepipe --port 8185 list
    imagepipe list --port 8185
    IMAGEPIPE_PORT=8185 imagepipe list
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imagepipe.cli.failures import CommandFailed

if TYPE_CHECKING:
    from imagepipe.cli.client import Client, ServerAddress

HOST = "127.0.0.1"
PORT = 8085
CONFIG = "imagepipe.ini"
TIMEOUT_SECONDS = 300.0

_FILE = click.Path(dir_okay=False)
_Decorated = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """The values of the options; None for those that are not given."""

    host: str | None = None
    port: int | None = None
    user: str | None = None
    password_file: str | None = None
    tls: bool | None = None
    ca_file: str | None = None
    timeout: float | None = None
    config: str | None = None


NAMES = tuple(ConnectionOptions.__dataclass_fields__)


def connection_options(*, environment: bool) -> Callable[[_Decorated], _Decorated]:
    """Adds the options, in order. environment: whether they are also read from IMAGEPIPE_HOST and
    so on, as those before the command are.
    """
    options = [
        click.option(
            "--host", metavar="NAME", help=f"Name or address of the daemon.  [default: {HOST}]"
        ),
        click.option(
            "--port",
            type=click.IntRange(1, 65535),
            metavar="N",
            help=f"Its port for XML-RPC.  [default: {PORT}]",
        ),
        click.option("--user", metavar="NAME", help="One of the users of [network] users."),
        click.option(
            "--password-file",
            type=_FILE,
            metavar="FILE",
            help="Read the password from the first line of FILE.  [default: prompt for it]",
        ),
        click.option("--tls/--no-tls", default=None, help="Use TLS.  [default: no]"),
        click.option(
            "--ca-file",
            type=_FILE,
            metavar="FILE",
            help=(
                "PEM file of the certificate authorities to trust with --tls.  [default: the"
                " system's]"
            ),
        ),
        click.option(
            "--timeout",
            type=click.FloatRange(0.001),
            metavar="SECONDS",
            help=f"How long to wait for an answer.  [default: {TIMEOUT_SECONDS:g}]",
        ),
        click.option(
            "-c",
            "--config",
            type=_FILE,
            metavar="FILE",
            help="Find the daemon on this machine by its imagepipe.ini.",
        ),
    ]

    def decorate(function: _Decorated) -> _Decorated:
        for option in reversed(options):
            function = option(function)
        parameters: list[click.Option] = getattr(function, "__click_params__", [])
        for parameter in parameters if environment else ():
            if parameter.name in NAMES:
                parameter.envvar = f"IMAGEPIPE_{parameter.name.upper()}"
                parameter.show_envvar = True
        return function

    return decorate


class Command(click.Command):
    """A command whose docstring is its help; paragraphs with indented lines are printed as is."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        paragraphs = inspect.cleandoc(self.help or "").split("\n\n")
        self.help = "\n\n".join(f"\b\n{text}" if "\n  " in text else text for text in paragraphs)


class DaemonCommand(Command):
    """A command that talks to a daemon. Its callback gets a ServerAddress as the first argument."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)

        @connection_options(environment=False)
        def nothing() -> None: ...

        self.params += reversed(nothing.__click_params__)  # type: ignore[attr-defined]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Print the command's own options, then the common ones."""
        own: list[tuple[str, str]] = []
        general: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            # Some versions of click list arguments too; the text above describes them.
            if isinstance(parameter, click.Option) and (record := parameter.get_help_record(ctx)):
                (general if parameter.name in NAMES else own).append(record)
        with formatter.section("Options"):
            formatter.write_dl(own)
        with formatter.section("Daemon (also read from IMAGEPIPE_HOST and so on)"):
            formatter.write_dl(general)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        own = ConnectionOptions(**{name: ctx.params.pop(name) for name in NAMES})
        general: ConnectionOptions = ctx.find_object(ConnectionOptions) or ConnectionOptions()
        given = {name: getattr(own, name) for name in NAMES if getattr(own, name) is not None}
        assert self.callback
        return ctx.invoke(self.callback, server_of(replace(general, **given)), **ctx.params)


def daemon_command(**settings: Any) -> Callable[[_Decorated], DaemonCommand]:
    """Turns a function into a DaemonCommand."""
    return click.command(cls=DaemonCommand, **settings)


def config_option(text: str) -> Callable[[_Decorated], _Decorated]:
    """The -c of a command that works on a file instead of a daemon; `config_of` evaluates it."""
    return click.option(
        "-c", "--config", type=click.Path(), metavar="FILE", help=f"{text}  [default: {CONFIG}]"
    )


def config_of(given: str | None) -> Path:
    """The file given after the command, before it, or in the environment."""
    general = click.get_current_context().find_object(ConnectionOptions)
    return Path(given or (general and general.config) or CONFIG)


def server_of(connection: ConnectionOptions) -> "ServerAddress":
    """The daemon that the options choose."""
    from imagepipe.cli.client import ServerAddress

    if connection.config:
        connection = _from_file(connection, Path(connection.config))
    if connection.ca_file and connection.tls is None:
        connection = replace(connection, tls=True)
    if connection.password_file and connection.user is None:
        raise click.UsageError("--password-file needs --user")
    return ServerAddress(
        host=connection.host or HOST,
        port=connection.port or PORT,
        user=connection.user,
        password=_password(connection),
        tls=bool(connection.tls),
        ca_file=connection.ca_file,
        timeout_seconds=connection.timeout or TIMEOUT_SECONDS,
    )


def client_of(server: "ServerAddress") -> "Client":
    """A client of the daemon."""
    from imagepipe.cli.client import Client

    return Client(server)


def _password(connection: ConnectionOptions) -> str | None:
    if connection.user is None:
        return None
    if not connection.password_file:
        return str(click.prompt(f"Password of {connection.user}", hide_input=True, err=True))
    try:
        with Path(connection.password_file).open(
            encoding="utf-8", errors="surrogateescape"
        ) as file:
            return file.readline(1 << 16).rstrip("\r\n")
    except OSError as error:
        raise CommandFailed(
            f"--password-file {connection.password_file}: {error.strerror}"
        ) from None


def _from_file(connection: ConnectionOptions, file: Path) -> ConnectionOptions:
    """`connection`, completed from an imagepipe.ini."""
    from imagepipe.cli.config_file import load_settings

    network = load_settings(file).network
    if network.endpoint and not connection.port:
        raise CommandFailed(
            f"{file}: [network] endpoint = {network.endpoint}: use --host and --port"
        )
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}
    host = connection.host or everywhere.get(network.interface, network.interface)
    tls = connection.tls if connection.tls is not None else network.tls_certificate is not None
    return replace(connection, host=host, port=connection.port or network.port, tls=tls)
