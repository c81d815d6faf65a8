"""What keeps every image from being stored is known at once, and nothing is OK that the next start
does not have.
"""

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagepipe.errors import (
    CatalogueDamaged,
    DiskFull,
    FlushError,
    NotStored,
    Overloaded,
    StoreUnusable,
)
from imagepipe.storage.disk import refusal
from imagepipe.storage.store import Store
from tests.support.namespaces import needs_namespaces, small_disk
from tests.support.stores import PRIVATE, check_whole, delete, held, move, objects, opened, put

DISKS = ("-m", "tests.system.storage.make_unready")
CATALOGUE = f"{PRIVATE}/catalogue.sqlite"
LASTING = [
    ".",
    PRIVATE,
    f"{PRIVATE}/lock",
    f"{PRIVATE}/objects",
    CATALOGUE,
    f"{CATALOGUE}-wal",
    f"{CATALOGUE}-shm",
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of a store."""
    return tmp_path / "images"


@pytest.fixture
def store(root: Path) -> Iterator[Store]:
    """A store with one image."""
    with opened(root) as store:
        put(store, {"a": b"1"})
        yield store


class ErrorTests:
    @pytest.mark.parametrize(
        ("code", "kind", "text"),
        [
            (errno.ENOSPC, DiskFull, "'a': the disk is full"),
            (errno.EDQUOT, DiskFull, "'a': the disk quota is used up"),
            (errno.EROFS, StoreUnusable, "'a': the file system is read-only"),
            (errno.EACCES, NotStored, "'a': the file system refuses it: Permission denied"),
            (errno.EMFILE, Overloaded, "the server has too many files open: try again"),
        ],
    )
    def test_what_the_system_says_has_a_sentence(
        self, tmp_path: Path, code: int, kind: type[Exception], text: str
    ) -> None:
        refused = refusal(OSError(code, os.strerror(code), str(tmp_path / "gone" / "file")), "a")
        assert (type(refused), str(refused)) == (kind, text)


class PlaceTests:
    """The folder that was opened, and what is in it."""

    @pytest.mark.parametrize("name", LASTING)
    def test_while_it_is_moved_away_nothing_is_stored_and_afterwards_all_goes_on(
        self, store: Store, root: Path, name: str
    ) -> None:
        place, away = root / name, root.parent / "away"
        place.rename(away)
        with pytest.raises(StoreUnusable, match="is gone"):
            put(store, {"b": b"2"})
        assert "is gone (No such file or directory)" in str(store.not_ready_reason)
        with pytest.raises(StoreUnusable, match="is gone"):
            delete(store, "a")
        with pytest.raises(StoreUnusable, match="is gone"):
            move(store, ("a", "c"))
        away.rename(place)
        store.probe()
        assert store.not_ready_reason is None
        put(store, {"d": b"3"})
        assert set(held(store)) == {"a", "d"}
        check_whole(store, root)

    def test_a_backup_put_back_under_it_is_left_alone(self, store: Store, root: Path) -> None:
        store.tidy().result(60)
        shutil.copytree(root / PRIVATE, root.parent / "backup")
        put(store, {"a": b"2"})  # the bytes of the first are no longer named, and would be removed
        (root / PRIVATE).rename(root.parent / "away")
        (root.parent / "backup").rename(root / PRIVATE)
        store.tidy().result(60)
        assert b"1" in objects(root).values()
        store.probe()
        assert "not the one that imagepipe opened" in str(store.not_ready_reason)
        with pytest.raises(StoreUnusable, match="not the one"):
            put(store, {"b": b"2"})
        shutil.rmtree(root / PRIVATE)
        (root.parent / "away").rename(root / PRIVATE)
        put(store, {"b": b"2"})
        assert store.not_ready_reason is None

    def test_one_that_is_moved_away_is_known_without_a_call(self, store: Store, root: Path) -> None:
        (root / CATALOGUE).unlink()
        store.probe()
        assert "catalogue.sqlite is gone" in str(store.not_ready_reason)

    def test_a_link_to_it_is_not_the_folder(self, store: Store, root: Path) -> None:
        away = root.parent / "away"
        (root / PRIVATE).rename(away)
        (root / PRIVATE).symlink_to(away)
        with pytest.raises(StoreUnusable, match="not the one"):  # the next start would refuse it
            put(store, {"b": b"2"})
        assert ".imagepipe is not the one" in str(store.not_ready_reason)
        (root / PRIVATE).unlink()
        away.rename(root / PRIVATE)
        put(store, {"b": b"2"})

    def test_a_folder_of_objects_that_is_gone_is_known_without_a_call(
        self, store: Store, root: Path
    ) -> None:
        (root / PRIVATE / "objects" / "ff").rmdir()
        store.probe()
        assert "objects/ff is gone" in str(store.not_ready_reason)
        (root / PRIVATE / "objects" / "ff").mkdir(0o700)
        store.probe()
        assert store.not_ready_reason is None

    def test_one_that_may_not_be_written_to_is_known_without_a_call(
        self, store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = root / PRIVATE / "objects" / "ff"
        access = os.access  # root, who may run these tests, may write everywhere
        monkeypatch.setattr(
            os, "access", lambda path, *rest, **more: path != folder and access(path, *rest, **more)
        )
        store.probe()
        assert f"{PRIVATE}/objects/ff cannot be written to" in str(store.not_ready_reason)


class DamageTests:
    """A catalogue that SQLite calls damaged."""

    @pytest.fixture
    def damaged(self, store: Store, root: Path) -> Store:
        """A store whose catalogue was written over."""
        store.tidy().result(60)  # the log is in the main file, and may be used again
        for name in (CATALOGUE, f"{CATALOGUE}-wal"):
            with (root / name).open("r+b") as file:
                file.write(b"\0garbage" * 8192)
        return store

    def test_it_is_found_without_a_call_and_nothing_is_stored_any_more(
        self, damaged: Store
    ) -> None:
        damaged.probe()
        assert "the catalogue is damaged (SQLITE_NOTADB)" in str(damaged.not_ready_reason)
        with pytest.raises(CatalogueDamaged, match="put back a backup"):
            put(damaged, {"b": b"2"})
        with pytest.raises(CatalogueDamaged):
            delete(damaged, "a")
        damaged.probe()
        assert "damaged" in str(damaged.not_ready_reason)

    def test_a_reader_that_meets_it_says_so(self, damaged: Store) -> None:
        # those that there are have the pages in memory
        damaged._catalogue._database._idle_readers.clear()
        with pytest.raises(CatalogueDamaged):
            damaged.list()
        assert "damaged" in str(damaged.not_ready_reason)

    def test_a_catalogue_that_was_cut_short_is_found_though_its_pages_are_in_the_log(
        self, store: Store, root: Path
    ) -> None:
        (root / CATALOGUE).open("r+b").truncate()
        with pytest.raises(CatalogueDamaged, match="cut short"):
            put(store, {"b": b"2"})
        assert "the catalogue is damaged (cut short)" in str(store.not_ready_reason)


class UnreadableTests:
    def test_an_error_in_reading_does_not_end_all_writing(self, store: Store, root: Path) -> None:
        class Fails:
            def execute(self, *_: object) -> None:
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode, error.sqlite_errorname = (
                    sqlite3.SQLITE_IOERR_READ,
                    "SQLITE_IOERR_READ",
                )
                raise error

            def close(self) -> None:
                pass

        readers = store._catalogue._database._idle_readers
        readers.append(Fails())  # type: ignore[arg-type]
        with pytest.raises(
            StoreUnusable, match=r"the disk failed under the catalogue \(SQLITE_IOERR_READ\)"
        ):
            store.list()
        readers.clear()
        put(store, {"b": b"2"})
        check_whole(store, root)


class ProbeTests:
    """A file is made, filled, and now and then flushed."""

    def test_a_folder_that_cannot_be_written_is_known_without_a_call(
        self, store: Store, root: Path
    ) -> None:
        staging = root / PRIVATE / "staging"
        staging.rmdir()
        staging.write_bytes(b"")
        store.probe()
        assert [store.not_ready_reason] == ["the file system refuses it: Not a directory"]
        staging.unlink()
        staging.mkdir()
        store.probe()
        assert store.not_ready_reason is None
        assert list(staging.iterdir()) == []

    def test_a_flush_that_fails_is_the_end(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fatal: list[FlushError] = []
        store = Store.open(
            root,
            umask=0o022,
            now_ms=lambda: 1,
            on_fatal=fatal.append,
            seconds=iter(range(0, 10**6, 60)).__next__,
        )
        store.start()
        monkeypatch.setattr(
            "imagepipe.storage.disk.os.fsync", lambda _: raise_(OSError(errno.EIO, ""))
        )
        store.probe()
        assert len(fatal) == 1
        assert store.not_ready_reason == "the disk failed to flush: no more writes are accepted"
        monkeypatch.undo()
        store.close()

    def test_after_the_end_nothing_is_probed(self, root: Path) -> None:
        with opened(root) as store:
            put(store, {"a": b"1"})
        shutil.rmtree(root)
        store.probe()
        assert store.not_ready_reason is None


@needs_namespaces
class RealDiskTests:
    def test_room_inodes_and_a_read_only_file_system(self, tmp_path: Path) -> None:
        command = (
            *small_disk(tmp_path, "size=24m,nr_inodes=400"),
            sys.executable,
            *DISKS,
            str(tmp_path),
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        run = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, env=environment, check=False
        )
        assert run.stdout == "full, ready, no inodes, ready, read-only, ready\n"


def raise_(error: Exception) -> None:
    """Raise it, where an expression is needed."""
    raise error
