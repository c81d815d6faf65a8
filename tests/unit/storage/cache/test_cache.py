"""The render cache: what it keeps, for how long, and what of it is on the disk."""

import os
import stat
from pathlib import Path

import pytest

from imagepipe.storage.cache.cache import RenderCache
from tests.support.caches import (
    BLOCK,
    FACTS,
    PLENTY,
    files,
    get,
    hexed,
    open_cache,
    opened,
    put,
    read,
    stage,
)


class KeepingTests:
    def test_what_was_put_is_found_with_its_digest_and_facts_also_by_the_next_run(
        self, tmp_path: Path
    ) -> None:
        with opened(tmp_path) as cache:
            assert get(cache, "a") is None
            assert put(cache, tmp_path, "a", b"1" * 5000) == b"1" * 5000
            assert get(cache, "a") == b"1" * 5000
            assert (cache.files, cache.bytes, cache.hits, cache.misses, cache.evictions) == (
                1,
                2 * BLOCK,
                1,
                1,
                0,
            )
        with opened(tmp_path) as cache:
            assert get(cache, "a") == b"1" * 5000
            assert (cache.files, cache.bytes, cache.hits, cache.misses, cache.evictions) == (
                1,
                2 * BLOCK,
                1,
                0,
                0,
            )
        assert list((tmp_path / "staging").iterdir()) == []

    def test_one_that_is_looked_up_twice_before_it_is_made_is_one_miss(
        self, tmp_path: Path
    ) -> None:
        with opened(tmp_path) as cache:
            put(cache, tmp_path, "b", b"2")
            assert (get(cache, "a"), get(cache, "a")) == (None, None)
            put(cache, tmp_path, "a", b"1")
            assert (cache.hits, cache.misses) == (0, 2)

    def test_nobody_else_can_read_it(self, tmp_path: Path) -> None:
        with opened(tmp_path) as cache:
            staged = stage(tmp_path, b"1")
            staged.chmod(0o644)
            cache.put(hexed("a"), hexed("source"), staged, FACTS).file.close()
            [file] = files(tmp_path)
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            for folder in (tmp_path / "cache", file.parent, file.parent.parent):
                assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    def test_each_answer_is_a_file_of_its_own(self, tmp_path: Path) -> None:
        with opened(tmp_path) as cache:
            put(cache, tmp_path, "a", b"123")
            one, other = cache.get(hexed("a")), cache.get(hexed("a"))
            assert one
            assert one.file.read(2) == b"12"
            assert read(other) == b"123"
            assert not os.get_inheritable(one.file.fileno())
            one.file.close()

    def test_the_earlier_of_two_with_one_key_is_kept(self, tmp_path: Path) -> None:
        with opened(tmp_path) as cache:
            put(cache, tmp_path, "a", b"1")
            assert put(cache, tmp_path, "a", b"2") == b"2"
            assert get(cache, "a") == b"1"
            assert (cache.files, cache.bytes, len(files(tmp_path))) == (1, BLOCK, 1)

    @pytest.mark.parametrize(
        "name", ["", "a", "../" * 8 + "a" * 40, "A" * 64, "a" * 63 + "\n", "é" * 64, "a" * 65]
    )
    def test_what_has_no_proper_key_or_source_is_served_once(
        self, tmp_path: Path, name: str
    ) -> None:
        with opened(tmp_path) as cache:
            for key, source in ((name, hexed("source")), (hexed("a"), name)):
                assert read(cache.put(key, source, stage(tmp_path, b"1"), FACTS)) == b"1"
                assert cache.get(key) is None
            assert files(tmp_path) == []
            assert list((tmp_path / "staging").iterdir()) == []

    def test_a_staged_file_that_cannot_be_read_is_an_error(self, tmp_path: Path) -> None:
        with opened(tmp_path) as cache:
            (tmp_path / "staging" / "link").symlink_to(stage(tmp_path, b"1"))
            for name in ("missing", "link"):
                with pytest.raises(OSError, match=name):
                    cache.put(hexed("a"), hexed("source"), tmp_path / "staging" / name, FACTS)
            assert cache.get(hexed("a")) is None


class BoundTests:
    def test_those_used_least_recently_make_room(self, tmp_path: Path) -> None:
        with opened(tmp_path, 3 * BLOCK) as cache:
            for name in "abc":
                put(cache, tmp_path, name, name.encode())
            assert get(cache, "a") == b"a"
            put(cache, tmp_path, "d", bytes(BLOCK + 1))
            assert [get(cache, name) for name in "abcd"] == [b"a", None, None, bytes(BLOCK + 1)]
            assert (cache.files, cache.bytes, cache.evictions, len(files(tmp_path))) == (
                2,
                3 * BLOCK,
                2,
                2,
            )

    @pytest.mark.parametrize("in_memory_max", [1, 100])
    def test_the_next_run_knows_what_was_used_last(
        self, tmp_path: Path, in_memory_max: int
    ) -> None:
        with opened(tmp_path, 3 * BLOCK, in_memory_max=in_memory_max) as cache:
            for name in "abc":
                put(cache, tmp_path, name, name.encode())
            assert [get(cache, name) for name in "ba"] == [b"b", b"a"]
        with opened(tmp_path, 3 * BLOCK, in_memory_max=in_memory_max) as cache:
            assert get(cache, "b") == b"b"
            put(cache, tmp_path, "d", b"d")
            put(cache, tmp_path, "e", b"e")
            assert [get(cache, name) for name in "abcde"] == [None, b"b", None, b"d", b"e"]

    def test_one_that_is_larger_than_the_cache_is_served_once(self, tmp_path: Path) -> None:
        with opened(tmp_path, 2 * BLOCK) as cache:
            put(cache, tmp_path, "a", b"1")
            assert put(cache, tmp_path, "b", bytes(2 * BLOCK + 1)) == bytes(2 * BLOCK + 1)
            assert [get(cache, name) for name in "ab"] == [b"1", None]
            assert len(files(tmp_path)) == 1
            assert list((tmp_path / "staging").iterdir()) == []

    def test_a_cache_of_no_size_keeps_nothing_and_removes_what_there_was(
        self, tmp_path: Path
    ) -> None:
        with opened(tmp_path) as cache:
            put(cache, tmp_path, "a", b"1")
        with opened(tmp_path, 0) as cache:
            assert get(cache, "a") is None
            for content in (b"1", b""):
                assert put(cache, tmp_path, "b", content) == content
                assert get(cache, "b") is None
            assert (cache.files, cache.bytes, cache.give_up_space()) == (0, 0, 0)
            cache.recover()
            cache.forget([hexed("source")])
        assert not any((tmp_path / "cache").iterdir())
        with opened(tmp_path) as cache:
            assert put(cache, tmp_path, "a", b"1") == b"1"
            assert get(cache, "a") == b"1"

    def test_a_cache_that_is_smaller_now_sheds_what_is_too_much(self, tmp_path: Path) -> None:
        with opened(tmp_path) as cache:
            for number in range(600):
                put(cache, tmp_path, f"{number}", b"%d" % number)
        with opened(tmp_path, 3 * BLOCK) as cache:
            assert get(cache, "1") == b"1"
            cache.recover()
            assert (cache.files, len(files(tmp_path))) == (3, 3)
            assert [get(cache, name) for name in ("1", "2", "598", "599")] == [
                b"1",
                None,
                b"598",
                b"599",
            ]
        with opened(tmp_path, BLOCK) as cache:  # without tidying
            put(cache, tmp_path, "a", b"a")
            assert (cache.files, len(files(tmp_path)), get(cache, "a")) == (1, 1, b"a")

    def test_what_is_in_memory_is_bounded_and_everything_is_found(self, tmp_path: Path) -> None:
        with opened(tmp_path, in_memory_max=2) as cache:
            for number in range(700):
                put(cache, tmp_path, f"{number}", b"%d" % number)
            for number in range(700):
                assert get(cache, f"{number}") == b"%d" % number
            assert len(cache._rows._in_memory) == 2


class ForgettingTests:
    def test_all_that_was_made_of_a_source_goes_with_it(self, tmp_path: Path) -> None:
        with opened(tmp_path, in_memory_max=3) as cache:
            for number in range(8):
                put(cache, tmp_path, f"{number}", b"%d" % number, f"source {number % 4}")
            held = cache.get(hexed("1"))
            cache.forget({hexed("source 1"), hexed("source 3"), hexed("never heard of")})
            assert [get(cache, f"{number}") is not None for number in range(8)] == [True, False] * 4
            assert (cache.files, len(files(tmp_path)), cache.evictions) == (4, 4, 0)
            assert read(held) == b"1"
            cache.forget([])
            cache.forget([hexed(f"source {number}") for number in range(1000)])
            assert (cache.files, cache.bytes, files(tmp_path)) == (0, 0, [])

    def test_what_is_made_of_a_source_that_has_gone_is_served_once(self, tmp_path: Path) -> None:
        there = {hexed("source")}
        with opened(tmp_path, is_there=there.__contains__) as cache:
            put(cache, tmp_path, "a", b"1")
            there.clear()
            cache.forget([hexed("source")])
            assert put(cache, tmp_path, "b", b"2") == b"2"  # it was being rendered
            assert [get(cache, name) for name in "ab"] == [None, None]
            assert (cache.files, files(tmp_path)) == (0, [])

    def test_a_source_of_which_the_disk_says_nothing_counts_as_gone(self, tmp_path: Path) -> None:
        def broken(_source: str) -> bool:
            raise OSError

        with opened(tmp_path, is_there=broken) as cache:
            assert put(cache, tmp_path, "a", b"1") == b"1"
            assert get(cache, "a") is None

    def test_all_is_given_up_for_a_disk_that_is_full(self, tmp_path: Path) -> None:
        with opened(tmp_path) as cache:
            for name in "ab":
                put(cache, tmp_path, name, bytes(5000))
            held = cache.get(hexed("a"))
            assert cache.give_up_space() == 4 * BLOCK
            assert (cache.files, cache.bytes, files(tmp_path), get(cache, "b")) == (0, 0, [], None)
            assert cache.give_up_space() == 0
            assert read(held) == bytes(5000)
            put(cache, tmp_path, "c", b"3")
            assert [get(cache, name) for name in "abc"] == [None, None, b"3"]
        with opened(tmp_path) as cache:
            assert [get(cache, name) for name in "abc"] == [None, None, b"3"]


class ClosedTests:
    def test_a_closed_cache_finds_and_keeps_nothing_and_serves_all_the_same(
        self, tmp_path: Path
    ) -> None:
        cache = open_cache(tmp_path)
        put(cache, tmp_path, "a", b"1")
        held = cache.get(hexed("a"))
        for _ in range(2):
            cache.close()
        assert get(cache, "a") is None
        assert put(cache, tmp_path, "b", b"2") == b"2"
        cache.forget([hexed("source")])
        cache.recover()
        assert (cache.give_up_space(), cache.files, cache.bytes) == (0, 0, 0)
        assert read(held) == b"1"
        assert list((tmp_path / "staging").iterdir()) == []
        with opened(tmp_path) as cache:
            assert [get(cache, name) for name in "ab"] == [b"1", None]


class PlaceTests:
    @pytest.mark.parametrize("kind", ["file", "link", "folder"])
    def test_what_lies_in_its_place_is_replaced_and_a_folder_made_its_own(
        self, tmp_path: Path, kind: str
    ) -> None:
        place, elsewhere = tmp_path / "cache", tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "kept").touch()
        if kind == "file":
            place.write_bytes(b"1")
        elif kind == "link":
            place.symlink_to(elsewhere)
        else:
            place.mkdir(0o755)
        with opened(tmp_path) as cache:
            put(cache, tmp_path, "a", b"1")
            assert get(cache, "a") == b"1"
            cache.recover()
            assert get(cache, "a") == b"1"
        assert stat.S_IMODE(place.lstat().st_mode) == 0o700
        assert place.is_dir()
        assert not place.is_symlink()
        assert [path.name for path in elsewhere.iterdir()] == ["kept"]

    def test_where_there_can_be_no_cache_one_does_without_until_there_can(
        self, tmp_path: Path
    ) -> None:
        root = tmp_path / "not" / "yet"
        (tmp_path / "staging").mkdir()
        cache = RenderCache.open(root / "cache", PLENTY, is_there=lambda _: True)
        for _ in range(10):
            assert put(cache, tmp_path, "a", b"1") == b"1"
            assert get(cache, "a") is None
            cache.forget([hexed("source")])
            assert cache.give_up_space() == 0
        cache.recover()
        root.mkdir(parents=True)
        tries = 0
        while get(cache, "a") is None:
            assert put(cache, tmp_path, "a", b"1") == b"1"
            tries += 1
        assert tries < 2000
        cache.close()
