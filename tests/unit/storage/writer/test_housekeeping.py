"""Checkpoints and sweeps: what is removed when, and what is tried again."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from imagepipe.core.rows.entries import Content, PathChange
from imagepipe.errors import DiskFull, FlushError, NotStored
from imagepipe.storage.catalogue.catalogue import Catalogue
from imagepipe.storage.catalogue.schema import create
from imagepipe.storage.health import Health
from imagepipe.storage.objects import Objects, Pins
from imagepipe.storage.reserve import Reserve
from imagepipe.storage.tree.changes import PreparedChanges
from imagepipe.storage.tree.tree import Tree
from imagepipe.storage.writer.calls import WriteCall
from imagepipe.storage.writer.commit import Committer
from imagepipe.storage.writer.housekeeping import Housekeeping
from tests.support.stores import (
    FACTS,
    PRIVATE,
    check_whole,
    delete,
    digest,
    ignore,
    objects,
    opened,
    put,
    tree,
)

INTERVAL = 5.0


class StumblingTree(Tree):
    """A tree whose `apply` fails while `stumbles`."""

    stumbles = False

    def apply(self, prepared: PreparedChanges) -> tuple[str, ...]:
        if not self.stumbles:
            return super().apply(prepared)
        self.undo(prepared)
        return tuple(one.path for one in prepared.replacements)


class SmallCatalogue(Catalogue):
    """A catalogue that finds the disk full until it is said not to be."""

    room: Callable[[], bool] = staticmethod(lambda: True)

    def begin(self) -> None:
        self._check()
        super().begin()

    def set_projected(self, seq: int) -> None:
        self._check()
        super().set_projected(seq)

    def _check(self) -> None:
        if not self.room():
            raise DiskFull("the disk is full")


class Bench:
    """The parts of a store without its thread, and a clock that is set by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "tree"
        self.root.mkdir()
        self.now = 0.0
        self.errors: list[FlushError] = []
        self.removed: list[str] = []
        create(folder / "catalogue", "node")
        self.health = Health(self.errors.append)
        self.catalogue = SmallCatalogue(folder / "catalogue", self.health)
        (folder / "objects").mkdir()
        self.objects = Objects(folder / "objects", 0o644)
        self.objects.create()
        self.pins = Pins()
        self.tree = StumblingTree(self.root, self.objects, "0" * 16, 0o755)
        self.reserve = Reserve(folder / "reserve")
        self.chores = Housekeeping(
            self.catalogue,
            self.tree,
            self.objects,
            self.pins,
            self.health,
            self.reserve,
            interval=INTERVAL,
            seconds=lambda: self.now,
            now_ms=lambda: 1,
            sweep=None,
            on_removed=self.removed.extend,
        )
        self._committer = Committer(
            self.catalogue, self.tree, self.chores, self.health, lambda: 1, lambda _: None
        )

    def call(self, path: str, content: bytes | None) -> WriteCall:
        """Put an image, or delete one; answered."""
        facts = {}
        new = None
        if content is not None:
            new = Content(digest(content), len(content))
            facts[new.digest] = FACTS
            (self.folder / "staged").write_bytes(content)
            self.objects.add(new.digest, self.folder / "staged", new.size)
        call = WriteCall((path,), lambda _: (PathChange(path, new),), facts=facts)
        self._committer.commit([call])
        return call

    def kept(self) -> set[str]:
        """The digests of all objects."""
        return {file.name for file in (self.folder / "objects").glob("*/*")}

    def pass_time(self) -> None:
        """Let the interval pass, and do what is due."""
        self.chores.due_in()  # as the writer asks whenever it has nothing else to do
        self.now += INTERVAL
        steps = 0
        while self.chores.due_in() == 0:
            self.chores.step()
            steps += 1
            assert steps < 1000


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """An empty store in parts."""
    bench = Bench(tmp_path)
    yield bench
    bench.catalogue.close()


class CheckpointTests:
    def test_nothing_is_due_where_nothing_changed(self, bench: Bench) -> None:
        assert bench.chores.due_in() is None
        bench.call("a", b"1")
        assert bench.chores.due_in() == INTERVAL
        bench.pass_time()
        assert bench.chores.due_in() is None

    def test_replaced_and_deleted_bytes_go_after_the_interval(self, bench: Bench) -> None:
        for path, content in (("a", b"1"), ("b", b"2"), ("a", b"3"), ("b", None)):
            bench.call(path, content)
        assert bench.kept() == {digest(b"1"), digest(b"2"), digest(b"3")}
        assert bench.catalogue.projected == 0
        bench.pass_time()
        assert bench.kept() == {digest(b"3")}
        assert bench.catalogue.projected == 4
        assert all(
            not bench.catalogue.fact_digests(digest(content)[:2]) for content in (b"1", b"2")
        )

    def test_bytes_that_another_path_has_stay(self, bench: Bench) -> None:
        for path, content in (("a", b"1"), ("b", b"1"), ("a", None)):
            bench.call(path, content)
        bench.pass_time()
        assert bench.kept() == {digest(b"1")}

    def test_bytes_that_a_call_holds_wait_for_its_end(self, bench: Bench) -> None:
        bench.call("a", b"1")
        bench.call("a", None)
        with bench.pins.pinned([digest(b"1")]):
            bench.pass_time()
            assert bench.kept() == {digest(b"1")}
        bench.pass_time()
        assert bench.kept() == set()

    def test_bytes_that_came_and_went_again_during_a_checkpoint_wait_for_the_next(
        self, bench: Bench
    ) -> None:
        bench.call("a", b"1")
        bench.call("a", None)
        for number in range(40):
            bench.call(f"{number}/x", b"2")
        bench.now += INTERVAL
        for _ in range(2):  # it has begun, and flushed some folders
            bench.chores.step()
        bench.call("b", b"1")
        bench.call("b", None)
        while bench.chores.due_in() == 0:
            bench.chores.step()
        assert bench.kept() == {digest(b"1"), digest(b"2")}
        bench.pass_time()
        assert bench.kept() == {digest(b"2")}

    def test_the_bytes_of_a_failed_call_go(self, bench: Bench) -> None:
        (bench.root / "a").write_bytes(b"theirs")
        with pytest.raises(NotStored), bench.pins.pinned([digest(b"1")]):
            bench.call("a", b"1").future.result()
        bench.pass_time()
        assert bench.kept() == set()

    def test_what_the_tree_fails_to_show_is_tried_again_and_collected_only_then(
        self, bench: Bench
    ) -> None:
        bench.call("a", b"1")
        bench.call("b", b"2")
        bench.pass_time()
        bench.tree.stumbles = True
        assert bench.call("a", b"3").future.result().seq == 3
        bench.call("b", None)
        bench.tree.stumbles = False
        bench.call("c", b"4")
        bench.tree.stumbles = True
        bench.pass_time()
        assert tree(bench.root) == {"a": b"1", "b": b"2", "c": b"4"}
        assert bench.catalogue.projected == 2
        assert digest(b"1") in bench.kept()
        bench.tree.stumbles = False
        bench.pass_time()
        assert tree(bench.root) == {"a": b"3", "c": b"4"}
        assert bench.catalogue.projected == 5
        assert bench.kept() == {digest(b"3"), digest(b"4")}

    def test_a_group_that_did_not_fit_takes_no_numbers(self, bench: Bench) -> None:
        bench.catalogue.room = lambda: False
        call = bench.call("a", b"1")
        with pytest.raises(NotStored, match="full"):
            call.future.result()
        assert tree(bench.root) == {}
        bench.catalogue.room = lambda: True
        assert bench.call("a", b"1").future.result().seq == 1

    def test_a_delete_that_did_not_fit_is_done_in_the_room_of_the_reserve(
        self, bench: Bench
    ) -> None:
        bench.call("a", b"1")
        bench.pass_time()
        assert bench.reserve.is_allocated
        bench.catalogue.room = lambda: not bench.reserve.is_allocated
        assert bench.call("a", None).future.result().seq == 2
        assert tree(bench.root) == {}
        assert not (bench.folder / "reserve").exists()
        bench.pass_time()
        assert (bench.folder / "reserve").exists()
        assert bench.kept() == set()

    def test_a_checkpoint_that_did_not_fit_is_done_in_the_room_of_the_reserve(
        self, bench: Bench
    ) -> None:
        bench.call("a", b"1")
        bench.pass_time()
        bench.call("a", None)
        bench.catalogue.room = lambda: not bench.reserve.is_allocated
        bench.pass_time()
        assert bench.kept() == set()
        assert bench.reserve.is_allocated

    def test_no_checkpoint_after_a_failed_flush(self, bench: Bench) -> None:
        bench.call("a", b"1")
        bench.health.fail(FlushError("broken"))
        bench.health.fail(FlushError("broken again"))
        assert [str(error) for error in bench.errors] == ["broken"]
        assert bench.chores.due_in() is None
        with pytest.raises(FlushError, match="broken"):
            bench.call("b", b"1").future.result()
        assert tree(bench.root) == {"a": b"1"}


class SweepTests:
    def test_a_clean_stop_leaves_nothing_to_sweep(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1"})
        leftover = tmp_path / ".imagepipe-ffffffffffffffff-1"
        leftover.write_bytes(b"x")
        with opened(tmp_path) as store:
            store.tidy().result(60)
            assert leftover.exists()

    def test_after_an_unclean_one_leftovers_go(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a/b": b"1"})
        orphan = tmp_path / PRIVATE / "objects" / "00" / ("00" * 32)
        orphan.write_bytes(b"x")
        (tmp_path / "a" / ".imagepipe-ffffffffffffffff-1").write_bytes(b"x")
        (tmp_path / "empty" / "er").mkdir(parents=True)
        (tmp_path / "lost+found").mkdir()
        (tmp_path / "theirs").write_bytes(b"x")
        catalogue = Catalogue(tmp_path / PRIVATE / "catalogue.sqlite", Health(ignore))
        catalogue.set_clean(False)
        catalogue.close()
        with opened(tmp_path) as store:
            assert store.tidy().result(60)
            assert tree(tmp_path) == {"a/": None, "a/b": b"1", "lost+found/": None, "theirs": b"x"}
            assert not orphan.exists()


class ProjectionTests:
    """After a crash the tree may show any state since the last checkpoint; the rows say which is
    right.
    """

    def crashed(self, root: Path, shown: Sequence[tuple[str, bytes]]) -> None:
        """Make the tree show something older, as a power cut would."""
        for path in sorted(tree(root), reverse=True):
            if path.endswith("/"):
                (root / path).rmdir()
            else:
                (root / path).unlink()
        for path, content in shown:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).hardlink_to(
                root / PRIVATE / "objects" / digest(content)[:2] / digest(content)
            )
        catalogue = Catalogue(root / PRIVATE / "catalogue.sqlite", Health(ignore))
        catalogue.set_projected(0)
        catalogue.set_clean(False)
        catalogue.close()

    def test_every_older_state_becomes_the_newest(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"old": b"1"})
            put(store, {"keep": b"1", "keep2": b"2", "keep3": b"3"})
            delete(store, "old")
            put(store, {"old/x": b"2"})
            delete(store, "old")  # the tombstone is younger than the image below it
            put(store, {"z": b"3"})
        for shown in (
            [],
            [("old", b"1")],
            [("old", b"1"), ("z", b"2")],
            [("z/a", b"1"), ("old/x", b"1")],
        ):
            if ("z/a", b"1") in shown:
                with opened(tmp_path) as store:
                    delete(store, "z")
                    put(store, {"z/a": b"1"})
                    delete(store, "z/a")
                    put(store, {"z": b"3"})
            self.crashed(tmp_path, shown)
            with opened(tmp_path) as store:
                assert tree(tmp_path) == {
                    "keep": b"1",
                    "keep2": b"2",
                    "keep3": b"3",
                    "old/": None,
                    "old/x": b"2",
                    "z": b"3",
                }
                check_whole(store, tmp_path)

    def test_a_strangers_file_is_left_and_the_start_goes_on(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1", "b": b"2", "c": b"3"})
            delete(store, "c")
        self.crashed(tmp_path, [])
        (tmp_path / "a").write_bytes(b"theirs")
        (tmp_path / "c").write_bytes(b"theirs too")
        with opened(tmp_path):
            assert tree(tmp_path) == {"a": b"theirs", "b": b"2", "c": b"theirs too"}

    def test_bytes_that_are_missing_do_not_stop_the_start(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1", "b": b"2"})
            lost = store.object_path(digest(b"1"))
        self.crashed(tmp_path, [])
        lost.unlink()
        with opened(tmp_path) as store:
            assert tree(tmp_path) == {"b": b"2"}
            put(store, {"a": b"1"})
            check_whole(store, tmp_path)
            assert set(objects(tmp_path)) == {digest(b"1"), digest(b"2")}
