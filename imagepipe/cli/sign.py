"""`imagepipe sign`: the URL of a rendition gets its signature."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imagepipe.cli import output
from imagepipe.cli.errors import CommandFailed
from imagepipe.cli.options import Command, config_of, config_option

if TYPE_CHECKING:
    from urllib.parse import SplitResult

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([0-9]{1,12})\s*([smhd]?)", re.ASCII)


@click.command(cls=Command)
@click.argument("url")
@click.option(
    "--expires", metavar="TIME", help="How long it holds: 30 m, 2 h, 7 d; or until when, as @ and a Unix time: @1800000000.  [default: for ever]"
)
@click.option(
    "--secret-file",
    type=click.Path(dir_okay=False),
    envvar="IMAGEPIPE_SECRET_FILE",
    show_envvar=True,
    metavar="FILE",
    help="Has the key in its first line.",
)
@config_option("An imagepipe.ini: the first key of [http] secrets is taken.")
def sign(url: str, expires: str | None, secret_file: str | None, config: str | None) -> None:
    """Sign the URL of a rendition.

    Prints URL, which may also be a path alone, with the signature that a daemon with [http] secrets wants, as the last of its query. No daemon is asked. What the
    query of URL has is kept, but for an older signature.

    For example:
      imagepipe sign http://localhost:7000/cats/1/w500.jpg --expires '7 d'
      imagepipe sign /cats/1/x300.webp --secret-file key --expires @1800000000

    Exit status: 0; 1 there is no key; 2 the URL is none.
    """
    import time  # noqa: PLC0415
    from urllib.parse import unquote, urlsplit  # noqa: PLC0415 - slow

    from imagepipe.core.signing import sign as signature_of  # noqa: PLC0415

    until = "" if expires is None else str(_until(expires, time.time()))
    try:
        parts = urlsplit(url)
        path = unquote(parts.path, errors="strict")
    except ValueError:
        raise click.UsageError(f"{url} is no URL") from None
    if not path.startswith("/") or (parts.scheme and not parts.netloc):
        raise click.UsageError(f"{url} is neither a URL nor a path that begins with a slash")
    key = _first_line(secret_file) if secret_file else _configured(config_of(config))
    output.line(_signed(parts, until, signature_of(key, path, until)))


def _until(expires: str, now: float) -> int:
    if expires.startswith("@") and expires[1:].isascii() and expires[1:].isdigit():
        return int(expires[1:])
    found = _DURATION.fullmatch(expires.strip())
    if not found:
        raise click.UsageError(f"--expires {expires} is neither a duration, such as 2 h, nor @ and a Unix time")
    return int(now) + int(found[1]) * _UNITS[found[2]]


def _signed(parts: "SplitResult", until: str, signature: str) -> str:
    kept = [part for part in parts.query.split("&") if part and part.partition("=")[0] not in ("expires", "signature")]
    added = [f"expires={until}"] if until else []
    return parts._replace(query="&".join([*kept, *added, f"signature={signature}"]), fragment="").geturl()


def _first_line(file: str) -> str:
    try:
        with Path(file).open(encoding="utf-8-sig") as opened:
            key = opened.readline(1 << 16).strip()
    except OSError as error:
        raise CommandFailed(f"--secret-file {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CommandFailed(f"--secret-file {file}: is not UTF-8") from None
    if not key:
        raise CommandFailed(f"--secret-file {file}: its first line is empty")
    return key


def _configured(file: Path) -> str:
    from imagepipe.cli.settings import load_settings  # noqa: PLC0415 - slow

    secrets = load_settings(file).http.secrets
    if not secrets:
        raise CommandFailed(f"{file} has no [http] secrets: URLs need no signature there")
    return secrets[0]
