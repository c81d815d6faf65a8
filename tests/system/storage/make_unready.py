"""Makes the small disk that it is given unfit for images in three ways; prints each that the store
has noticed.

unready.py FOLDER, on which a tmpfs is mounted, in a mount namespace
"""

import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from imagepipe.errors import DiskFull, FlushError, StoreUnusable
from imagepipe.storage.disk import catalogue_refusal
from imagepipe.storage.store import Store
from tests.support.stores import PRIVATE, delete, opened, put


def fill(folder: Path) -> Path:
    """Take all room, to the last byte."""
    file = folder / "filler"
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as opened_file:
        while True:
            opened_file.write(bytes(4096))
    return file


def use_inodes(folder: Path) -> list[Path]:
    """Take all inodes."""
    files: list[Path] = []
    with contextlib.suppress(OSError):
        while True:
            file = folder / f"empty{len(files)}"
            file.touch()
            files.append(file)
    return files


def check_ready(store: Store, name: str) -> None:
    """An image can be stored again, which a probe finds out first."""
    store.probe()
    assert store.not_ready_reason is None, store.not_ready_reason
    put(store, {name: name.encode()})


def failed_write(folder: Path) -> Exception | None:
    """What becomes of SQLite's error where a catalogue in `folder` could not be written."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode, error.sqlite_errorname = (
        sqlite3.SQLITE_IOERR_WRITE,
        "SQLITE_IOERR_WRITE",
    )
    return catalogue_refusal(error, folder / "catalogue.sqlite")


def main(folder: Path) -> None:
    """Each of them, and how it ends."""
    root, noticed = folder / "images", []
    with opened(root) as store:
        filler = fill(folder)
        store.probe()
        assert store.not_ready_reason == "the disk is full", store.not_ready_reason
        with pytest.raises((DiskFull, OSError), match=r"the disk is full|No space left"):
            put(store, {"a": b"1"})
        delete(store, "a")
        noticed.append("full")
        filler.unlink()
        store.tidy().result(60)  # which sets the reserve aside again
        check_ready(store, "b")
        noticed.append("ready")

        files = use_inodes(folder)
        with pytest.raises(DiskFull, match="the file system has no inodes left"):
            put(store, {"c": b"1"})
        assert store.not_ready_reason == "the file system has no inodes left", (
            store.not_ready_reason
        )
        files[0].unlink()
        # one is not enough
        with pytest.raises((DiskFull, OSError), match=r"no inodes left|No space left"):
            put(store, {"c": b"1"})
        assert store.not_ready_reason == "the file system has no inodes left", (
            store.not_ready_reason
        )
        delete(store, "b")
        noticed.append("no inodes")
        for file in files[1:]:
            file.unlink()
        check_ready(store, "d")
        noticed.append("ready")

        staging = root / PRIVATE / "staging"
        subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "over", staging], check=True)
        with pytest.raises(StoreUnusable, match="the file system is read-only"):
            put(store, {"e": b"1"})
        assert store.not_ready_reason == "the file system is read-only", store.not_ready_reason
        assert isinstance(failed_write(staging), StoreUnusable)
        assert isinstance(failed_write(root), FlushError)
        noticed.append("read-only")
        subprocess.run(["umount", staging], check=True)
        check_ready(store, "f")
        noticed.append("ready")
    print(", ".join(noticed))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
