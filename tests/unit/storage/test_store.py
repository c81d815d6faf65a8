"""What the store promises a caller, one thread at a time."""

import stat
from pathlib import Path

import pytest

from imagepipe.core.rows.entries import Content
from imagepipe.core.rows.stamp import Version
from imagepipe.errors import BadRequest, NotStored, Overloaded
from imagepipe.storage.store import ImageInfo, StagedImage
from tests.support.stores import (
    FACTS,
    PRIVATE,
    check_whole,
    delete,
    digest,
    expected_tree,
    move,
    objects,
    open_store,
    opened,
    put,
    tree,
)


class PutTests:
    def test_what_was_put_is_served(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a/b.jpg": b"one", "a/b_s.jpg": b"two"})
            assert tree(tmp_path) == expected_tree({"a/b.jpg": b"one", "a/b_s.jpg": b"two"})
            check_whole(store, tmp_path)

    def test_the_facts_are_known(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a.jpg": b"one"})
            assert store.info("a.jpg") == ImageInfo(
                "a.jpg", 3, digest(b"one"), 40, 30, "jpeg", 1_700_000_000_000
            )
            assert store.info("b.jpg") is None

    def test_a_put_replaces_and_the_old_bytes_go(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a.jpg": b"one"})
            put(store, {"a.jpg": b"two"})
            assert tree(tmp_path) == {"a.jpg": b"two"}
            # until the tree is flushed
            assert set(objects(tmp_path)) == {digest(b"one"), digest(b"two")}
            check_whole(store, tmp_path)

    def test_the_same_again_changes_only_the_version(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            first = put(store, {"a.jpg": b"one"})
            second = put(store, {"a.jpg": b"one"})
            assert first.version is not None
            assert second.version is not None
            assert second.version > first.version
            check_whole(store, tmp_path)

    def test_equal_bytes_are_kept_once(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a.jpg": b"same", "b.jpg": b"same"})
            put(store, {"c/d.jpg": b"same"})
            assert (tmp_path / "a.jpg").stat().st_nlink == 4
            delete(store, "a.jpg", "b.jpg")
            check_whole(store, tmp_path)

    def test_one_version_a_call_and_one_number_a_path(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            first = put(store, {"a": b"1", "b": b"2"})
            second = put(store, {"b": b"3"})
            a, b = store.look_up("a"), store.look_up("b")
            assert a is not None
            assert b is not None
            assert a.version == first.version == b.replaced
            assert (a.seq, b.seq, second.seq) == (1, 3, 3)
            assert a.replaced is None
            assert b.content == Content(digest(b"3"), 1)

    def test_versions_grow_when_the_clock_goes_back(self, tmp_path: Path) -> None:
        times = iter([2000, 1000])
        store = open_store(tmp_path, now_ms=lambda: next(times))
        assert put(store, {"a": b"1"}).version == Version(2000 << 16, store.node_id)
        assert put(store, {"a": b"2"}).version == Version((2000 << 16) + 1, store.node_id)
        store.close()

    def test_modes_follow_the_umask_that_was_given(self, tmp_path: Path) -> None:
        store = open_store(tmp_path / "images", umask=0o027)
        put(store, {"a/b": b"1"})
        modes = {
            name: stat.S_IMODE((tmp_path / "images" / name).stat().st_mode)
            for name in ("", "a", "a/b", PRIVATE, f"{PRIVATE}/objects")
        }
        assert modes == {
            "": 0o750,
            "a": 0o750,
            "a/b": 0o640,
            PRIVATE: 0o700,
            f"{PRIVATE}/objects": 0o700,
        }
        store.close()

    def test_two_images_for_one_path_are_refused(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store, store.staging() as folder:
            for name in "01":
                (folder / name).write_bytes(name.encode())
            with pytest.raises(BadRequest):
                store.put([StagedImage("a", folder / name, FACTS) for name in "01"])
            assert tree(tmp_path) == {}

    def test_no_images_are_no_change(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            assert put(store, {}).version is None


class RoomTests:
    def test_no_image_takes_the_room_that_a_delete_may_need(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1"})
            store._parts.reserve.release()  # as on a full disk
            assert [store.not_ready_reason] == ["the disk is full"]
            with pytest.raises(NotStored, match="the disk is full"):
                put(store, {"b": b"2"})
            delete(store, "a")
            check_whole(store, tmp_path)
            assert store.not_ready_reason is None
            put(store, {"b": b"2"})
            check_whole(store, tmp_path)


class NestingTests:
    def test_no_image_lies_below_or_above_another(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a/b": b"1"})
            for path in ("a", "a/b/c", "a/b/c/d"):
                with pytest.raises(BadRequest, match=r"path: .*would lie"):
                    put(store, {"x": b"2", path: b"2"})
            with pytest.raises(BadRequest, match=r"path: .*would lie"):
                put(store, {"y/z": b"1", "y": b"2"})
            assert tree(tmp_path) == expected_tree({"a/b": b"1"})
            check_whole(store, tmp_path)

    def test_a_move_is_judged_by_its_net_result(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1"})
            for source, destination in (
                ("a", "a/b"),
                ("a/b", "a/b/c/d"),
                ("a/b/c/d", "a/b"),
                ("a/b", "a"),
            ):
                move(store, (source, destination))
                assert tree(tmp_path) == expected_tree({destination: b"1"})
            check_whole(store, tmp_path)

    def test_a_move_that_would_nest_is_refused(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1", "b/c": b"2"})
            for pair in (("a", "b/c/d"), ("a", "b"), ("b/c", "a/x")):
                with pytest.raises(BadRequest, match="dst_path: "):
                    move(store, pair)
            assert tree(tmp_path) == expected_tree({"a": b"1", "b/c": b"2"})

    def test_several_images_move_below_one_that_moves_there_too(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1", "b": b"2"})
            move(store, ("a", "a/x/1"), ("b", "a/x/2"))
            assert tree(tmp_path) == expected_tree({"a/x/1": b"1", "a/x/2": b"2"})
            check_whole(store, tmp_path)


class DeleteTests:
    def test_emptied_folders_go_with_the_image(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a/b/c/1": b"1", "a/2": b"2"})
            delete(store, "a/b/c/1")
            assert tree(tmp_path) == expected_tree({"a/2": b"2"})
            delete(store, "a/2")
            assert tree(tmp_path) == {}
            check_whole(store, tmp_path)

    def test_what_does_not_exist_gets_a_tombstone(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            done = delete(store, "a", "a")
            row = store.look_up("a")
            assert row is not None
            assert (row.version, row.content, row.seq) == (done.version, None, 1)
            assert store.list() == []

    def test_a_path_above_an_image_may_be_deleted(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a/b": b"1"})
            delete(store, "a")
            check_whole(store, tmp_path)
            assert tree(tmp_path) == expected_tree({"a/b": b"1"})

    def test_it_can_be_stored_again(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1"})
            delete(store, "a")
            put(store, {"a": b"1"})
            check_whole(store, tmp_path)
            assert tree(tmp_path) == {"a": b"1"}


class MoveTests:
    def test_the_image_and_its_facts_go_along(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a/b": b"1"})
            done = move(store, ("a/b", "c/d"))
            assert tree(tmp_path) == expected_tree({"c/d": b"1"})
            info = store.info("c/d")
            assert info is not None
            assert (info.width, info.format) == (40, "jpeg")
            source = store.look_up("a/b")
            assert source is not None
            assert (source.content, source.version) == (None, done.version)
            check_whole(store, tmp_path)

    def test_two_images_swap(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1", "b": b"2"})
            move(store, ("a", "t"), ("b", "a"), ("t", "b"))
            assert tree(tmp_path) == {"a": b"2", "b": b"1"}
            check_whole(store, tmp_path)

    def test_onto_itself_changes_nothing(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            before = put(store, {"a": b"1"})
            assert move(store, ("a", "a")).version is None
            row = store.look_up("a")
            assert row is not None
            assert row.version == before.version

    def test_a_missing_source_moves_nothing(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1"})
            with pytest.raises(BadRequest, match="src_path: "):
                move(store, ("a", "b"), ("x", "c"))
            assert tree(tmp_path) == {"a": b"1"}


class ListTests:
    def test_in_order_of_bytes_and_by_pages(self, tmp_path: Path) -> None:
        paths = ["a/b", "a/ü", "a0", "b", "\U0001f600", "\uffee"]
        with opened(tmp_path) as store:
            put(store, dict.fromkeys(paths, b"1"))
            delete(store, "gone")
            ordered = sorted(paths, key=str.encode)
            assert store.list() == ordered
            assert store.list(limit=2) == ordered[:2]
            assert store.list(after=ordered[1], limit=2) == ordered[2:4]
            assert store.list(prefix="a/") == ["a/b", "a/ü"]
            assert store.list(prefix="a/", after="a/b") == ["a/ü"]
            assert store.list(prefix="a/", after="b") == []
            assert store.list(prefix="\U0001f600") == ["\U0001f600"]


class ReopenTests:
    def test_everything_is_there_after_a_stop(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1", "b/c": b"2"})
            node, row = store.node_id, store.look_up("a")
        with opened(tmp_path) as store:
            assert (store.node_id, store.look_up("a")) == (node, row)
            assert put(store, {"d": b"3"}).seq == 3
            check_whole(store, tmp_path)

    def test_the_stamps_of_a_path_go_on_above_its_last_one(self, tmp_path: Path) -> None:
        store = open_store(tmp_path, now_ms=lambda: 5000)
        put(store, {"a": b"1"})
        store.close()
        store = open_store(tmp_path, now_ms=lambda: 1)
        assert put(store, {"a": b"2"}).version == Version((5000 << 16) + 1, store.node_id)
        store.close()

    def test_no_call_is_taken_after_close(self, tmp_path: Path) -> None:
        store = open_store(tmp_path)
        with store.staging() as folder:
            (folder / "0").write_bytes(b"1")
            store.close()
            with pytest.raises(Overloaded):
                store.put([StagedImage("a", folder / "0", FACTS)])
        with pytest.raises(Overloaded):
            store.delete(["a"]).result()

    def test_close_finishes_what_was_accepted(self, tmp_path: Path) -> None:
        store = open_store(tmp_path)
        put(store, {str(number): b"1" for number in range(50)})
        futures = [store.delete([str(number)]) for number in range(50)]
        store.close()
        assert all(future.done() and future.exception() is None for future in futures)
        assert tree(tmp_path) == {}
        assert objects(tmp_path) == {}

    def test_what_was_being_written_is_gone_after_a_start(self, tmp_path: Path) -> None:
        with opened(tmp_path):
            pass
        (tmp_path / PRIVATE / "staging" / "left").mkdir()
        (tmp_path / PRIVATE / "staging" / "left" / "0").write_bytes(b"1")
        with opened(tmp_path) as store:
            check_whole(store, tmp_path)
