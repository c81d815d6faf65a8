"""The first start, the next, and those that are refused."""

import errno
import fcntl
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from imagepipe.errors import StartError
from tests.support.stores import PRIVATE, check_whole, open_store, opened, put, tree


class FirstStartTests:
    def test_an_empty_folder_becomes_a_store(self, tmp_path: Path) -> None:
        (tmp_path / "lost+found").mkdir()
        (tmp_path / "empty" / "er").mkdir(parents=True)
        with opened(tmp_path) as store:
            put(store, {"a": b"1"})
        assert stat.S_IMODE((tmp_path / PRIVATE).stat().st_mode) == 0o700

    def test_the_folder_is_made_if_its_parent_is_there(self, tmp_path: Path) -> None:
        with opened(tmp_path / "images"):
            pass
        with pytest.raises(StartError, match="No such file"):
            open_store(tmp_path / "no" / "images")

    def test_the_process_umask_is_neither_used_nor_changed(self, tmp_path: Path) -> None:
        script = (
            "import os, sys; from pathlib import Path; from tests.support.stores import"
            " *\nos.umask(0o137); store = open_store(Path(sys.argv[1])); put(store, {'a/b': b'1'});"
            " store.close(); print(oct(os.umask(0)))"
        )
        run = subprocess.run(
            [sys.executable, "-c", script, tmp_path / "images"],
            check=True,
            capture_output=True,
            text=True,
        )
        assert run.stdout.strip() == "0o137"
        modes = {
            file.name: stat.S_IMODE(file.stat().st_mode)
            for file in (tmp_path / "images").rglob("*")
            if len(file.name) < 3 and file.parent.name != "objects"
        }
        assert modes == {"a": 0o755, "b": 0o644}

    @pytest.mark.parametrize("kind", ["file", "link", "hidden"])
    def test_files_without_a_catalogue_are_left_alone(self, tmp_path: Path, kind: str) -> None:
        (tmp_path / "a").mkdir()
        if kind == "link":
            (tmp_path / "a" / "b").symlink_to("/tmp")
        else:
            (tmp_path / "a" / ("b" if kind == "file" else ".b")).write_bytes(b"1")
        before = tree(tmp_path)
        with pytest.raises(StartError, match="imagepipe adopt"):
            open_store(tmp_path)
        assert tree(tmp_path) == before
        assert not (tmp_path / PRIVATE).exists()

    def test_a_file_is_not_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "images").write_bytes(b"")
        with pytest.raises(StartError, match="is not a folder"):
            open_store(tmp_path / "images")


class CatalogueTests:
    def test_images_without_their_catalogue_are_not_started_over(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1"})
        (tmp_path / PRIVATE / "catalogue.sqlite").unlink()
        with pytest.raises(StartError, match=r"catalogue .* is gone"):
            open_store(tmp_path)
        assert tree(tmp_path) == {"a": b"1"}

    def test_a_start_that_died_early_is_made_good(self, tmp_path: Path) -> None:
        (tmp_path / PRIVATE).mkdir()
        (tmp_path / PRIVATE / "catalogue.sqlite").write_bytes(b"")
        with opened(tmp_path) as store:
            put(store, {"a": b"1"})
            check_whole(store, tmp_path)

    @pytest.mark.parametrize(
        "damage",
        [
            b"this is no database, whatever its name says" * 200,
            b"SQLite format 3\0" + b"\xff" * 5000,
        ],
    )
    def test_one_that_cannot_be_read_says_what_to_do(self, tmp_path: Path, damage: bytes) -> None:
        with opened(tmp_path):
            pass
        (tmp_path / PRIVATE / "catalogue.sqlite").write_bytes(damage)
        with pytest.raises(StartError, match=r"cannot be read .*put back a backup"):
            open_store(tmp_path)

    def test_one_of_a_newer_imagepipe_is_refused(self, tmp_path: Path) -> None:
        with opened(tmp_path):
            pass
        with sqlite3.connect(tmp_path / PRIVATE / "catalogue.sqlite") as connection:
            connection.execute("UPDATE meta SET schema_version = 99")
        connection.close()
        with pytest.raises(StartError, match="newer imagepipe"):
            open_store(tmp_path)

    def test_one_that_belongs_to_another_program_is_refused(self, tmp_path: Path) -> None:
        with opened(tmp_path):
            pass
        (tmp_path / PRIVATE / "catalogue.sqlite").unlink()
        with sqlite3.connect(tmp_path / PRIVATE / "catalogue.sqlite") as connection:
            connection.execute("CREATE TABLE notes (text)")
        connection.close()
        with pytest.raises(StartError, match="cannot be read"):
            open_store(tmp_path)


class LockTests:
    def test_a_second_daemon_learns_which_one_is_running(self, tmp_path: Path) -> None:
        with opened(tmp_path), pytest.raises(StartError, match=rf"pid {os.getpid()}\b"):
            open_store(tmp_path)

    def test_a_start_that_was_refused_lets_go_of_the_folder(self, tmp_path: Path) -> None:
        with opened(tmp_path):
            pass
        catalogue = tmp_path / PRIVATE / "catalogue.sqlite"
        good = catalogue.read_bytes()
        catalogue.write_bytes(b"x" * 4096)
        with pytest.raises(StartError):
            open_store(tmp_path)
        catalogue.write_bytes(good)
        with opened(tmp_path):
            pass

    def test_the_lock_is_an_flock_on_the_file(self, tmp_path: Path) -> None:
        with opened(tmp_path), (tmp_path / PRIVATE / "lock").open() as file:
            with pytest.raises(BlockingIOError) as caught:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            assert caught.value.errno == errno.EWOULDBLOCK
