"""Many threads in the render cache at once: whatever they are told is right, and what is on the
disk in the end is what the cache says.
"""

import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from imagepipe.storage.cache.cache import RenderCache
from tests.support.caches import (
    BLOCK,
    FACTS,
    files,
    get,
    hexed,
    open_cache,
    opened,
    put,
    read,
    stage,
)

THREADS = 4


def at_once(*works: Callable[[], object]) -> None:
    """Run all of them at once; what one of them raises is raised."""
    barrier = threading.Barrier(len(works))
    broken: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            barrier.wait(60)
            work()
        except BaseException as error:
            broken.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if broken:
        raise broken[0]


class ThreadsTests:
    def test_two_puts_of_one_key_keep_one(self, tmp_path: Path) -> None:
        with opened(tmp_path, 50 * BLOCK) as cache:
            for turn in range(60):

                def work(content: bytes, name: str = f"{turn}") -> None:
                    assert put(cache, tmp_path, name, content) == content
                    assert get(cache, name) in (b"1", b"2" * 5000)

                at_once(lambda: work(b"1"), lambda: work(b"2" * 5000))
                assert get(cache, f"{turn}") in (b"1", b"2" * 5000)
            assert cache.files == len(files(tmp_path))

    @pytest.mark.parametrize("seed", range(4))
    def test_every_answer_is_right_whatever_the_others_do(self, tmp_path: Path, seed: int) -> None:
        room = 12
        with opened(tmp_path, room * BLOCK, in_memory_max=5) as cache:

            def work(number: int) -> None:
                chance = random.Random(f"{seed} {number}")
                for step in range(300):
                    name = f"{chance.randrange(16)}"
                    content = (name.encode() * 5000)[: 1 + int(name) * 500]
                    action = chance.random()
                    if action < 0.5:
                        assert get(cache, name) in (content, None)
                    elif action < 0.95:
                        assert (
                            put(cache, tmp_path, name, content, f"source {int(name) % 4}")
                            == content
                        )
                    elif action < 0.99:
                        cache.forget([hexed(f"source {chance.randrange(4)}")])
                    elif step % 3:
                        cache.recover()
                    else:
                        cache.give_up_space()
                    assert cache.bytes <= room * BLOCK

            at_once(*(lambda number=number: work(number) for number in range(THREADS)))
            assert cache.files == len(files(tmp_path))
            assert cache.hits
        with opened(tmp_path, room * BLOCK) as cache:
            assert cache.files == len(files(tmp_path))

    @pytest.mark.parametrize("turn", range(20))
    def test_nothing_of_a_deleted_source_stays(self, tmp_path: Path, turn: int) -> None:
        there = {hexed(f"{number}") for number in range(40)}

        def render() -> None:
            for number in range(40):
                put(cache, tmp_path, f"{turn} {number}", b"1", f"{number}")

        def delete() -> None:
            for number in range(40):
                there.discard(hexed(f"{number}"))
                cache.forget([hexed(f"{number}")])

        with opened(tmp_path, is_there=there.__contains__) as cache:
            at_once(render, delete, render)
            assert (cache.files, files(tmp_path)) == (0, [])

    def test_looking_for_a_source_makes_nobody_wait(self, tmp_path: Path) -> None:
        looking, go_on = threading.Event(), threading.Event()

        def is_there(source: str) -> bool:
            if source != hexed("slow"):
                return True
            looking.set()
            go_on.wait(60)
            return False

        with opened(tmp_path, is_there=is_there) as cache:
            put(cache, tmp_path, "a", b"1")
            slow = threading.Thread(target=put, args=(cache, tmp_path, "slow", b"2", "slow"))
            slow.start()
            looking.wait(60)
            assert get(cache, "a") == b"1"
            assert get(cache, "slow") == b"2"  # for a moment
            put(cache, tmp_path, "b", b"3")
            cache.forget([hexed("slow")])
            assert cache.files == 2
            go_on.set()
            slow.join()
            assert (cache.files, len(files(tmp_path))) == (2, 2)

    def test_closing_waits_for_what_is_under_way_and_refuses_nothing_after(
        self, tmp_path: Path
    ) -> None:
        looking, go_on = threading.Event(), threading.Event()

        def is_there(_source: str) -> bool:
            looking.set()
            return go_on.wait(60)

        cache = open_cache(tmp_path, is_there=is_there)
        under_way = threading.Thread(target=put, args=(cache, tmp_path, "a", b"1"))
        under_way.start()
        looking.wait(60)
        closer = threading.Thread(target=cache.close)
        closer.start()
        cache._closing.wait(60)
        assert closer.is_alive()
        go_on.set()
        closer.join()
        under_way.join()
        assert put(cache, tmp_path, "b", b"2") == b"2"
        with opened(tmp_path) as cache:
            assert [get(cache, name) for name in "ab"] == [b"1", None]

    def test_puts_while_it_is_closed_leave_nothing_behind(self, tmp_path: Path) -> None:
        for turn in range(10):
            cache = open_cache(tmp_path)

            def work(cache: RenderCache = cache, turn: int = turn) -> None:
                for number in range(20):
                    assert (
                        put(cache, tmp_path, f"{turn} {number}", b"%d" % number) == b"%d" % number
                    )

            at_once(work, cache.close, work)
            with opened(tmp_path) as cache:
                assert cache.files == len(files(tmp_path))
                for number in range(20):
                    assert get(cache, f"{turn} {number}") in (b"%d" % number, None)

    def test_what_is_open_stays_readable_when_all_is_shed(self, tmp_path: Path) -> None:
        with opened(tmp_path) as cache:
            for _ in range(20):

                def render() -> None:
                    for number in range(10):
                        cached = cache.put(
                            hexed(f"{number}"),
                            hexed("source"),
                            stage(tmp_path, b"%d" % number),
                            FACTS,
                        )
                        again = cache.get(hexed(f"{number}"))
                        assert read(again) in (b"%d" % number, None)
                        assert read(cached) == b"%d" % number

                at_once(render, cache.give_up_space, render, cache.give_up_space)
            cache.give_up_space()
            assert files(tmp_path) == []
            assert [path.name for path in (tmp_path / "cache").iterdir()] == ["in-use"]
