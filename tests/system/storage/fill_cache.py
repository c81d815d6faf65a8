"""A render cache on the small disk that this is given, while the disk fills up; ends with `whole`,
or with what was wrong.

cachefiller.py FOLDER bytes|inodes
"""

import os
import shutil
import sys
from pathlib import Path

from imagepipe.storage.cache.cache import RenderCache
from tests.support.caches import FACTS, files, get, hexed, open_cache, opened, put, read, stage

ENDLESS = 1 << 40
SIZE = 40_000
INDEX = 400_000
"""By how much the index may grow with a put: its log is folded into it now and then."""


def content(number: int) -> bytes:
    """What a rendition is."""
    return (b"%d " % number).ljust(SIZE, b"x")


def free(root: Path) -> tuple[int, int]:
    """The bytes that are free, and those that have to stay so."""
    status = os.statvfs(root)
    return status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize // 20


def fill(root: Path, left: int) -> None:
    """Have somebody else fill the disk until so many bytes are left, to a block; or make room, if
    fewer are.
    """
    block = os.statvfs(root).f_frsize
    with (root / "other").open("ab") as file:
        size = max(0, file.tell() + (free(root)[0] - left) // block * block)
        file.truncate(min(size, file.tell()))
        if size > file.tell():
            os.posix_fallocate(file.fileno(), 0, size)


def the_cache_leaves_room(root: Path) -> None:
    """It would grow for ever: but what is used least makes room, in order, for the disk too."""
    with opened(root, ENDLESS, in_memory_max=3) as cache:
        for number in range(800):
            assert put(cache, root, f"{number}", content(number)) == content(number)
            at_hand, needed = free(root)
            assert at_hand >= needed - INDEX, (number, at_hand, needed)
            if number:
                assert get(cache, "0") == content(0)
        assert cache.evictions > 100
        assert cache.files > 20
        kept = [number for number in range(800) if get(cache, f"{number}")]
        assert kept == [0, *range(800 - len(kept) + 1, 800)], kept


def it_gives_way_to_others(root: Path) -> None:
    """When others take the room, it evicts; when there is none to be had, it keeps nothing."""
    with opened(root, ENDLESS) as cache:
        before = cache.files
        fill(root, free(root)[1] - 300_000)
        assert put(cache, root, "a", content(1)) == content(1)
        assert get(cache, "a") == content(1)
        assert before - 16 < cache.files < before - 5, (before, cache.files)
        assert free(root)[0] >= free(root)[1] - INDEX, free(root)
        cache.give_up_space()
        fill(root, free(root)[1] // 2)
        for number in range(5):
            assert put(cache, root, f"{number}", content(number)) == content(number)
            assert get(cache, f"{number}") is None
        assert (cache.files, files(root)) == (0, [])
        fill(root, 2 * free(root)[1])
        put(cache, root, "a", content(1))
        assert get(cache, "a") == content(1)


def nothing_is_an_error_on_a_full_disk(root: Path) -> None:
    """With not a block left: what is staged is served, what is there is found or not, what is
    forgotten goes.
    """
    with opened(root, ENDLESS) as cache:
        fill(root, 10_000_000)
        for number in range(150):
            put(cache, root, f"{number}", b"%d" % number, f"{number}")
        staged = [stage(root, content(number)) for number in range(2)]
    for call in ("get", "put", "forget", "recover", "give_up_space"):
        # whose log is empty, and would have to grow for each change
        with opened(root, ENDLESS, in_memory_max=400) as cache:
            assert get(cache, "149") == b"149"
            fill(root, 0)
            assert free(root)[0] == 0
            if call == "get":
                for number in range(150):
                    assert get(cache, f"{number}") == b"%d" % number
            elif call == "put":
                assert read(cache.put(hexed("a"), hexed("source"), staged.pop(), FACTS)) == content(
                    1
                )
            elif call == "forget":
                cache.forget([hexed(f"{number}") for number in range(100)])
                assert [get(cache, f"{number}") for number in range(100)] == [None] * 100
                fill(root, 0)
            elif call == "recover":
                cache.recover()
            else:
                cache.give_up_space()
                fill(root, 0)
                assert read(cache.put(hexed("a"), hexed("source"), staged.pop(), FACTS)) == content(
                    0
                )
            assert cache.files == len(files(root)), call
        fill(root, 8_000_000)
        with opened(root, ENDLESS) as cache:
            cache.recover()
            assert cache.files == len(files(root)), call
            for number in range(150):
                assert put(cache, root, f"{number}", b"%d" % number, f"{number}") == b"%d" % number
            assert get(cache, "149") == b"149"
    assert not any((root / "staging").iterdir())


def it_starts_on_a_full_disk(root: Path) -> None:
    """Without a cache, until there is room."""
    shutil.rmtree(root / "cache")
    fill(root, 0)
    cache: RenderCache = open_cache(root, ENDLESS)
    assert get(cache, "a") is None
    cache.recover()
    fill(root, 2 * free(root)[1])
    tries = 0
    while get(cache, "a") is None:
        put(cache, root, "a", content(1))
        tries += 1
    assert tries < 10, tries
    cache.close()


def inodes_are_left(root: Path) -> None:
    """On a disk with few inodes: those that are used least make room for those of others."""
    with opened(root, ENDLESS) as cache:
        for number in range(700):
            assert put(cache, root, f"{number}", b"%d" % number) == b"%d" % number
            status = os.statvfs(root)
            # and the folder that was made for it
            assert status.f_favail >= status.f_files // 20 - 1, number
        assert cache.files > 100
        assert get(cache, "699") == b"699"


CHECKS = {
    "bytes": (
        the_cache_leaves_room,
        it_gives_way_to_others,
        nothing_is_an_error_on_a_full_disk,
        it_starts_on_a_full_disk,
    ),
    "inodes": (inodes_are_left,),
}


def main(folder: str, what: str) -> None:
    """All checks of what runs out, one after the other."""
    for check in CHECKS[what]:
        check(Path(folder))
    print("whole")


if __name__ == "__main__":
    main(*sys.argv[1:])
