"""Flushing, and what an error of the disk means to a call.

    ENOSPC, EDQUOT                 DiskFull "the disk is full", or what it is that has run out: the
                                   call is refused, the daemon carries on
    EROFS                          StoreUnusable "the file system is read-only": likewise
    EMFILE, ENFILE, ENOMEM         Overloaded: too many connections, it passes
    SQLITE_CORRUPT, SQLITE_NOTADB  CatalogueDamaged: no write is taken any more, and reads go on as
                                   far as they can
    EIO out of fsync, SQLITE_IOERR FlushError: what the disk holds is unknown; no write is taken any
    more
    any other                      NotStored, with the system's words

After a flush has failed the kernel forgets what it could not write, and the next flush succeeds: so
the first failure is the last word.
"""

# Names in the tree are bytes, as the disk has them, whatever the locale says; Path knows only text.

import contextlib
import errno
import hashlib
import os
import sqlite3
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path

from imagepipe.errors import (
    CatalogueDamaged,
    DiskFull,
    FlushError,
    NotStored,
    Overloaded,
    StoreUnusable,
    quoted,
)

_SIDE_BY_SIDE = 4
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_SCARCE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})

FULL = "the disk is full"
QUOTA = "the disk quota is used up"
NO_INODES = "the file system has no inodes left"
READ_ONLY = "the file system is read-only"

SPACE_BYTES_MIN = 32 << 20
SPACE_INODES_MIN = 256
"""With less than this a disk is nearly full: a call that failed may have failed for want of room.
"""

INODES_MIN = 8
"""With fewer a store may lack one: it makes a folder, a file, and the folders of its path."""

AnyPath = Path | bytes


def refusal(error: OSError, path: str | None = None) -> NotStored | Overloaded:
    """The fault of a call that `error` refuses; `path` is the image's, where one can be named."""
    where = "" if path is None else f"{quoted(path)}: "
    if error.errno in _SCARCE:
        return Overloaded("the server has too many files open: try again")
    if is_full(error):
        return DiskFull(f"{where}{_what_is_full(error)}")
    if error.errno == errno.EROFS:
        return StoreUnusable(f"{where}{READ_ONLY}")
    return NotStored(f"{where}the file system refuses it: {os.strerror(error.errno or 0)}")


def is_full(error: OSError) -> bool:
    """Whether what is missing is room."""
    return error.errno in _FULL


def has_space(path: Path) -> bool:
    """Whether the file system that `path` lies on is not nearly full, by bytes or by inodes."""
    return _has(os.statvfs(path), SPACE_BYTES_MIN, SPACE_INODES_MIN)


def has_space_for_its_size(path: Path) -> bool:
    """The same, but of a small file system an eighth is enough."""
    status = os.statvfs(path)
    bytes_least = min(SPACE_BYTES_MIN, status.f_blocks * status.f_frsize // 8)
    return _has(status, bytes_least, min(SPACE_INODES_MIN, status.f_files // 8))


def _has(status: os.statvfs_result, bytes_least: int, inodes_least: int) -> bool:
    return status.f_bavail * status.f_frsize >= bytes_least and not _lacks_inodes(
        status, inodes_least
    )


def _what_is_full(error: OSError) -> str:
    if error.errno == errno.EDQUOT:
        return QUOTA
    name = error.filename2 or error.filename
    return NO_INODES if name and lacks_inodes(_nearest_folder(Path(os.fsdecode(name)))) else FULL


def _nearest_folder(path: Path) -> Path:
    """The folder above `path` that is there: a call's own folder is gone by now."""
    return next(folder for folder in path.parents if folder.exists())


def lacks_inodes(path: Path) -> bool:
    """Whether the file system that `path` lies on has too few for a store."""
    try:
        return _lacks_inodes(os.statvfs(path), INODES_MIN)
    except OSError:
        return False


def _lacks_inodes(status: os.statvfs_result, least: int) -> bool:
    """Whether there are fewer than `least`; a file system that makes them as needed says that it
    has none at all.
    """
    return status.f_files > 0 and status.f_favail < least


def catalogue_refusal(error: sqlite3.Error, path: Path) -> NotStored | None:
    """The fault of a call whose transaction in the catalogue at `path` failed with `error`, or None
    where it is no fault of the disk.
    """
    code = getattr(error, "sqlite_errorcode", None)
    # The index of the write-ahead log grows by a write and no more: what fails with SHMSIZE is a
    # full disk, and nothing was flushed wrongly.
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE):
        return DiskFull(FULL)
    kind = None if code is None else code & 0xFF
    if kind in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return damaged_catalogue(path, error.sqlite_errorname)
    if kind in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY) and _is_read_only(path.parent):
        return StoreUnusable(READ_ONLY)
    if kind in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
        return StoreUnusable(f"the catalogue cannot be opened ({error.sqlite_errorname})")
    if kind == sqlite3.SQLITE_IOERR:
        return FlushError(f"the disk failed under the catalogue ({error.sqlite_errorname})")
    return None


def damaged_catalogue(path: Path, how: str) -> CatalogueDamaged:
    """What is said of the catalogue at `path`, which is of no use any more."""
    return CatalogueDamaged(
        f"the catalogue is damaged ({how}): stop imagepipe, and put back a backup of the folder"
        f" {path.parent.name}"
    )


def _is_read_only(path: Path) -> bool:
    """Whether no file can be made in a folder for that reason.

    statvfs does not say: ext4 that has met an error is read-only without the flag. SQLite does not
    say either: it reports an I/O error.
    """
    file = path / "probe"
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        os.unlink(file)
    except OSError as error:
        return error.errno == errno.EROFS
    return False


def flush(descriptor: int, path: AnyPath) -> None:
    """Flush an open file or folder. Raises FlushError on EIO, OSError on anything else."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno == errno.EIO:
            raise FlushError(
                f"the disk failed to flush {quoted(os.fsdecode(path))}: {os.strerror(errno.EIO)}"
            ) from error
        raise


def flush_folder(path: AnyPath) -> None:
    """Flush a folder, so that its names survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        flush(descriptor, path)
    finally:
        os.close(descriptor)


def flush_folders(
    paths: Sequence[AnyPath], flush_one: Callable[[AnyPath], None] = flush_folder
) -> None:
    """Flush many folders: side by side, because they then share what the disk has to do."""
    if len(paths) <= _SIDE_BY_SIDE:
        for path in paths:
            flush_one(path)
        return
    with ThreadPoolExecutor(_SIDE_BY_SIDE, "flush") as pool:
        for _ in pool.map(flush_one, paths):  # raises what the first that failed did
            pass


def flush_if_there(path: AnyPath) -> None:
    """Flush a folder, or do nothing where there is none any more."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        flush_folder(path)


def make_folder(path: AnyPath, mode: int) -> None:
    """Make a folder with exactly `mode`, whatever the process's umask; FileExistsError if something
    is there.
    """
    os.mkdir(path, 0o700)
    # a set-group-id parent hands its group down, and chmod would end that
    inherited = os.lstat(path).st_mode & stat.S_ISGID
    os.chmod(path, mode | inherited)


def open_for_reading(path: AnyPath) -> FileIO:
    """Open a regular file; OSError for a symbolic link, which is never followed."""
    return FileIO(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC))


def digest_of(path: AnyPath) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    with open_for_reading(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def status_of(path: AnyPath) -> os.stat_result | None:
    """What lies at `path` itself, no link followed; None: nothing does."""
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
