"""The render cache after a crash, a power cut, or a stranger's hands: whatever is in its folder, an
answer is right or there is none.
"""

import contextlib
import hashlib
import os
import random
import resource
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher

from tests.support.caches import BLOCK, FACTS, crashed, files, get, hexed, open_cache, opened, put

NAMES = "abcdefgh"


def content(name: str) -> bytes:
    """What the rendition `name` is."""
    return name.encode() * 6000


@contextlib.contextmanager
def logged() -> Iterator[list[str]]:
    """The levels and texts of what is logged meanwhile."""
    lines: list[str] = []

    def note(event: LogEvent) -> None:
        lines.append(f"{event['log_level'].name}: {event['log_format']}")

    globalLogPublisher.addObserver(cast(ILogObserver, note))
    try:
        yield lines
    finally:
        globalLogPublisher.removeObserver(cast(ILogObserver, note))


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """What is left of a cache of NAMES, one source each, whose process was killed."""
    with opened(tmp_path / "running") as cache:
        for name in NAMES:
            put(cache, tmp_path / "running", name, content(name), name)
        return crashed(tmp_path / "running", tmp_path / "killed")


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """What is left of the same that was closed in order."""
    with opened(tmp_path) as cache:
        for name in NAMES:
            put(cache, tmp_path, name, content(name), name)
    return tmp_path


def file_of(root: Path, name: str) -> Path:
    """The file of a rendition."""
    [found] = [
        file for file in files(root) if file.is_file() and file.read_bytes() == content(name)
    ]
    return found


def index(root: Path) -> Path:
    """The file of the index."""
    return root / "cache" / "index.sqlite"


class KilledTests:
    def test_nothing_is_lost(self, killed: Path) -> None:
        for _ in range(2):
            with opened(killed) as cache:
                assert [get(cache, name) for name in NAMES] == [content(name) for name in NAMES]
                assert (cache.files, cache.bytes) == (8, 8 * 2 * BLOCK)
                cache.recover()

    def test_files_without_a_row_go_and_so_do_rows_without_a_source(
        self, killed: Path, tmp_path: Path
    ) -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "kept").touch()
        [generation] = (killed / "cache").glob("*/")
        folder = files(killed)[0].parent
        for number in range(700):
            (folder / f"{number:014x}{folder.name}").write_bytes(b"stray")
        for stranger in ("readme", "0" * 16 + folder.name, "f" * 14 + folder.name):
            (folder / stranger).touch()
        (folder / f"{701:014x}{folder.name}").symlink_to(elsewhere / "kept")
        (folder / f"{702:014x}{folder.name}").mkdir()
        (generation / "zz").symlink_to(elsewhere)
        (generation / "readme").touch()
        (generation / "some" / "deep" / "folder").mkdir(parents=True)
        (killed / "cache" / "0123456789abcdef" / "00").mkdir(parents=True)
        (killed / "cache" / "0123456789abcdef" / "00" / "old").touch()
        (killed / "cache" / "link").symlink_to(elsewhere)
        (killed / "cache" / "readme").touch()
        there = {hexed(name) for name in "abgh"}
        with opened(killed, is_there=there.__contains__) as cache:
            cache.recover()
            assert [get(cache, name) for name in NAMES] == [
                content(name) if name in "abgh" else None for name in NAMES
            ]
            assert (cache.files, len(files(killed))) == (4, 4)
            left = {path.name for path in (killed / "cache").iterdir()}
            assert left == {
                generation.name,
                "in-use",
                "index.sqlite",
                "index.sqlite-wal",
                "index.sqlite-shm",
            }
            assert not {path.name for path in generation.iterdir()} & {"zz", "readme", "some"}
        assert [path.name for path in elsewhere.iterdir()] == ["kept"]

    def test_what_comes_meanwhile_is_not_swept(self, killed: Path) -> None:
        asked: list[str] = []

        def is_there(source: str) -> bool:
            if source not in asked:  # within tidying, and within its own put
                asked.append(source)
                (
                    put(cache, killed, f"new {len(asked)}", b"1", f"new {len(asked)}")
                    if len(asked) < 4
                    else None
                )
            return True

        with opened(killed, is_there=is_there) as cache:
            cache.recover()
            assert set(map(hexed, NAMES)) < set(asked)
            assert [get(cache, f"new {number}") for number in (1, 2, 3)] == [b"1"] * 3
            assert cache.files == 8 + 3

    def test_nothing_is_looked_through_after_a_stop_in_order(self, stopped: Path) -> None:
        stray = files(stopped)[0].with_name("0" * 14 + files(stopped)[0].parent.name)
        stray.touch()
        with opened(stopped, is_there=set[str]().__contains__) as cache:
            cache.recover()
            assert [get(cache, name) for name in NAMES] == [content(name) for name in NAMES]
        assert stray.exists()

    def test_it_is_looked_through_at_each_start_until_that_has_ended(self, killed: Path) -> None:
        asked: list[str] = []

        def is_there(source: str) -> bool:
            asked.append(source)
            return True

        with opened(killed, is_there=is_there):
            pass
        for expected in (8, 8):
            with opened(killed, is_there=is_there) as cache:
                cache.recover()
                cache.recover()
            assert len(asked) == expected


def _truncate(file: Path) -> None:
    os.truncate(file, 5999)


def _zero(file: Path) -> None:
    file.write_bytes(bytes(6000))


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _flip(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1] + b"!")


def _link(file: Path) -> None:
    file.rename(file.parents[2] / "elsewhere")
    file.symlink_to(file.parents[2] / "elsewhere")


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


DAMAGES = [Path.unlink, _truncate, _zero, _empty, _flip, _link, _pipe, _folder]


class DamagedFileTests:
    @pytest.mark.parametrize("damage", DAMAGES)
    def test_it_is_a_miss_and_is_rendered_again(
        self, stopped: Path, damage: Callable[[Path], None]
    ) -> None:
        damage(file_of(stopped, "c"))
        with opened(stopped) as cache:
            for _ in range(2):
                assert [get(cache, name) for name in NAMES] == [
                    None if name == "c" else content(name) for name in NAMES
                ]
            assert cache.files == 7
            put(cache, stopped, "c", content("c"), "c")
            assert get(cache, "c") == content("c")
        with opened(stopped) as cache:
            cache.recover()
            assert [get(cache, name) for name in NAMES] == [content(name) for name in NAMES]

    @pytest.mark.parametrize("damage", [Path.unlink, _truncate, _empty, _link, _pipe, _folder])
    def test_a_file_that_was_good_is_not_trusted_to_be_there(
        self, tmp_path: Path, damage: Callable[[Path], None]
    ) -> None:
        with opened(tmp_path) as cache:
            put(cache, tmp_path, "c", content("c"))
            damage(file_of(tmp_path, "c"))
            assert get(cache, "c") is None
            assert cache.files == 0
            put(cache, tmp_path, "c", content("c"))
            assert get(cache, "c") == content("c")

    def test_it_is_read_once_a_run(self, stopped: Path) -> None:
        file = file_of(stopped, "c")
        with opened(stopped) as cache:
            assert get(cache, "c") == content("c")
            _zero(file)  # nobody does: but so it shows whether it is read
            held = cache.get(hexed("c"))
            assert held
            held.file.close()
        with opened(stopped) as cache:
            assert get(cache, "c") is None


def _replaced(path: Path, text: bytes) -> None:
    path.write_bytes(text)


def _sql(*statements: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)

    return change


USELESS: dict[str, Callable[[Path], None]] = {
    "empty": lambda path: _replaced(path, b""),
    "noise": lambda path: _replaced(path, random.Random(1).randbytes(50_000)),
    "its first page alone": lambda path: os.truncate(path, 4096),
    "half a page": lambda path: os.truncate(path, 2000),
    "a link": _link,
    "a folder": _folder,
    "a pipe": _pipe,
    "a stranger's": _sql("DROP TABLE meta", "CREATE TABLE meta (x)", "INSERT INTO meta VALUES (1)"),
    "an older format": _sql("UPDATE meta SET format = 0"),
    "without a format": _sql("DELETE FROM meta"),
    "of two formats": _sql("INSERT INTO meta SELECT * FROM meta"),
    "without a table": _sql("DROP TABLE rendition"),
    "of another generation": _sql("UPDATE meta SET generation = '0123456789abcdef'"),
    "of no generation": _sql("UPDATE meta SET generation = '..'"),
}


class DamagedIndexTests:
    @pytest.mark.parametrize("damage", USELESS.values(), ids=USELESS)
    def test_everything_starts_over(self, stopped: Path, damage: Callable[[Path], None]) -> None:
        damage(index(stopped))
        with logged() as lines, opened(stopped) as cache:
            assert [get(cache, name) for name in NAMES] == [None] * 8
            put(cache, stopped, "a", content("a"))
            cache.recover()
            assert get(cache, "a") == content("a")
            assert (cache.files, len(files(stopped))) == (1, 1)
        assert len(lines) <= 1
        with logged() as lines, opened(stopped) as cache:
            assert [get(cache, name) for name in "ab"] == [content("a"), None]
        assert lines == []

    def test_it_is_logged(self, stopped: Path) -> None:
        _sql("UPDATE meta SET format = 0")(index(stopped))
        with logged() as lines, opened(stopped):
            pass
        assert lines == ["error: the render cache is unusable and starts empty: {error}"]

    @pytest.mark.parametrize("seed", range(60))
    def test_no_noise_in_it_makes_a_wrong_answer_or_an_error(
        self, stopped: Path, seed: int
    ) -> None:
        chance = random.Random(seed)
        noisy = bytearray(index(stopped).read_bytes())
        for _ in range(chance.choice([1, 5, 50])):
            at = chance.randrange(100, len(noisy))
            length = chance.choice([1, 4, 100, 512])
            noisy[at : at + length] = chance.choice(
                [
                    chance.randbytes(length),
                    bytes(length),
                    bytes(noisy[at - 100 : at - 100 + length]),
                ]
            )
        index(stopped).write_bytes(noisy)
        (stopped / "cache" / "in-use").touch()
        with opened(stopped, 40 * BLOCK) as cache:
            for name in NAMES:
                assert get(cache, name) in (content(name), None)
            if seed % 2:
                cache.recover()
            cache.forget([hexed("a"), hexed("b")])
            for number in range(30):
                assert (
                    put(cache, stopped, f"{number}", b"%d" % number * 5000) == b"%d" % number * 5000
                )
            for name in NAMES:
                assert get(cache, name) in (content(name), None)
            cache.recover()
        with opened(stopped) as cache:
            for number in range(30):
                assert get(cache, f"{number}") in (b"%d" % number * 5000, None)

    def test_one_that_is_damaged_where_nobody_looks_is_found_out_after_a_crash(
        self, killed: Path
    ) -> None:
        with opened(killed):
            pass
        (killed / "cache" / "in-use").touch()
        with contextlib.closing(sqlite3.connect(index(killed), isolation_level=None)) as connection:
            # an index over the sources that knows none of them
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute(
                "UPDATE sqlite_schema SET sql = sql || ' WHERE number < 0' WHERE name ="
                " 'rendition_source'"
            )
            connection.execute("PRAGMA writable_schema = RESET")
            connection.execute("REINDEX rendition_source")
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute(
                "UPDATE sqlite_schema SET sql = replace(sql, ' WHERE number < 0', '') WHERE name ="
                " 'rendition_source'"
            )
        with logged() as lines, opened(killed) as cache:
            assert get(cache, "a") == content("a")
            cache.recover()
            assert [get(cache, name) for name in NAMES] == [None] * 8
            assert (cache.files, files(killed)) == (0, [])
        assert len(lines) == 1


class FailureTests:
    """What goes wrong while the cache is open."""

    @pytest.mark.parametrize("call", ["get", "put", "forget", "recover", "close"])
    def test_an_error_of_the_index_costs_what_was_kept_and_no_more(
        self, killed: Path, call: str
    ) -> None:
        with logged() as lines, opened(killed, 16 * BLOCK) as cache:
            assert get(cache, "b") == content("b")
            _sql("DROP TABLE rendition")(index(killed))
            if call == "get":
                assert get(cache, "a") is None
            elif call == "put":
                assert put(cache, killed, "a", b"1") == b"1"
            elif call == "forget":
                cache.forget([hexed("a")])
            elif call == "recover":
                cache.recover()
            else:
                cache.close()
            if call != "close":
                assert (cache.files, cache.bytes, files(killed)) == (0, 0, [])
                assert [put(cache, killed, name, b"1") for name in NAMES] == [b"1"] * 8
                assert [get(cache, name) for name in NAMES] == [b"1"] * 8
        assert len(lines) == 1
        with opened(killed) as cache:
            assert get(cache, "a") == (None if call == "close" else b"1")

    def test_a_changed_row_is_not_an_answer(self, stopped: Path) -> None:
        with opened(stopped) as cache:
            _sql("UPDATE rendition SET format = 'gif' WHERE width = 500")(index(stopped))
            assert [get(cache, name) for name in NAMES] == [None] * 8

    def test_a_folder_that_was_emptied_is_filled_again(self, tmp_path: Path) -> None:
        with opened(tmp_path) as cache:
            for turn in range(3):
                for name in NAMES:
                    put(cache, tmp_path, name, content(name))
                assert get(cache, "h") == content("h")
                if turn:
                    shutil.rmtree(tmp_path / "cache")
                else:
                    for folder in (tmp_path / "cache").glob("*/*/"):
                        shutil.rmtree(folder)
                assert [get(cache, name) for name in NAMES] == [None] * 8
        with opened(tmp_path) as cache:
            put(cache, tmp_path, "a", b"1")
            assert get(cache, "a") == b"1"

    def test_a_file_of_another_file_system_is_served_once(self, tmp_path: Path) -> None:
        with opened(tmp_path) as cache:
            staged = Path("/dev/shm") / hashlib.sha256(os.fsencode(tmp_path)).hexdigest()
            if staged.parent.stat().st_dev == tmp_path.stat().st_dev:
                raise AssertionError("this test needs /dev/shm to be a file system of its own")
            staged.write_bytes(b"1")
            with cache.put(hexed("a"), hexed("source"), staged, FACTS).file as file:
                assert file.read() == b"1"
            assert get(cache, "a") is None
            assert not staged.exists()

    def test_a_file_that_cannot_be_removed_is_tried_again_by_the_next_run(
        self, tmp_path: Path
    ) -> None:
        with logged() as lines, opened(tmp_path) as cache:
            put(cache, tmp_path, "a", b"1")
            [file] = files(tmp_path)
            _folder(file)
            (file / "inner").touch()
            assert get(cache, "a") is None
        assert lines == ["error: a file of the render cache could not be removed: {error}"]
        with opened(tmp_path) as cache:
            cache.recover()
            assert files(tmp_path) == []

    def test_without_descriptors_it_is_a_miss_and_stays(self, tmp_path: Path) -> None:
        with opened(tmp_path) as cache:
            put(cache, tmp_path, "a", b"1")
            limit = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, limit[1]))
            try:
                missed = cache.get(hexed("a"))
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limit)
            assert missed is None
            assert get(cache, "a") == b"1"

    def test_closing_does_not_wait_for_tidying_to_end(self, killed: Path) -> None:
        with opened(killed) as cache:
            for number in range(300):
                put(cache, killed, f"{number}", b"1", f"{number}")
        (killed / "cache" / "in-use").touch()
        asked: list[str] = []

        def is_there(source: str) -> bool:
            if not asked:
                closer.start()
            asked.append(source)
            return cache._closing.wait(60)

        cache = open_cache(killed, is_there=is_there)
        closer = threading.Thread(target=cache.close)
        cache.recover()
        closer.join(60)
        assert 0 < len(asked) < 300
        there = set(asked)
        with opened(killed, is_there=there.__contains__) as cache:  # which goes through all of it
            cache.recover()
            assert cache.files == len(there)
