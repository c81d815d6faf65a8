"""Every file below a folder, and whether an image could be at its path: for `adopt`, and for
`verify`, which looks for what is no image.
"""

# Names in the tree are bytes, as the disk has them, whatever the locale says; Path knows only text.

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from imagepipe.core import paths
from imagepipe.errors import BadRequest, quoted
from imagepipe.storage.tree.names import PRIVATE, is_leftover

_IN_THE_ROOT = (PRIVATE, b"lost+found")


@dataclass(frozen=True, slots=True)
class WalkedFile:
    """A file, at a path at which an image could be."""

    path: str
    status: os.stat_result


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """Something at a path, made printable, that can be no image, and why. name: its own path; empty
    where it could not be looked at.
    """

    path: str
    why: str
    name: bytes = b""


@dataclass(frozen=True, slots=True)
class _Folder:
    """To go into."""


def walk(root: bytes) -> Iterator[WalkedFile | SkippedFile]:
    """Every file below `root`, in the order of the disk; as many folders are open as it is deep."""
    folders = [(b"", os.scandir(root))]
    try:
        while folders:
            prefix, entries = folders[-1]
            entry = next(entries, None)
            if entry is None:
                folders.pop()[1].close()
                continue
            name = prefix + entry.name
            try:
                found = _look_at(name, entry)
                if isinstance(found, _Folder):
                    folders.append((name + b"/", os.scandir(entry.path)))
                elif found is not None:
                    yield found
            except OSError as error:
                yield SkippedFile(_printable(name), os.strerror(error.errno or 0))
    finally:
        for _, entries in folders:
            entries.close()


def _look_at(
    name: bytes, entry: "os.DirEntry[bytes]"
) -> "WalkedFile | SkippedFile | _Folder | None":
    """What a name in a folder is; None: one of our own. Raises OSError."""
    if name in _IN_THE_ROOT or is_leftover(entry.name, ""):
        return None
    status = entry.stat(follow_symlinks=False)
    if stat.S_ISDIR(status.st_mode) and not entry.name.startswith(b"."):
        if len(name) < paths.PATH_BYTES_MAX:
            return _Folder()
        return SkippedFile(
            _printable(name), "its path is too long, and so is that of all below it", name
        )
    if stat.S_ISLNK(status.st_mode):
        return SkippedFile(_printable(name), "it is a symbolic link", name)
    why = _illegal(name)
    if why is None and not stat.S_ISREG(status.st_mode):
        why = "it is neither a file nor a folder"
    return (
        WalkedFile(name.decode(), status)
        if why is None
        else SkippedFile(_printable(name), why, name)
    )


def _illegal(name: bytes) -> str | None:
    """Why no image can be at this path; None: one can."""
    try:
        path = name.decode()
    except UnicodeDecodeError:
        return "its name is not valid UTF-8"
    try:
        clean = paths.clean(path)
    except BadRequest as error:
        return str(error).removeprefix(f"{error.argument}: ")
    return (
        None
        if clean == path
        else (
            "its name is not in Unicode's normal form NFC, which is"
            f" {quoted(clean, paths.PATH_BYTES_MAX)}"
        )
    )


def _printable(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
