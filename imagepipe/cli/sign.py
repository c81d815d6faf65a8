"""`imagepipe sign`: signs the URL of a rendition."""

import re
from pathlib import Path
from urllib.parse import quote, urlsplit

import click

from imagepipe.cli import output
from imagepipe.cli.failures import CommandFailed
from imagepipe.cli.options import Command, config_of, config_option

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([0-9]{1,12})\s*([smhd]?)", re.ASCII)
_IN_PATHS = "/%!$&'()*+,;=:@~"
_IN_QUERIES = _IN_PATHS + "?"
_CONTROL = re.compile("[\0-\x1f\x7f]")


@click.command(cls=Command)
@click.argument("url")
@click.option(
    "--expires",
    metavar="TIME",
    help=(
        "How long the signature is valid: 30 m, 2 h, 7 d; or until when, as @ and a Unix time:"
        " @1800000000.  [default: forever]"
    ),
)
@click.option(
    "--secret-file",
    type=click.Path(dir_okay=False),
    envvar="IMAGEPIPE_SECRET_FILE",
    show_envvar=True,
    metavar="FILE",
    help="Read the key from the first line of FILE.",
)
@config_option("Take the first key of [http] secrets of an imagepipe.ini.")
def sign(url: str, expires: str | None, secret_file: str | None, config: str | None) -> None:
    """Sign the URL of a rendition.

    Prints URL, which may also be just a path, with the signature that a daemon with [http] secrets
    expects at the end of the query. No daemon is contacted. Spaces and non-ASCII letters may be
    written as they are and are printed percent-encoded; write a percent sign as %25. Other query
    parameters are kept, and an older signature is replaced.

    For example:
      imagepipe sign http://localhost:7000/cats/1/w500.jpg --expires '7 d'
      imagepipe sign /cats/1/x300.webp --secret-file key --expires @1800000000

    Exit status: 0 signed; 1 there is no key; 2 URL is malformed.
    """
    import time

    from imagepipe.core.requests.signing import sign as signature_of

    until = "" if expires is None else str(_until(expires, time.time()))
    base, path, query = _encoded(url)
    key = _first_line(secret_file) if secret_file else _configured(config_of(config))
    kept = [
        part
        for part in query.split("&")
        if part and part.partition("=")[0] not in ("expires", "signature")
    ]
    added = [f"expires={until}"] if until else []
    output.line(
        f"{base}?" + "&".join([*kept, *added, f"signature={signature_of(key, path, until)}"])
    )


def _encoded(url: str) -> tuple[str, str, str]:
    """(the URL up to its query, percent-encoded; its path, as the daemon will decode it; its query,
    percent-encoded).
    """
    from imagepipe.core.requests.targets import decode
    from imagepipe.errors import BadRequest

    try:
        parts = urlsplit(url)
        host = parts.netloc if parts.netloc.isascii() else parts.netloc.encode("idna").decode()
        encoded, query = quote(parts.path, _IN_PATHS), quote(parts.query, _IN_QUERIES)
        if not parts.path.startswith("/") or (parts.scheme and not host) or _CONTROL.search(url):
            raise ValueError  # noqa: TRY301 - the same answer as urlsplit's own refusals
    except ValueError:
        raise click.UsageError(
            f"{url} is neither a URL nor a path that starts with a slash"
        ) from None
    if parts.fragment:
        raise click.UsageError(
            f"{url} has a fragment, which is never sent: write # in a path as %23"
        )
    try:
        path = decode(encoded.encode())
    except BadRequest as error:
        raise click.UsageError(f"{url}: {error}") from None
    return parts._replace(netloc=host, path=encoded, query="", fragment="").geturl(), path, query


def _until(expires: str, now: float) -> int:
    if expires.startswith("@") and expires[1:].isascii() and expires[1:].isdigit():
        return int(expires[1:])
    found = _DURATION.fullmatch(expires.strip())
    if not found:
        raise click.UsageError(
            f"--expires {expires} is neither a duration such as 2 h nor @ and a Unix time"
        )
    return int(now) + int(found[1]) * _UNITS[found[2]]


def _first_line(file: str) -> str:
    try:
        with Path(file).open(encoding="utf-8-sig") as opened:
            key = opened.readline(1 << 16).strip()
    except OSError as error:
        raise CommandFailed(f"--secret-file {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CommandFailed(f"--secret-file {file}: not UTF-8") from None
    if not key:
        raise CommandFailed(f"--secret-file {file}: its first line is empty")
    return key


def _configured(file: Path) -> str:
    from imagepipe.cli.config_file import load_settings

    secrets = load_settings(file).http.secrets
    if not secrets:
        raise CommandFailed(f"{file} has no [http] secrets: URLs need no signature there")
    return secrets[0]
