"""The served tree: prepared before the commit, applied after it."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from imagepipe.errors import NotStored
from imagepipe.storage.objects import Objects
from imagepipe.storage.tree.changes import Replacement
from imagepipe.storage.tree.tree import Tree
from tests.support.stores import digest, tree

RUN = "0123456789abcdef"


class Bench:
    """A tree in `root`, and objects beside it."""

    def __init__(self, folder: Path, link: Callable[[bytes, bytes], None] = os.link) -> None:
        self.root = folder / "tree"
        self.root.mkdir()
        (folder / "objects").mkdir()
        self.objects = Objects(folder / "objects", 0o644)
        self.objects.create()
        self.tree = Tree(self.root, self.objects, RUN, 0o755, link)
        self._staged = folder / "staged"

    def object(self, content: bytes) -> str:
        """An object with these bytes; its digest."""
        self._staged.write_bytes(content)
        self.objects.add(digest(content), self._staged, len(content))
        return digest(content)

    def show(self, path: str, before: bytes | None, after: bytes | None) -> None:
        """Replace what one path shows."""
        assert self.tree.apply(self.tree.prepare([self.replacement(path, before, after)])) == ()

    def replacement(self, path: str, before: bytes | None, after: bytes | None) -> Replacement:
        """A replacement by bytes."""
        digests = [None if content is None else self.object(content) for content in (before, after)]
        return Replacement(path, *digests)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An empty tree."""
    return Bench(tmp_path)


class PrepareTests:
    def test_readers_see_nothing_of_it(self, bench: Bench) -> None:
        bench.show("a", None, b"1")
        bench.tree.prepare(
            [bench.replacement("a", b"1", b"2"), bench.replacement("b/c", None, b"3")]
        )
        assert tree(bench.root) == {
            "a": b"1",
            "b/": None,
            f".imagepipe-{RUN}-2": b"2",
            f"b/.imagepipe-{RUN}-3": b"3",
        }

    def test_undone_it_leaves_no_trace(self, bench: Bench) -> None:
        bench.show("a/b", None, b"1")
        before = tree(bench.root)
        bench.tree.undo(
            bench.tree.prepare(
                [
                    bench.replacement("a/b", b"1", b"2"),
                    bench.replacement("a/c/d", None, b"3"),
                    bench.replacement("x/y", None, b"4"),
                ]
            )
        )
        assert tree(bench.root) == before

    def test_refused_it_leaves_no_trace(self, bench: Bench) -> None:
        (bench.root / "z").write_bytes(b"theirs")
        with pytest.raises(NotStored):
            bench.tree.prepare(
                [bench.replacement("x/y", None, b"4"), bench.replacement("z", None, b"3")]
            )
        assert tree(bench.root) == {"z": b"theirs"}

    def test_undoing_one_call_leaves_the_folder_that_another_uses(self, bench: Bench) -> None:
        first = bench.tree.prepare([bench.replacement("x/1", None, b"1")])
        second = bench.tree.prepare([bench.replacement("x/2", None, b"2")])
        bench.tree.undo(first)
        bench.tree.apply(second)
        assert tree(bench.root) == {"x/": None, "x/2": b"2"}

    def test_a_link_to_the_same_object_is_not_made_again(self, bench: Bench) -> None:
        bench.show("a", None, b"1")
        bench.tree.prepare([bench.replacement("a", b"1", b"1")])
        assert tree(bench.root) == {"a": b"1"}

    def test_full_disk_is_reported_as_it_is(self, tmp_path: Path) -> None:
        def full(_source: bytes, _target: bytes) -> None:
            raise OSError(errno.ENOSPC, "full")

        bench = Bench(tmp_path, full)
        with pytest.raises(OSError, match="full"):
            bench.tree.prepare([bench.replacement("a/b", None, b"1")])
        assert tree(bench.root) == {}


class CopyTests:
    @pytest.mark.parametrize("number", [errno.EMLINK, errno.EPERM, errno.ENOTSUP, errno.EXDEV])
    def test_where_links_are_impossible_the_bytes_are_copied(
        self, tmp_path: Path, number: int
    ) -> None:
        def refuse(_source: bytes, _target: bytes) -> None:
            raise OSError(number, "no links here")

        bench = Bench(tmp_path, refuse)
        os.chmod(bench.objects.path(bench.object(b"1")), 0o640)
        bench.show("a/b", None, b"1")
        status = (bench.root / "a/b").stat()
        assert (status.st_nlink, status.st_mode & 0o777) == (1, 0o640)
        bench.show("a/b", b"1", b"2")
        assert tree(bench.root) == {"a/": None, "a/b": b"2"}
        bench.show("a/b", b"2", None)
        assert tree(bench.root) == {}


class ApplyTests:
    def test_what_goes_goes_before_what_comes(self, bench: Bench) -> None:
        bench.show("a", None, b"1")
        bench.tree.apply(
            bench.tree.prepare(
                [bench.replacement("a/b/c", None, b"1"), bench.replacement("a", b"1", None)]
            )
        )
        assert tree(bench.root) == {"a/": None, "a/b/": None, "a/b/c": b"1"}
        bench.tree.apply(
            bench.tree.prepare(
                [bench.replacement("a", None, b"1"), bench.replacement("a/b/c", b"1", None)]
            )
        )
        assert tree(bench.root) == {"a": b"1"}

    def test_a_folder_with_a_waiting_link_is_not_pruned(self, bench: Bench) -> None:
        bench.show("x/1", None, b"1")
        coming = bench.tree.prepare([bench.replacement("x/y/2", None, b"2")])
        bench.show("x/1", b"1", None)
        bench.tree.apply(coming)
        assert tree(bench.root) == {"x/": None, "x/y/": None, "x/y/2": b"2"}

    def test_a_stranger_that_came_in_between_is_left(self, bench: Bench) -> None:
        prepared = bench.tree.prepare([bench.replacement("a", None, b"1")])
        (bench.root / "a").write_bytes(b"theirs")
        assert bench.tree.apply(prepared) == ()
        assert tree(bench.root) == {"a": b"theirs"}

    def test_a_change_that_fails_is_named_and_the_rest_happens(self, bench: Bench) -> None:
        prepared = bench.tree.prepare(
            [bench.replacement("x/a", None, b"1"), bench.replacement("b", None, b"2")]
        )
        next((bench.root / "x").iterdir()).unlink()
        assert bench.tree.apply(prepared) == ("x/a",)
        assert (bench.root / "b").read_bytes() == b"2"

    def test_leftovers_of_an_earlier_run_are_in_nobodys_way(self, bench: Bench) -> None:
        (bench.root / "a" / "b").mkdir(parents=True)
        (bench.root / "a" / "b" / ".imagepipe-ffffffffffffffff-7").write_bytes(b"x")
        bench.show("a", None, b"1")
        assert tree(bench.root) == {"a": b"1"}


class FlushTests:
    def touched(self, bench: Bench) -> set[str]:
        """What is to be flushed."""
        return {
            os.path.relpath(os.fsdecode(folder), bench.root)
            for folder in bench.tree.changed_folders._changed
        }

    def test_every_folder_in_which_a_name_changed_is_flushed(self, bench: Bench) -> None:
        bench.show("a/b/c", None, b"1")
        bench.show("d", None, b"1")
        assert self.touched(bench) == {".", "a", "a/b"}
        for _ in bench.tree.changed_folders.flush():
            pass
        assert self.touched(bench) == set()
        bench.show("a/b/c", b"1", None)
        assert self.touched(bench) == {"."}

    def test_a_folder_that_goes_during_a_flush_leaves_it_to_its_parent(self, bench: Bench) -> None:
        for number in range(40):
            bench.show(f"{number}/x/a", None, b"1")
        flush = bench.tree.changed_folders.flush()
        next(flush)
        left = {os.fsdecode(folder) for folder in bench.tree.changed_folders._flushing}
        gone = next(folder for folder in left if folder.endswith("/x"))
        bench.show(f"{os.path.relpath(gone, bench.root)}/a", b"1", None)
        still = {os.fsdecode(folder) for folder in bench.tree.changed_folders._flushing}
        assert gone not in still
        assert str(bench.root) in still
