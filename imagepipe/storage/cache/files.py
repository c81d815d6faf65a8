"""The render cache's files and folders, and the disk space that is left for them.

    .imagepipe/cache/        0700
      index.sqlite           which renditions there are; and its -wal and -shm
      in-use                 lies here from each opening to a clean close
      GENERATION/12/NUMBER   a rendition, 0600: its number in hex, below the last two digits

A file is never written to again, and its name is never reused: a reader that finds a name in the
index and opens it a moment later gets that rendition or none. A new index starts a new generation,
so the files of earlier ones are recognised by their folder.
"""

# These names are made and opened by the thousand, and a Path takes longer to make than the file to
# open.

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from io import FileIO
from pathlib import Path

from twisted.logger import Logger

from imagepipe.storage.disk import flush_folder, make_folder, status_of

FREE_BYTES_MIN = 64 << 20
FREE_FILES_MIN = 4096
"""What the cache leaves free of the file system, in bytes and in inodes, for images to be stored; a
twentieth of all where that is less.
"""

_FREE_PART = 20
_MORE_PART = 8
"""By what part of this more is removed than is lacking: to remove takes some room itself, in the
index.
"""

_FILE_BYTES_MIN = 4096
_SLICE = 256
_INDEX = ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm")
_IN_USE = "in-use"
_GENERATION = re.compile("[0-9a-f]{16}")
_FOLDER = re.compile("[0-9a-f]{2}")
_NUMBER = re.compile("0[0-9a-f]{15}")

_log = Logger()


class CacheFiles:
    """What is below `folder`; for any thread, but one at a time for what begins, goes on with or
    ends a generation. All raises OSError, and FlushError.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._generation: str | None = None

    @property
    def index(self) -> Path:
        """The index's main file."""
        return self._folder / _INDEX[0]

    @property
    def is_in_use(self) -> bool:
        """Whether nobody has called `settle` since a generation was begun or gone on with, in
        whatever process that was.
        """
        return status_of(self._folder / _IN_USE) is not None

    def make(self) -> None:
        """Make the folder, in place of anything else that has its name."""
        status = status_of(self._folder)
        if status is not None and not stat.S_ISDIR(status.st_mode):
            self._folder.unlink()
            status = None
        if status is None:
            make_folder(self._folder, stat.S_IRWXU)
        elif stat.S_IMODE(status.st_mode) != stat.S_IRWXU:
            self._folder.chmod(stat.S_IRWXU)

    def begin(self, generation: str) -> None:
        """Begin a generation, of 16 hex digits: there is no index, and all other files are left
        over.
        """
        self.make()
        self.end()
        make_folder(self._folder / generation, stat.S_IRWXU)
        self._use(generation)

    def go_on(self, generation: str) -> bool:
        """Go on with the generation that an index names; whether there is one of that name."""
        status = status_of(self._folder / generation) if _GENERATION.fullmatch(generation) else None
        if status is None or not stat.S_ISDIR(status.st_mode):
            return False
        self._use(generation)
        return True

    def end(self) -> None:
        """Remove the index, which is closed: all files are left over."""
        self._generation = None
        for name in _INDEX:
            _remove(self._folder / name)

    def settle(self) -> None:
        """The index is closed, and right about each file."""
        (self._folder / _IN_USE).unlink(missing_ok=True)

    def take(self, staged: Path, number: int) -> None:
        """Move a file of the same file system in; FileNotFoundError also if the generation's folder
        has gone.
        """
        place = self._place(number)
        try:
            os.rename(staged, place)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):  # another thread made it
                make_folder(Path(place).parent, stat.S_IRWXU)
            os.rename(staged, place)

    def open(self, number: int) -> FileIO:
        """Open a file; a symbolic link is never followed."""
        return open_cached(self._place(number))

    def remove(self, numbers: Collection[int]) -> bool:
        """Remove files, where they are there; whether none is left. Raises nothing."""
        stays = False
        for number in numbers:
            try:
                os.unlink(self._place(number))
            except FileNotFoundError:
                continue
            except OSError as error:
                stays = True
                _log.error("a file of the render cache could not be removed: {error}", error=error)
        return not stays

    def lacking(self) -> int:
        """How many bytes have to go for the file system to have the room that is to stay free, and
        some more; 0: none.
        """
        status = os.statvfs(self._folder.parent)
        bytes_min = min(FREE_BYTES_MIN, status.f_blocks * status.f_frsize // _FREE_PART)
        files_min = min(FREE_FILES_MIN, status.f_files // _FREE_PART)
        lacking = max(
            bytes_min - status.f_bavail * status.f_frsize,
            (files_min - status.f_favail) * _FILE_BYTES_MIN,
        )
        return lacking + bytes_min // _MORE_PART if lacking > 0 else 0

    def left_over(self) -> Sequence[Path]:
        """What is there besides the index and its generation; while no generation begins. Raises
        nothing.
        """
        kept = (*_INDEX, _IN_USE, self._generation)
        with contextlib.suppress(OSError):
            return [path for path in self._folder.iterdir() if path.name not in kept]
        return ()

    def numbers(self) -> Iterator[Sequence[int]]:
        """The numbers of all files, some at a time; what has no such name, or is no file, is
        removed.
        """
        found: list[int] = []
        for folder in list((self._folder / (self._generation or "")).iterdir()):
            if not _FOLDER.fullmatch(folder.name) or folder.is_symlink() or not folder.is_dir():
                _remove(folder)
                continue
            with os.scandir(folder) as entries:
                for entry in entries:
                    if (
                        _NUMBER.fullmatch(entry.name)
                        and entry.name.endswith(folder.name)
                        and entry.is_file(follow_symlinks=False)
                    ):
                        found.append(int(entry.name, 16))
                    else:
                        _remove(Path(entry.path))
                    if len(found) == _SLICE:
                        yield found
                        found = []
        yield found

    def _use(self, generation: str) -> None:
        (self._folder / _IN_USE).touch(stat.S_IRUSR | stat.S_IWUSR)
        flush_folder(self._folder)  # before anything else changes
        self._generation = generation

    def _place(self, number: int) -> str:
        return f"{self._folder}/{self._generation}/{number & 0xFF:02x}/{number:016x}"


def open_cached(path: str | Path) -> FileIO:
    """Open a file for reading; OSError for a symbolic link, which is never followed."""
    return FileIO(
        path, opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    )


def remove_left_over(paths: Sequence[Path], is_enough: Callable[[], bool]) -> None:
    """Remove files and folders, until all are gone or that `is_enough`; of a folder what is in it
    one by one. Raises nothing.
    """
    for path in paths:
        with contextlib.suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                for inner in path.iterdir():
                    if is_enough():
                        return
                    _remove(inner)
        _remove(path)


def _remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; what cannot be removed is logged."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, onerror=_stays_behind)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        _log.error("a leftover of the render cache could not be removed: {error}", error=error)


def _stays_behind(
    _function: object, path: str, raised: tuple[type[BaseException], BaseException, object]
) -> None:
    if not isinstance(raised[1], FileNotFoundError):  # another thread removes it too
        _log.error(
            "a leftover of the render cache could not be removed: {path}: {error}",
            path=path,
            error=raised[1],
        )
