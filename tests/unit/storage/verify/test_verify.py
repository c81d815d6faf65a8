"""What is wrong with the images of a store is found and put right, and nothing is destroyed
by it.
"""

import errno
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from imagepipe.core.replication.fetches import ReceiveResult
from imagepipe.core.rows.entries import Content, Entry, Row
from imagepipe.core.rows.stamp import Version
from imagepipe.errors import ImagepipeError
from imagepipe.storage import disk
from imagepipe.storage.store import Store
from imagepipe.storage.verify import verify
from imagepipe.storage.verify.findings import Extent, Finding, ImageProblem
from tests.support.stores import (
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


class Ended(Exception):
    """The walk was stopped."""


class Walker:
    """Walks, notes what it is told, and gets from peers what `others` have. hook: called whenever
    something was read.
    """

    def __init__(
        self,
        store: Store,
        others: Mapping[str, bytes] | None = None,
        hook: Callable[[int], object] = lambda _: None,
    ) -> None:
        self.extent = Extent(0, 0)
        self.rows = self.size = self.bytes_read = self.rests = 0
        self.findings: list[Finding] = []
        self.asked: list[Sequence[str]] = []
        self._store = store
        self._others = others or {}
        self._hook = hook

    def begin(self, extent: Extent) -> None:
        self.extent = extent

    def read(self, count: int) -> None:
        self.bytes_read += count
        self._hook(count)

    def pause(self) -> None:
        self.rests += 1

    def checked(self, rows: int, size: int) -> None:
        self.rows += rows
        self.size += size

    def found(self, finding: Finding) -> None:
        self.findings.append(finding)

    def fetch(self, contents: Sequence[Content]) -> None:
        self.asked.append([content.digest for content in contents])
        for number, content in enumerate(contents):
            if content.digest in self._others:
                assert (
                    self._store.peers.receive(number, content, 0, self._others[content.digest])
                    is ReceiveResult.COMPLETE
                )

    @property
    def problems(self) -> dict[str, ImageProblem]:
        """What was found, by path."""
        return {one.path: one.problem for one in self.findings}


def verified(
    store: Store, others: Mapping[str, bytes] | None = None, *, repair: bool = False
) -> Walker:
    """One verification."""
    walker = Walker(store, others)
    store.verify(walker, repair=repair)
    return walker


def object_of(root: Path, content: bytes) -> Path:
    """Where the object of these bytes is."""
    return root / PRIVATE / "objects" / digest(content)[:2] / digest(content)


def found(root: Path) -> dict[str, bytes]:
    """What was moved aside, by its name without the time."""
    folder = root / PRIVATE / "found"
    return (
        {
            file.name.split("-", 2)[2]: file.read_bytes()
            for file in folder.rglob("*")
            if file.is_file()
        }
        if folder.exists()
        else {}
    )


class FindingTests:
    def test_where_nothing_is_wrong_everything_was_looked_at_once(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            for start in range(0, 2100, 100):
                put(
                    store,
                    {
                        f"{number % 9}/{number}": b"%d" % (number % 1500)
                        for number in range(start, start + 100)
                    },
                )
            delete(store, "0/0")
            walker = verified(store)
            assert walker.findings == []
            assert walker.extent == Extent(2099, sum(map(len, objects(tmp_path).values())))
            assert (walker.rows, walker.size) == (2099, walker.extent.bytes)
            assert walker.bytes_read == walker.extent.bytes

    def test_one_object_of_many_rows_is_read_once(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {f"{number}": b"same" for number in range(verify.PAGE + 500)})
            walker = verified(store)
            assert (walker.rows, walker.bytes_read, walker.size) == (verify.PAGE + 500, 4, 4)
            object_of(tmp_path, b"same").write_bytes(b"SAME")
            walker = verified(store)
            assert len(walker.findings) == verify.PAGE + 500
            assert walker.bytes_read == 4

    @pytest.mark.parametrize(
        ("damage", "problem"),
        [
            (lambda root: object_of(root, b"one").unlink(), ImageProblem.MISSING),
            (lambda root: (root / "a" / "b").write_bytes(b"ONE"), ImageProblem.CORRUPT),
            (lambda root: (root / "a" / "b").write_bytes(b"longer"), ImageProblem.CORRUPT),
            (lambda root: (root / "a" / "b").unlink(), ImageProblem.NOT_SHOWN),
            (lambda root: shutil.rmtree(root / "a"), ImageProblem.NOT_SHOWN),
            (lambda root: replace(root / "a" / "b", b"ONE"), ImageProblem.CHANGED),
            (lambda root: replace(root / "a" / "b", b"longer"), ImageProblem.CHANGED),
            (lambda root: link(root / "a" / "b"), ImageProblem.FOREIGN),
            (lambda root: folder(root / "a" / "b"), ImageProblem.FOREIGN),
            (lambda root: link(root / "a"), ImageProblem.FOREIGN),
        ],
    )
    def test_each_kind_of_damage_is_reported(
        self, tmp_path: Path, damage: Callable[[Path], None], problem: ImageProblem
    ) -> None:
        root = tmp_path / "images"
        with opened(root) as store:
            put(store, {"a/b": b"one", "c": b"two"})
            damage(root)
            before = tree(root)
            assert verified(store).findings == [
                Finding("a/b", problem, repaired=False, outcome="left as it is")
            ]
            assert tree(root) == before

    def test_a_copy_with_the_right_bytes_is_as_good_as_a_link(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"one"})
            replace(tmp_path / "a", b"one")
            assert verified(store, repair=True).findings == []

    def test_an_image_that_an_earlier_release_stored_at_a_path_that_xml_cannot_carry_stays(
        self, tmp_path: Path
    ) -> None:
        with opened(tmp_path) as store:
            put(store, {"bad\uffff": b"one", "x/\ufffe": b"two"})
            assert verified(store, repair=True).findings == []
            (tmp_path / "bad\uffff").unlink()
            assert verified(store, repair=True).problems == {"bad\uffff": ImageProblem.NOT_SHOWN}
            assert (tmp_path / "bad\uffff").read_bytes() == b"one"

    def test_a_hidden_image_has_no_file(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"one"})
            content = Content(digest(b"two"), 3)
            row = Row(Entry("a/b", Version(1 << 60, "f" * 32), None, content, 1), None)
            store.peers.pin_rows([row])
            store.peers.receive(1, content, 0, b"two")
            store.peers.join([row], None, None)
            store.peers.unpin_rows([row])
            assert [one.entry.path for one in store.hidden()] == ["a"]
            assert verified(store, repair=True).findings == []

    def test_an_image_that_changes_meanwhile_is_not_a_problem(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {f"{number}": b"%d" % number for number in range(50)})

            def meanwhile(_: int) -> None:
                left = store.list()
                delete(store, *left[:3])
                if left[3:]:
                    put(store, {left[3]: b"new %d" % len(left)})
                store.tidy().result(60)

            walker = Walker(store, hook=meanwhile)
            store.verify(walker, repair=True)
            assert walker.findings == []
            check_whole(store, tmp_path)

    def test_a_disk_that_cannot_read_an_object_has_a_rotten_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"one", "b": b"two"})
            bad = os.fsencode(object_of(tmp_path, b"one"))
            real = disk.open_for_reading
            # No file system here fails to read on demand.
            monkeypatch.setattr(
                "imagepipe.storage.verify.verify.open_for_reading",
                lambda place: raise_(OSError(errno.EIO, "")) if place == bad else real(place),
            )
            assert verified(store).problems == {"a": ImageProblem.CORRUPT}

    def test_it_waits_where_files_are_scarce(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"one"})
            real, errors = (
                disk.open_for_reading,
                [OSError(errno.EMFILE, ""), OSError(errno.ENFILE, "")],
            )
            monkeypatch.setattr(
                "imagepipe.storage.verify.verify.open_for_reading",
                lambda place: raise_(errors.pop()) if errors else real(place),
            )
            walker = verified(store)
            assert (walker.findings, walker.rests) == ([], 2)

    def test_the_walk_can_be_ended_at_any_moment(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {f"{number}": b"%d" % number for number in range(10)})
            walker = Walker(store, hook=lambda _: raise_(Ended()))
            with pytest.raises(Ended):
                store.verify(walker, repair=True)
            assert walker.bytes_read == 1


class RepairTests:
    @pytest.mark.parametrize("bad", [b"ONE", b"longer", None])
    def test_a_bad_object_comes_from_a_peer(self, tmp_path: Path, bad: bytes | None) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"one", "b/c": b"one", "d": b"two"})
            if bad is None:
                object_of(tmp_path, b"one").unlink()
                (tmp_path / "a").unlink()
                (tmp_path / "b" / "c").unlink()
            else:
                (tmp_path / "a").write_bytes(bad)
            walker = verified(store, {digest(b"one"): b"one"}, repair=True)
            problem = ImageProblem.MISSING if bad is None else ImageProblem.CORRUPT
            assert walker.problems == {"a": problem, "b/c": problem}
            assert all(one.repaired for one in walker.findings)
            assert walker.asked == [[digest(b"one")]]
            check_whole(store, tmp_path)
            assert found(tmp_path) == ({} if bad is None else {"a": bad, "c": bad})
            assert verified(store).findings == []

    def test_without_anyone_who_has_it_nothing_is_changed(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"one", "b": b"two"})
            (tmp_path / "a").write_bytes(b"ONE")
            object_of(tmp_path, b"two").unlink()
            (tmp_path / "b").unlink()
            before = tree(tmp_path), objects(tmp_path), held(store)
            walker = verified(store, repair=True)
            assert [(one.path, one.repaired) for one in walker.findings] in (
                [("a", False), ("b", False)],
                [("b", False), ("a", False)],
            )
            assert (tree(tmp_path), objects(tmp_path), held(store)) == before

    def test_a_copy_in_the_tree_comes_first(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"one", "b": b"one", "c": b"two"})
            replace(tmp_path / "b", b"one")
            (tmp_path / "a").write_bytes(b"ONE")
            object_of(tmp_path, b"two").unlink()  # its file was a link to it, and still is there
            walker = verified(store, repair=True)
            assert walker.problems == {
                "a": ImageProblem.CORRUPT,
                "b": ImageProblem.CORRUPT,
                "c": ImageProblem.MISSING,
            }
            assert all(one.repaired for one in walker.findings)
            assert walker.asked == []
            check_whole(store, tmp_path)
            assert (tmp_path / "c").stat().st_nlink == 2
            assert found(tmp_path) == {"a": b"ONE"}

    def test_a_missing_file_is_linked_again(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a/b/c": b"one"})
            shutil.rmtree(tmp_path / "a")
            assert verified(store, repair=True).findings == [
                Finding("a/b/c", ImageProblem.NOT_SHOWN, repaired=True, outcome="repaired")
            ]
            check_whole(store, tmp_path)

    @pytest.mark.parametrize("kind", ["file", "link", "folder", "way"])
    def test_what_lies_in_the_place_of_an_image_is_moved_aside(
        self, tmp_path: Path, kind: str
    ) -> None:
        root, elsewhere = tmp_path / "images", tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "b").write_bytes(b"theirs")
        with opened(root) as store:
            put(store, {"a/b": b"one"})
            (root / "a" / "b").unlink()
            if kind == "file":
                (root / "a" / "b").write_bytes(b"theirs")
            elif kind == "link":
                (root / "a" / "b").symlink_to(elsewhere / "b")
            elif kind == "folder":
                shutil.copytree(elsewhere, root / "a" / "b")
            else:
                (root / "a").rmdir()
                (root / "a").symlink_to(elsewhere)
            [finding] = verified(store, repair=True).findings
            assert finding.repaired
            assert "what lay there is .imagepipe/found/" in finding.outcome
            check_whole(store, root)
            [aside] = (root / PRIVATE / "found").iterdir()
            assert f"{PRIVATE}/found/{aside.name}" in finding.outcome
            if kind == "file":
                assert aside.read_bytes() == b"theirs"
            elif kind == "folder":
                assert (aside / "b").read_bytes() == b"theirs"
            else:
                assert aside.is_symlink()
        assert (elsewhere / "b").read_bytes() == b"theirs"

    def test_things_of_one_name_are_all_kept(self, tmp_path: Path) -> None:
        for times in (1, 2, 3):
            with opened(tmp_path) as store:
                put(store, {f"{folder}/{'n' * 250}": b"%d" % folder for folder in range(3)})
                for folder in range(3):
                    replace(tmp_path / str(folder) / ("n" * 250), b"theirs")
                assert len(verified(store, repair=True).findings) == 3
            assert len(list((tmp_path / PRIVATE / "found").iterdir())) == 3 * times

    def test_what_cannot_be_put_right_is_put_back(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"one"})
            replace(tmp_path / "a", b"theirs")
            # The disk is full, for once just now: no file system here can be made so at a word.
            monkeypatch.setattr(
                "imagepipe.storage.tree.tree.Tree._link_object",
                lambda *_: raise_(OSError(errno.ENOSPC, "")),
            )
            [finding] = verified(store, repair=True).findings
            assert not finding.repaired
            assert "the disk is full" in finding.outcome
            assert (tmp_path / "a").read_bytes() == b"theirs"
            assert found(tmp_path) == {}

    def test_what_was_made_of_a_rotten_image_is_forgotten(self, tmp_path: Path) -> None:
        removed: list[str] = []
        store = open_store(tmp_path)
        store.removed.connect(removed.extend)
        put(store, {"a": b"one"})
        (tmp_path / "a").write_bytes(b"ONE")
        verified(store, {digest(b"one"): b"one"}, repair=True)
        assert removed == [digest(b"one")]
        store.close()

    def test_many_are_asked_for_together(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            images = {f"{number}": b"%d" % number for number in range(100)}
            put(store, images)
            for path in images:
                (tmp_path / path).write_bytes(b"bad")
            walker = verified(
                store, {digest(content): content for content in images.values()}, repair=True
            )
            assert [len(some) for some in walker.asked] == [
                verify.FETCHED_AT_ONCE,
                100 - verify.FETCHED_AT_ONCE,
            ]
            assert sum(one.repaired for one in walker.findings) == 100
            check_whole(store, tmp_path)

    def test_all_objects_gone_the_tree_is_enough(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {f"{number % 5}/{number}": b"%d" % (number % 20) for number in range(40)})
            for file in (tmp_path / PRIVATE / "objects").glob("*/*"):
                file.unlink()
            walker = verified(store, repair=True)
            assert (len(walker.findings), walker.asked) == (40, [])
            check_whole(store, tmp_path)


class UnknownTests:
    def test_a_file_that_is_not_an_image_is_reported_and_moved_aside(self, tmp_path: Path) -> None:
        root = tmp_path / "images"
        with opened(root) as store:
            put(store, {"a/b": b"one", "gone": b"two"})
            delete(store, "gone")
            (root / "gone").write_bytes(b"by hand")
            (root / "a" / "theirs.png").write_bytes(b"theirs")
            (root / "a" / ".hidden").mkdir()
            (root / "a" / ".hidden" / "deep").write_bytes(b"deep")
            (root / "link").symlink_to(tmp_path)
            Path(os.fsdecode(os.fsencode(root) + b"/\xff")).write_bytes(b"no text")
            (root / "empty").mkdir()
            before = tree(root)
            names = {"gone", "a/theirs.png", "a/.hidden", "link", "\\xff"}
            walker = verified(store)
            assert walker.problems == dict.fromkeys(names, ImageProblem.UNKNOWN)
            assert tree(root) == before
            walker = verified(store, repair=True)
            assert walker.problems == dict.fromkeys(names, ImageProblem.UNKNOWN)
            assert all(one.repaired for one in walker.findings)
            aside = root / PRIVATE / "found"
            kept = [file.read_bytes() for file in aside.rglob("*") if file.is_file()]
            assert sorted(kept) == sorted([b"by hand", b"theirs", b"deep", b"no text"])
            (root / "empty").rmdir()
            check_whole(store, root)
            assert verified(store).findings == []

    def test_what_cannot_be_moved_stays(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with opened(tmp_path) as store:
            (tmp_path / "theirs").write_bytes(b"theirs")
            # Root may do anything: no file system here refuses it.
            monkeypatch.setattr(
                "imagepipe.storage.verify.repair.os.rename",
                lambda *_: raise_(OSError(errno.EROFS, "")),
            )
            [finding] = verified(store, repair=True).findings
            assert not finding.repaired
            assert (tmp_path / "theirs").read_bytes() == b"theirs"


def replace(file: Path, content: bytes) -> None:
    """Another file of the same name."""
    file.unlink()
    file.write_bytes(content)


def link(place: Path) -> None:
    """A link in the place of what was there."""
    [outside] = [folder.parent for folder in place.parents if folder.name == "images"]
    place.rename(outside / "moved")
    place.symlink_to(outside / "moved")


def folder(place: Path) -> None:
    """A folder with a file in the place of what was there."""
    place.unlink()
    place.mkdir()
    (place / "theirs").write_bytes(b"theirs")


def raise_(error: Exception) -> ImagepipeError:
    """Raise, in a lambda."""
    raise error
