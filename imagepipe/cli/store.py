"""`imagepipe store`: files are stored, as they are or rendered to one or several sizes."""

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
"""Of a side, as far as the command knows: the daemon has its own max_size."""


@dataclass(frozen=True, slots=True)
class SizeOption:
    """A --size: the output with this suffix fits into width x height. format: "" for the path's
    own. method: "", composite or crop.
    """

    suffix: str
    width: int
    height: int
    format: str = ""
    method: str = ""


# generic since click 8.3, and not before
class SizeType(click.ParamType):  # type: ignore[type-arg]
    """`SUFFIX W H [FORMAT] [composite|crop]`; without SUFFIX where the name stays as it is."""

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
        "Where to store it: the image's path, or, ending in /, the folder for all files.  [default:"
        " the name of the file]"
    ),
)
@click.option(
    "--size",
    "sizes",
    type=SizeType(),
    multiple=True,
    metavar="'[SUFFIX] W H [FORMAT] [composite|crop]'",
    help="A size to render; may be repeated.",
)
@click.option(
    "--fmt",
    default="",
    metavar="FORMAT",
    help="Format and extension of what is rendered: jpg, png, webp, ...",
)
@click.option("--composite", is_flag=True, help="Centre on a canvas of exactly the size.")
@click.option("--crop", is_flag=True, help="Fill exactly the size, and cut off what stands out.")
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

    Each FILE (- is the standard input) is stored byte for byte, or, with --size or --fmt, rendered:
    the SUFFIX of a size goes before the extension, and all sizes of a file appear, or none. What is
    there is replaced. Once the daemon has an image on its disk, the file and the image's path are
    printed, a line for each image.

    For example:
      imagepipe store photo.jpg --path x/y/photo.jpg
      imagepipe store *.jpg --path holidays/
      imagepipe store photo.jpg --path x/photo.jpg --size '500 500' --size '_s 50 50 png crop'
      curl -s https://example.org/cat | imagepipe store - --path cat.jpg

    Exit status: 0 all are stored; 1 some are not (the others are); 2 wrong usage, nothing was
    stored.
    """
    if composite and crop:
        raise click.UsageError("--composite and --crop exclude each other")
    if len({size.suffix for size in sizes}) < len(sizes):
        raise click.UsageError("two of --size have the same suffix")
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
        raise click.UsageError("--path of several files is a folder: let it end in /")
    if "-" in files and (path is None or is_folder):
        raise click.UsageError("the standard input has no name: say --path")
    folder = path if is_folder and path else ""
    return {
        file: path if path is not None and not is_folder else folder + Path(file).name
        for file in files
    }


def _stored_paths(target: str, arguments: tuple[object, ...]) -> tuple[str, ...]:
    """The paths of the images that the call stores; the target itself where the daemon will say why
    it refuses it.
    """
    from imagepipe.core.requests.request import parse_store  # noqa: PLC0415 - slow
    from imagepipe.errors import BadRequest  # noqa: PLC0415

    try:
        fmt, size, composite, crop = arguments
        return parse_store(target, fmt, size, composite, crop, _SIZE_MAX).paths
    except BadRequest:
        return (target,)


def _refuse_to_overwrite(stored: dict[str, tuple[str, ...]]) -> None:
    """Raise UsageError if images of two files would be stored at one path: the later would replace
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
    """fmt, size, composite and crop of store_image. What a size says itself goes before what is
    said for all.
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
        raise _Unreadable("is larger than 1 GiB")
    return content


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit()
