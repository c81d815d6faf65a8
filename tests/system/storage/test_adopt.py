"""An existing tree is taken into the catalogue where it lies, and nothing in it is lost."""

import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from imagepipe.core.rendering.formats import Format
from imagepipe.core.rows.entries import ImageFacts
from imagepipe.core.rows.stamp import milliseconds
from imagepipe.errors import NotStored, StartError
from imagepipe.storage.adopt import Adopted, adopt
from tests.support.stores import (
    FACTS,
    PRIVATE,
    check_whole,
    delete,
    digest,
    held,
    objects,
    open_store,
    opened,
    put,
    tree,
)

NOW_MS = 1_700_000_000_000
DAY_MS = 24 * 3600 * 1000
WORKER = ("-m", "tests.system.storage.run_adopt")


def image(number: int | str) -> bytes:
    """What is taken for an image."""
    return b"\xff\xd8\xff%s" % str(number).encode()


def facts_of(data: bytes, format: Format) -> ImageFacts:
    """Reading headers is the engines' business."""
    assert format.name == "jpeg"
    if b"broken" in data:
        raise NotStored("the image cannot be read")
    return FACTS


def lay(root: Path, files: Mapping[str, bytes], modified_ms: int = NOW_MS - DAY_MS) -> None:
    """Put files there by hand."""
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
        os.utime(root / path, ns=(0, modified_ms * 1_000_000))


class Run:
    """One run of `adopt`, and what it told."""

    def __init__(self, root: Path, *, dry_run: bool = False) -> None:
        self.skipped: dict[str, str] = {}
        self.progress: list[Adopted] = []
        self.adopted = adopt(
            root,
            umask=0o022,
            facts_of=facts_of,
            now_ms=lambda: NOW_MS,
            on_progress=self.progress.append,
            on_skipped=self.skipped.__setitem__,
            dry_run=dry_run,
        )


class AdoptTests:
    def test_a_tree_becomes_a_store_where_it_lies(self, tmp_path: Path) -> None:
        files = {f"{number % 7}/{number % 3}/{number}.jpg": image(number) for number in range(1200)}
        lay(tmp_path, files)
        inodes = {path: (tmp_path / path).stat().st_ino for path in files}
        run = Run(tmp_path)
        assert run.adopted == Adopted(files=1200, bytes=sum(map(len, files.values())))
        assert run.skipped == {}
        assert run.progress[-1] == run.adopted
        with opened(tmp_path) as store:
            check_whole(store, tmp_path)
            assert held(store) == {path: digest(content) for path, content in files.items()}
        assert {path: (tmp_path / path).stat().st_ino for path in files} == inodes
        assert {(tmp_path / path).stat().st_nlink for path in files} == {2}

    def test_a_file_is_as_old_as_it_says_but_not_from_the_future(self, tmp_path: Path) -> None:
        lay(tmp_path, {"old.jpg": image(1)}, NOW_MS - 5)
        lay(tmp_path, {"future.jpg": image(2)}, NOW_MS + DAY_MS)
        lay(tmp_path, {"past.jpg": image(3)}, -DAY_MS)
        Run(tmp_path)
        with opened(tmp_path) as store:
            rows = store.rows(["old.jpg", "future.jpg", "past.jpg"])
            assert {path: milliseconds(row.entry.version.stamp) for path, row in rows.items()} == {
                "old.jpg": NOW_MS - 5,
                "future.jpg": NOW_MS,
                "past.jpg": 1,
            }
            for path in rows:
                version = put(store, {path: image(4)}).version
                assert version
                assert version > rows[path].entry.version

    def test_it_gets_the_mode_of_an_image(self, tmp_path: Path) -> None:
        lay(tmp_path, {"a.jpg": image(1)})
        (tmp_path / "a.jpg").chmod(0o600)
        Run(tmp_path)
        assert stat.S_IMODE((tmp_path / "a.jpg").stat().st_mode) == 0o644

    def test_files_that_are_not_images_are_listed_and_left_alone(self, tmp_path: Path) -> None:
        root = tmp_path / "images"
        lay(
            root,
            {
                "a.jpg": image(1),
                "notes.txt": b"notes",
                "empty.jpg": b"",
                "page.html": image(2),
                "e\u0301.jpg": image(3),
                ".hidden/b.jpg": image(4),
                ".jpg": image(5),
                "status/c.jpg": image(6),
                "broken.jpg": image("broken"),
                "lost+found/d.jpg": image(7),
                "bad\uffff.jpg": image(8),
            },
        )
        (tmp_path / "elsewhere.jpg").write_bytes(image(8))
        (root / "link.jpg").symlink_to(tmp_path / "elsewhere.jpg")
        (root / "folder").symlink_to(tmp_path)
        os.close(os.open(os.fsencode(root) + b"/\xff.jpg", os.O_CREAT))
        before = tree(root)
        os.mkfifo(root / "fifo.jpg")
        run = Run(root)
        (root / "fifo.jpg").unlink()
        assert run.adopted == Adopted(files=1, bytes=4, skipped=len(run.skipped))
        assert {path: why.split(":")[0] for path, why in run.skipped.items()} == {
            "notes.txt": "its content is not an image",
            "empty.jpg": "its content is not an image",
            "page.html": (
                "a web server could run a file with the extension 'html', or show it as a page"
            ),
            "bad\uffff.jpg": "may not contain U+FFFE or U+FFFF, which XML cannot carry",
            "e\u0301.jpg": "its name is not in Unicode's normal form NFC, which is '\\xe9.jpg'",
            ".hidden": "no component may begin with a dot",
            ".jpg": "no component may begin with a dot",
            "status/c.jpg": "is reserved for the server's own pages",
            "broken.jpg": "the image cannot be read",
            "link.jpg": "it is a symbolic link",
            "folder": "it is a symbolic link",
            "fifo.jpg": "it is neither a file nor a folder",
            "\\xff.jpg": "its name is not valid UTF-8",
        }
        assert tree(root) == before
        with opened(root) as store:
            assert store.list() == ["a.jpg"]

    def test_foreign_files_beside_ours_are_adopted(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"ours.jpg": image(1), "gone.jpg": image(2)})
            delete(store, "gone.jpg")
            gone = store.look_up("gone.jpg")
        lay(tmp_path, {"theirs.jpg": image(3), "gone.jpg": image(4)}, 1000)
        run = Run(tmp_path)
        assert (run.adopted.files, run.adopted.already) == (2, 1)
        with opened(tmp_path) as store:
            check_whole(store, tmp_path)
            back = store.look_up("gone.jpg")
            assert gone
            assert back
            assert back.version > gone.version
            assert back.replaced == gone.version

    def test_another_image_in_its_place_is_reported_and_left(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a.jpg": image(1), "b.jpg": image(2), "c.jpg": image(3)})
        (tmp_path / "a.jpg").unlink()
        (tmp_path / "b.jpg").unlink()
        (tmp_path / "c.jpg").unlink()
        lay(tmp_path, {"a.jpg": image(9), "b.jpg/d.jpg": image(4), "c.jpg": image(3)})
        run = Run(tmp_path)
        assert run.adopted == Adopted(already=1, skipped=2)
        assert "another image here" in run.skipped["a.jpg"]
        assert "'b.jpg'" in run.skipped["b.jpg/d.jpg"]
        assert (tmp_path / "a.jpg").read_bytes() == image(9)
        with opened(tmp_path) as store:
            assert held(store)["a.jpg"] == digest(image(1))

    def test_equal_images_are_one_object(self, tmp_path: Path) -> None:
        lay(tmp_path, {"a.jpg": image(1), "b/c.jpg": image(1)})
        Run(tmp_path)
        with opened(tmp_path) as store:
            assert list(objects(tmp_path).values()) == [image(1)]
            delete(store, "a.jpg")
            check_whole(store, tmp_path)

    def test_a_file_with_other_names_is_copied(self, tmp_path: Path) -> None:
        root = tmp_path / "images"
        lay(root, {"a.jpg": image(1)})
        os.link(root / "a.jpg", tmp_path / "other")
        (root / "a.jpg").chmod(0o640)
        run = Run(root)
        assert run.adopted == Adopted(files=1, bytes=4, copied=1)
        (tmp_path / "other").write_bytes(b"edited")
        assert list(objects(root).values()) == [image(1)]
        assert stat.S_IMODE((tmp_path / "other").stat().st_mode) == 0o640

    def test_two_names_of_one_file_within_the_tree_are_two_images(self, tmp_path: Path) -> None:
        lay(tmp_path, {"a.jpg": image(1)})
        os.link(tmp_path / "a.jpg", tmp_path / "b.jpg")
        assert Run(tmp_path).adopted.files == 2
        with opened(tmp_path) as store:
            check_whole(store, tmp_path)

    def test_a_second_run_finds_everything_there(self, tmp_path: Path) -> None:
        lay(tmp_path, {f"{number}.jpg": image(number) for number in range(20)})
        Run(tmp_path)
        before = objects(tmp_path)
        with opened(tmp_path) as store:
            seq = store.last_seq
        assert Run(tmp_path).adopted == Adopted(already=20)
        with opened(tmp_path) as store:
            assert store.last_seq == seq
            check_whole(store, tmp_path)
        assert objects(tmp_path) == before

    def test_a_dry_run_changes_nothing(self, tmp_path: Path) -> None:
        lay(tmp_path, {"a.jpg": image(1), "b.txt": b""})
        assert Run(tmp_path, dry_run=True).adopted == Adopted(files=1, bytes=4, skipped=1)
        assert not (tmp_path / PRIVATE).exists()
        Run(tmp_path)
        lay(tmp_path, {"c.jpg": image(2)})
        assert Run(tmp_path, dry_run=True).adopted == Adopted(
            files=1, bytes=4, already=1, skipped=1
        )
        with opened(tmp_path) as store:
            assert store.list() == ["a.jpg"]

    @pytest.mark.parametrize("dry_run", [True, False])
    def test_there_must_be_a_folder(self, tmp_path: Path, dry_run: bool) -> None:
        with pytest.raises(StartError, match="not a folder"):
            Run(tmp_path / "images", dry_run=dry_run)

    def test_not_while_a_daemon_runs(self, tmp_path: Path) -> None:
        store = open_store(tmp_path)
        with pytest.raises(StartError, match=f"pid {os.getpid()}"):
            Run(tmp_path)
        store.close()

    def test_killed_at_any_moment_the_next_run_goes_on(self, tmp_path: Path) -> None:
        files = {f"{number % 3}/{number}.jpg": image(number) for number in range(1700)}
        lay(tmp_path, files)
        resumed = 0
        for lines in range(4):  # at its first word, at its second, ...: each is a batch
            process = subprocess.Popen(
                [sys.executable, *WORKER, tmp_path], stdout=subprocess.PIPE, text=True
            )
            assert process.stdout
            with process.stdout as said:
                for _ in range(lines):
                    said.readline()
                process.kill()
            process.wait()
        run = Run(tmp_path)
        resumed = run.adopted.already
        assert run.adopted.files + resumed == len(files)
        assert resumed >= 1500
        assert run.skipped == {}
        with opened(tmp_path) as store:
            check_whole(store, tmp_path)
            assert held(store) == {path: digest(content) for path, content in files.items()}

    def test_memory_is_that_of_a_batch(self, tmp_path: Path) -> None:
        def grown(count: int) -> int:
            root = tmp_path / str(count)
            lay(root, {f"{number % 2}/{number}.jpg": image(number) for number in range(count)})
            return int(
                subprocess.run(
                    [sys.executable, *WORKER, root], check=True, capture_output=True, text=True
                ).stdout.split()[-1]
            )

        few, many = grown(1000), grown(8000)
        assert many - few < 6 << 20
