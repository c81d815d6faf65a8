"""Rows, objects and renditions in memory: right at every moment, and bounded."""

import threading
from pathlib import Path

from imagepipe.core.rows.entries import Content, Entry, Row
from imagepipe.core.rows.stamp import Version
from imagepipe.storage.cache.cache import RenderCache
from imagepipe.storage.memory import LruMemory, RowMemory
from imagepipe.storage.shared_file import HEAD_BYTES, SharedFile
from imagepipe.storage.store import Store
from tests.support.caches import FACTS as RENDITION_FACTS
from tests.support.caches import hexed
from tests.support.caches import opened as opened_cache
from tests.support.caches import put as put_rendition
from tests.support.stores import FACTS, delete, digest, move, opened, put


class LruMemoryTests:
    def test_the_least_recently_used_go_first(self) -> None:
        memory: LruMemory[str, int] = LruMemory(3)
        for number, name in enumerate("abc"):
            memory.put(name, number)
        assert memory.get("a") == 0
        memory.put("d", 3)
        assert [memory.get(name) for name in "abcd"] == [0, None, 2, 3]
        assert memory.hits == 4

    def test_it_never_weighs_more_than_it_may(self) -> None:
        memory: LruMemory[str, int] = LruMemory(10)
        memory.put("a", 1, 4)
        memory.put("b", 2, 4)
        memory.put("a", 3, 5)
        assert (memory.get("a"), memory.get("b"), memory.weight) == (3, 2, 9)
        memory.put("too heavy", 4, 11)
        assert (memory.get("too heavy"), memory.weight) == (None, 0)

    def test_discarded_values_are_gone(self) -> None:
        memory: LruMemory[str, int] = LruMemory(10)
        for name in "abc":
            memory.put(name, 1, 2)
        memory.discard(["a", "d"])
        assert (memory.get("a"), memory.get("b"), memory.weight) == (None, 1, 4)
        memory.clear()
        assert (memory.get("b"), memory.weight) == (None, 0)


class RowMemoryTests:
    def test_rows_and_their_absence_are_known_once_noted(self) -> None:
        rows = RowMemory(10)
        rows.note(["a", "b"], {"a": _row("a")}, rows.changes)
        assert rows.look_up(["a"]) == {"a": _row("a")}
        assert rows.look_up(["b"]) == {}
        assert rows.look_up(["a", "b"]) == {"a": _row("a")}
        assert rows.look_up(["a", "c"]) is None

    def test_a_row_read_before_a_change_is_not_noted_after_it(self) -> None:
        rows = RowMemory(10)
        before = rows.changes
        rows.changed(["b"])
        rows.note(["a"], {"a": _row("a")}, before)
        assert rows.look_up(["a"]) is None

    def test_a_row_whose_facts_may_still_come_is_not_noted(self) -> None:
        rows = RowMemory(10)
        rows.note(["a"], {"a": Row(_row("a").entry, None)}, rows.changes)
        assert rows.look_up(["a"]) is None


class RowsInMemoryTests:
    def test_they_are_those_that_were_read(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1"})
            assert store.in_memory.rows(["a", "b"]) is None
            assert store.rows(["a", "b"]) == store.in_memory.rows(["a", "b"])
            assert store.in_memory.rows(["b"]) == {}

    def test_every_change_shows_at_once(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1"})
            assert _content(store, "a") == Content(digest(b"1"), 1)
            put(store, {"a": b"22"})
            assert _content(store, "a") == Content(digest(b"22"), 2)
            assert _content(store, "b") is None
            move(store, ("a", "b"))
            assert (_content(store, "a"), _content(store, "b")) == (None, Content(digest(b"22"), 2))
            delete(store, "b")
            assert _content(store, "b") is None

    def test_no_lookup_after_a_call_finds_what_was_before_it(self, tmp_path: Path) -> None:
        """Readers fill the memory all the time."""
        with opened(tmp_path) as store:
            written, stopped, wrong = [0], threading.Event(), []

            def read() -> None:
                while not stopped.is_set():
                    size_min = written[0]
                    content = _content(store, "a")
                    if size_min and (content is None or content.size < size_min):
                        wrong.append((size_min, content))

            readers = [threading.Thread(target=read) for _ in range(4)]
            for reader in readers:
                reader.start()
            for size in range(1, 200):
                put(store, {"a": b"1" * size})
                written[0] = size
            stopped.set()
            for reader in readers:
                reader.join()
            assert not wrong


class ObjectsInMemoryTests:
    def test_small_ones_that_were_read_stay_in_memory(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1"})
            assert store.in_memory.open_object(digest(b"1")) is None
            _read(store, b"1")
            file = store.in_memory.open_object(digest(b"1"))
            assert file
            assert file.read(0, 10) == b"1"
            file.close()
            delete(store, "a")
        with opened(tmp_path) as store:
            assert store.in_memory.open_object(digest(b"1")) is None

    def test_a_deleted_one_leaves_memory_with_its_object(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1"})
            _read(store, b"1")
            delete(store, "a")
            assert store.tidy().result(60)
            assert store.in_memory.open_object(digest(b"1")) is None

    def test_a_large_one_does_not_stay(self, tmp_path: Path) -> None:
        large = bytes(HEAD_BYTES + 1)
        with opened(tmp_path) as store:
            put(store, {"a": large})
            _read(store, large)
            assert store.in_memory.open_object(digest(large)) is None

    def test_a_corrupt_one_does_not_stay(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1"})
            path = store.object_path(digest(b"1"))
            path.chmod(0o644)
            path.write_bytes(b"2")
            _read(store, b"1")
            assert store.in_memory.open_object(digest(b"1")) is None


class RenditionsInMemoryTests:
    def test_small_ones_that_were_asked_for_stay_in_memory_and_count_as_hits(
        self, tmp_path: Path
    ) -> None:
        with opened_cache(tmp_path) as cache:
            put_rendition(cache, tmp_path, "a", b"123")
            assert cache.get_in_memory(hexed("a")) is None
            assert (cache.hits, cache.misses) == (0, 1)
            _keep(cache, "a")
            found = cache.get_in_memory(hexed("a"))
            assert found
            assert (found.file.read(0, 10), found.digest, found.facts) == (
                b"123",
                digest(b"123"),
                RENDITION_FACTS,
            )
            found.file.close()
            assert (cache.hits, cache.misses) == (2, 1)

    def test_using_them_keeps_them_in_the_cache(self, tmp_path: Path) -> None:
        with opened_cache(tmp_path, 2 * 4096) as cache:
            put_rendition(cache, tmp_path, "a", b"1")
            put_rendition(cache, tmp_path, "b", b"2")
            for name in "ab":
                _keep(cache, name)
            assert cache.get_in_memory(hexed("a"))
            put_rendition(cache, tmp_path, "c", b"3")
            assert cache.get_in_memory(hexed("a"))
            assert cache.get_in_memory(hexed("b")) is None, "it was used before a, and has gone"

    def test_they_go_with_their_source_with_the_cache_and_at_its_end(self, tmp_path: Path) -> None:
        with opened_cache(tmp_path) as cache:
            put_rendition(cache, tmp_path, "a", b"1", source="one")
            put_rendition(cache, tmp_path, "b", b"2", source="other")
            for name in "ab":
                _keep(cache, name)
            cache.forget([hexed("one")])
            assert cache.get_in_memory(hexed("a")) is None
            assert cache.get_in_memory(hexed("b"))
            cache.give_up_space()
            assert cache.get_in_memory(hexed("b")) is None
            put_rendition(cache, tmp_path, "c", b"3")
            _keep(cache, "c")
        assert cache.get_in_memory(hexed("c")) is None


def _row(path: str) -> Row:
    return Row(Entry(path, Version(1, "n"), None, Content(digest(b"1"), 1), 1), FACTS)


def _content(store: Store, path: str) -> Content | None:
    rows = store.rows([path])
    return rows[path].entry.content if path in rows else None


def _read(store: Store, content: bytes) -> None:
    file = store.read_object(digest(content))
    assert file
    file.close()


def _keep(cache: RenderCache, name: str) -> None:
    cached = cache.get(hexed(name))
    assert cached
    file = SharedFile(cached.file, cached.size)
    cache.keep_in_memory(hexed(name), file, cached)
    file.close()
