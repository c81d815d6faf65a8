"""Paths, and files that must exist: text of imagepipe.ini -> value."""

import os
from pathlib import Path

from configobj.validate import ValidateError

from imagepipe.config.values import Value, many, one

_FILE_BYTES_MAX = 1 << 20


def absolute_path(start: Path, value: Value) -> Path:
    """A path; a relative one starts at the folder `start`."""
    text = one(value)
    if text.startswith("~"):
        raise ValidateError("`~` is not expanded: write the full path")
    # normpath and not resolve: a symbolic link may be switched to another release while the daemon
    # runs.
    return Path(os.path.normpath(start / text))


def readable_file(path: Path) -> Path:
    """`path`, if it is a file that can be read."""
    if not path.exists():
        raise ValidateError(f"there is no file {path}")
    if not path.is_file():
        raise ValidateError(f"{path} is not a file")
    if not os.access(path, os.R_OK):
        raise ValidateError(f"{path} cannot be read: check its owner and mode")
    return path


def existing_folder(path: Path) -> Path:
    """`path`, if it is a folder that can be read."""
    if not path.is_dir():
        raise ValidateError(f"there is no folder {path}")
    if not os.access(path, os.R_OK | os.X_OK):
        raise ValidateError(f"{path} cannot be read: check its owner and mode")
    return path


def secrets_in(path: Path) -> tuple[str, ...]:
    """The keys in a file with one key per line; empty lines are skipped."""
    with path.open("rb") as file:
        content = file.read(_FILE_BYTES_MAX)
    try:
        lines = [line.strip() for line in content.decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise ValidateError(
            f"{path} is not UTF-8: write one key per line, such as 64 hex digits"
        ) from None
    keys = [line for line in lines if line]
    if not keys:
        raise ValidateError(f"{path} is empty: write one key per line")
    return many(keys)


def program(value: Value) -> Path:
    """The full path of a program. Whether it exists is checked where it is needed."""
    path = Path(one(value))
    if not path.is_absolute():
        raise ValidateError(
            "is not a full path: write one such as /usr/bin/convert, because the first match in"
            " PATH may be another program"
        )
    return path
