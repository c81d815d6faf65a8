"""`imagepipe store`: stores files, as they are or rendered to one or several sizes."""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imagepipe.cli import output
from imagepipe.cli.failures import FAILED, CommandFailed, FaultReturned
from imagepipe.cli.options import client_of, daemon_command

if TYPE_CHECKING:
    from imagepipe.cli.client import ServerAddress

_METHODS = ("composite", "crop")
_FILE_BYTES_MAX = 1 << 30
_SIZE_MAX = 1 << 30
"""The command's own limit for a side in pixels; the daemon checks max_size."""


@dataclass(frozen=True, slots=True)
class SizeOption:
    """A --size: the output with this suffix fits into width x height. format: "" for that of the
    path. method: "", composite or crop.
    """

    suffix: str
    width: int
    height: int
    format: str = ""
    method: str = ""


# generic since click 8.3, and not before
class SizeType(click.ParamType):  # type: ignore[type-arg]
    """`[SUFFIX] W H [FORMAT] [composite|crop]`; without SUFFIX, the name stays as it is."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The text as a SizeOption."""
        try:
            words = shlex.split(value)
        except ValueError:
            words = []
        method = words.pop() if words and words[-1] in _METHODS else ""
        if len(words) < 3 or not (_is_number(words[1]) and _is_number(words[2])):
            words.insert(0, "")  # no suffix
        if len(words) not in (3, 4) or not (_is_number(words[1]) and _is_number(words[2])):
            self.fail(
                f"{value!r} is not like 'SUFFIX WIDTH HEIGHT [FORMAT] [composite|crop]', such as"
                " '_s 50 50' or '500 500 webp crop'",
                param,
                ctx,
            )
        return SizeOption(
            words[0], int(words[1]), int(words[2]), words[3] if len(words) == 4 else "", method
        )


@daemon_command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option(
    "--path",
    metavar="PATH",
    help=(
        "Where to store it: the path of the image, or, if it ends in /, a folder for all files. "
        " [default: the name of the file]"
    ),
)
@click.option(
    "--size",
    "sizes",
    type=SizeType(),
    multiple=True,
    metavar="'[SUFFIX] W H [FORMAT] [composite|crop]'",
    help="A size to render; can be repeated.",
)
@click.option(
    "--fmt",
    default="",
    metavar="FORMAT",
    help="The format and extension of the outputs: jpg, png, webp, ...",
)
@click.option(
    "--composite", is_flag=True, help="Centre the image on a canvas of exactly that size."
)
@click.option("--crop", is_flag=True, help="Fill exactly that size and crop the excess.")
def store(
    server: "ServerAddress",
    files: tuple[str, ...],
    path: str | None,
    sizes: tuple[SizeOption, ...],
    fmt: str,
    composite: bool,
    crop: bool,
) -> int:
    """Store images.

    Each FILE (- for standard input) is stored byte for byte or, with --size or --fmt, rendered. The
    SUFFIX of a size goes before the extension. Either all sizes of a file are stored or none.
    Existing images are replaced. Once an image is on the daemon's disk, the file and the path of
    the image are printed, one line per image.

    For example:
      imagepipe store photo.jpg --path x/y/photo.jpg
      imagepipe store *.jpg --path holidays/
      imagepipe store photo.jpg --path x/photo.jpg --size '500 500' --size '_s 50 50 png crop'
      curl -s https://example.org/cat | imagepipe store - --path cat.jpg

    Exit status: 0 all are stored; 1 some are not; 2 wrong usage, nothing was stored.
    """
    if composite and crop:
        raise click.UsageError("--composite and --crop exclude each other")
    if len({size.suffix for size in sizes}) < len(sizes):
        raise click.UsageError("two --size options have the same suffix")
    targets = _targets(files, path)
    arguments = _arguments(sizes, fmt, composite=composite, crop=crop)
    stored = {file: _stored_paths(target, arguments) for file, target in targets.items()}
    _refuse_to_overwrite(stored)
    failed = 0
    with client_of(server) as client:
        for file, target in targets.items():
            try:
                client.call("store_image", _read(file), target, *arguments)
                for image in stored[file]:
                    output.line(file, image)
            except (CommandFailed, FaultReturned) as error:
                if not isinstance(error, FaultReturned | _Unreadable):
                    raise
                failed += 1
                output.warn(f"{file}: {error}")
    return FAILED if failed else 0


class _Unreadable(CommandFailed):
    pass


def _targets(files: tuple[str, ...], path: str | None) -> dict[str, str]:
    """File -> path."""
    is_folder = path is not None and path.endswith("/")
    if path is not None and not is_folder and len(files) > 1:
        raise click.UsageError("--path must be a folder for several files: end it with /")
    if "-" in files and (path is None or is_folder):
        raise click.UsageError("standard input has no name: use --path")
    folder = path if is_folder and path else ""
    return {
        file: path if path is not None and not is_folder else folder + Path(file).name
        for file in files
    }


def _stored_paths(target: str, arguments: tuple[object, ...]) -> tuple[str, ...]:
    """The paths of the images that the call stores; the target itself if the daemon will refuse
    it.
    """
    from imagepipe.core.requests.call_arguments import parse_store
    from imagepipe.errors import BadRequest

    try:
        fmt, size, composite, crop = arguments
        return parse_store(target, fmt, size, composite, crop, _SIZE_MAX).paths
    except BadRequest:
        return (target,)


def _refuse_to_overwrite(stored: dict[str, tuple[str, ...]]) -> None:
    """Raise UsageError if two files would be stored at the same path: the later one would replace
    the earlier.
    """
    file_of: dict[str, str] = {}
    for file, images in stored.items():
        for image in images:
            if file_of.setdefault(image, file) != file:
                raise click.UsageError(
                    f"{file_of[image]} and {file} would both be stored at {image}"
                )


def _arguments(
    sizes: tuple[SizeOption, ...], fmt: str, *, composite: bool, crop: bool
) -> tuple[object, ...]:
    """fmt, size, composite and crop of store_image. What a --size says takes precedence over the
    options for all.
    """
    if not sizes:
        return fmt, None, int(composite), int(crop)
    methods = {
        size.suffix: size.method or ("composite" if composite else "crop" if crop else "")
        for size in sizes
    }
    return (
        {size.suffix: size.format or fmt for size in sizes},
        {size.suffix: [size.width, size.height] for size in sizes},
        {suffix: int(method == "composite") for suffix, method in methods.items()},
        {suffix: int(method == "crop") for suffix, method in methods.items()},
    )


def _read(file: str) -> bytes:
    try:
        if file == "-":
            content = sys.stdin.buffer.read(_FILE_BYTES_MAX + 1)
        else:
            with Path(file).open("rb") as opened:
                content = opened.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise _Unreadable(error.strerror or str(error)) from None
    if len(content) > _FILE_BYTES_MAX:
        raise _Unreadable("larger than 1 GiB")
    return content


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit()
