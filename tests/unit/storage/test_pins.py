"""Objects by digest, and the pins that keep them."""

from pathlib import Path

import pytest

from imagepipe.storage.objects import FOLDERS, Objects, Pins
from tests.support.stores import digest


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    """No objects yet."""
    (tmp_path / "objects").mkdir()
    objects = Objects(tmp_path / "objects", 0o644)
    objects.create()
    return objects


class ObjectsTests:
    def test_an_object_is_where_its_digest_says(self, objects: Objects, tmp_path: Path) -> None:
        assert not objects.any()
        (tmp_path / "0").write_bytes(b"1")
        objects.add(digest(b"1"), tmp_path / "0", 1)
        objects.flush([digest(b"1")])
        assert objects.path(digest(b"1")) == tmp_path / "objects" / digest(b"1")[:2] / digest(b"1")
        assert objects.path(digest(b"1")).read_bytes() == b"1"
        assert [found for folder in FOLDERS for found in objects.digests(folder)] == [digest(b"1")]
        assert objects.any()

    def test_one_that_exists_keeps_its_file(self, objects: Objects, tmp_path: Path) -> None:
        inodes = []
        for _ in range(2):
            (tmp_path / "0").write_bytes(b"1")
            objects.add(digest(b"1"), tmp_path / "0", 1)
            assert not (tmp_path / "0").exists()
            inodes.append(objects.path(digest(b"1")).stat().st_ino)
        assert inodes[0] == inodes[1]

    def test_other_files_are_no_objects(self, objects: Objects, tmp_path: Path) -> None:
        (tmp_path / "objects" / "00" / "readme").write_bytes(b"1")
        assert not objects.any()


class PinsTests:
    def test_what_is_held_is_not_removed(self) -> None:
        pins, removed = Pins(), list[str]()
        with pins.pinned(["a", "a"]), pins.pinned(["a"]):
            assert not pins.unless_in_use("a", removed.append)
            assert pins.unless_in_use("b", removed.append)
        assert pins.unless_in_use("a", removed.append)
        assert removed == ["b", "a"]

    def test_what_a_failed_call_held_is_abandoned(self) -> None:
        pins = Pins()
        with pytest.raises(KeyError), pins.pinned(["a", "b"]):
            raise KeyError
        with pins.pinned(["c"]):
            pass
        assert pins.has_suspects
        pins.suspect(["b"])  # what the tree may show on the disk waits for its flush
        assert pins.take_abandoned() == {"a"}
        assert pins.take_suspects() == {"b"}
        assert not pins.has_suspects

    def test_a_suspect_again_waits_for_the_next_collection(self) -> None:
        pins, removed = Pins(), list[str]()
        pins.suspect(["a"])
        assert not pins.unless_in_use("a", removed.append)
        pins.take_suspects()
        assert pins.unless_in_use("a", removed.append)
