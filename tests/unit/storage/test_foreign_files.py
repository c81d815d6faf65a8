"""Nothing is removed or replaced that imagepipe did not put there."""

import os
from pathlib import Path

import pytest

from imagepipe.errors import NotStored
from tests.support.stores import check_whole, delete, digest, move, opened, put, tree


class StrangersTests:
    def test_a_put_onto_a_strangers_file_is_refused_whole(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            (tmp_path / "a").mkdir()
            (tmp_path / "a" / "b").write_bytes(b"theirs")
            before = tree(tmp_path)
            with pytest.raises(NotStored, match=r"'a/b' .*did not put there"):
                put(store, {"n/m": b"1", "a/b": b"2"})
            assert tree(tmp_path) == before
            assert store.list() == []

    def test_so_is_one_below_or_above_it(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            (tmp_path / "a").mkdir()
            (tmp_path / "a" / "b").write_bytes(b"theirs")
            before = tree(tmp_path)
            for path in ("a/b/c", "a"):
                with pytest.raises(NotStored, match="'a/b'"):
                    put(store, {path: b"2"})
            assert tree(tmp_path) == before

    def test_an_empty_folder_may_be_replaced(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            (tmp_path / "a" / "b" / "c").mkdir(parents=True)
            (tmp_path / "a" / "d").mkdir(parents=True)
            put(store, {"a": b"1"})
            check_whole(store, tmp_path)

    @pytest.mark.parametrize("way", ["put", "delete", "move", "move onto"])
    def test_a_file_that_took_the_place_of_ours_is_left(self, tmp_path: Path, way: str) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"ours", "b": b"b"})
            (tmp_path / "a").unlink()
            (tmp_path / "a").write_bytes(b"OURS")
            if way == "put":
                with pytest.raises(NotStored):
                    put(store, {"a": b"new"})
            elif way == "delete":
                delete(store, "a")
                assert store.info("a") is None
            elif way == "move":
                move(store, ("a", "c/d"))
                assert (tmp_path / "c" / "d").read_bytes() == b"ours"
            else:
                with pytest.raises(NotStored):
                    move(store, ("b", "a"))
                assert (tmp_path / "b").read_bytes() == b"b"
            assert (tmp_path / "a").read_bytes() == b"OURS"

    def test_a_copy_with_our_bytes_is_ours(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"ours", "b": b"b"})
            for name in "ab":
                content = (tmp_path / name).read_bytes()
                (tmp_path / name).unlink()
                (tmp_path / name).write_bytes(content)
            put(store, {"a": b"new"})
            delete(store, "b")
            check_whole(store, tmp_path)

    @pytest.mark.parametrize("way", ["put", "delete"])
    def test_a_link_is_a_stranger_and_never_followed(self, tmp_path: Path, way: str) -> None:
        root, elsewhere = tmp_path / "images", tmp_path / "elsewhere"
        elsewhere.mkdir()
        with opened(root) as store:
            put(store, {"a": b"ours", "c/d": b"ours"})
            os.link(root / "a", elsewhere / "d")
            os.link(root / "a", elsewhere / "e")
            (root / "a").unlink()
            (root / "a").symlink_to(elsewhere / "e")
            (root / "c" / "d").unlink()
            (root / "c").rmdir()
            (root / "c").symlink_to(elsewhere)
            for path in ("a", "c/d", "c/new"):
                if way == "put":
                    with pytest.raises(NotStored):
                        put(store, {path: b"new"})
                else:
                    delete(store, path)
            assert tree(elsewhere) == {"d": b"ours", "e": b"ours"}
            assert (root / "a").is_symlink()
            assert (root / "c").is_symlink()

    def test_an_emptied_folder_behind_a_link_is_not_pruned(self, tmp_path: Path) -> None:
        root, elsewhere = tmp_path / "images", tmp_path / "elsewhere"
        (elsewhere / "e").mkdir(parents=True)
        with opened(root) as store:
            put(store, {"c/e/d": b"ours"})
            (root / "c" / "e" / "d").unlink()
            (root / "c" / "e").rmdir()
            (root / "c").rmdir()
            (root / "c").symlink_to(elsewhere)
            delete(store, "c/e/d")
            assert (elsewhere / "e").is_dir()

    def test_a_folder_with_a_strangers_file_stays(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a/b": b"1"})
            (tmp_path / "a" / "theirs").write_bytes(b"x")
            delete(store, "a/b")
            assert tree(tmp_path) == {"a/": None, "a/theirs": b"x"}

    def test_a_missing_file_does_not_stop_anything(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a/b": b"1", "c": b"2", "d": b"3"})
            for name in ("a/b", "c", "d"):
                (tmp_path / name).unlink()
            delete(store, "a/b")
            put(store, {"c": b"4"})
            move(store, ("d", "e"))
            check_whole(store, tmp_path)


class DamagedObjectTests:
    def test_one_of_the_wrong_length_is_replaced_by_the_good_one(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"good"})
            store.object_path(digest(b"good")).write_bytes(b"go")
            assert (tmp_path / "a").read_bytes() == b"go"
            put(store, {"a": b"good"})
            check_whole(store, tmp_path)

    def test_one_that_is_missing_is_named(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1"})
            store.object_path(digest(b"1")).unlink()
            with pytest.raises(NotStored, match="missing"):
                move(store, ("a", "b"))
            put(store, {"a": b"1"})
            check_whole(store, tmp_path)
