"""Many threads on the same few paths: what each was told is what happened, in the order of the
numbers that they got.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagepipe.core.replication.fetches import ReceiveResult
from imagepipe.core.rows.entries import Content
from imagepipe.errors import BadRequest
from tests.support.random_load import Operation, Walk
from tests.support.stores import check_whole, digest, expected_tree, open_store, opened, put, tree

THREADS = 6
STEPS = 60


@pytest.fixture
def all_at_once() -> Iterator[None]:
    """Threads take turns as often as they can, and so within everything that is not one step."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_threads(work: Callable[[int], None]) -> None:
    """Do it in all threads, each with its number, to the end."""
    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class ThreadsTests:
    @pytest.mark.parametrize("seed", range(3))
    def test_the_tree_is_what_the_answers_say(self, tmp_path: Path, seed: int) -> None:
        store = open_store(tmp_path, checkpoint_seconds=0.001)
        done: list[tuple[int, Operation]] = []
        broken: list[BaseException] = []

        def work(number: int) -> None:
            walk = Walk(f"{seed} {number}", "x")
            try:
                for _ in range(STEPS):
                    operation = walk.next()
                    try:
                        commit = operation.run(store)
                    except BadRequest:
                        continue
                    if commit.version is not None:
                        done.append((commit.seq, operation))
            except BaseException as error:
                broken.append(error)

        in_threads(work)
        assert broken == []
        images: dict[str, bytes] = {}
        for _, operation in sorted(done, key=lambda one: one[0]):
            images = operation.apply(images)
        assert tree(tmp_path) == expected_tree(images)
        check_whole(store, tmp_path)
        store.close()

    @pytest.mark.usefixtures("all_at_once")
    def test_each_has_a_staging_folder_and_a_transfer_of_its_own(self, tmp_path: Path) -> None:
        broken: list[BaseException] = []

        def work(number: int) -> None:
            try:
                for at in range(4 * STEPS):
                    with store.staging() as folder:
                        assert list(folder.iterdir()) == []
                    data = f"{number} {at}".encode()
                    assert (
                        store.peers.receive(number, Content(digest(data), len(data)), 0, data)
                        is ReceiveResult.COMPLETE
                    )
            except BaseException as error:
                broken.append(error)

        with opened(tmp_path) as store:
            in_threads(work)
            assert broken == []

    def test_readers_never_see_half_an_image_or_none(self, tmp_path: Path) -> None:
        with opened(tmp_path, checkpoint_seconds=0.001) as store:
            contents = [bytes([value]) * 300_000 for value in range(8)]
            put(store, {"a/b": contents[0]})
            stop = threading.Event()
            seen: set[bytes] = set()

            def read() -> None:
                while not stop.is_set():
                    seen.add((tmp_path / "a" / "b").read_bytes())

            reader = threading.Thread(target=read)
            reader.start()
            for turn in range(80):
                put(store, {"a/b": contents[turn % 8]})
            stop.set()
            reader.join()
            assert seen <= set(contents)
            check_whole(store, tmp_path)

    def test_a_refused_call_does_not_disturb_its_group(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1"})
            gate, busy = threading.Event(), threading.Event()

            def hold(_future: object) -> None:  # the writer waits in here, and calls gather
                busy.set()
                gate.wait(60)

            store.delete(["nothing"]).add_done_callback(hold)
            busy.wait(60)
            futures = [
                store.move([(source, f"new/{source}")])
                for source in ("a", "missing", "missing too")
            ] + [store.delete(["a/x"])]
            gate.set()
            assert [type(future.exception(60)) for future in futures] == [
                type(None),
                BadRequest,
                BadRequest,
                type(None),
            ]
            assert tree(tmp_path) == expected_tree({"new/a": b"1"})
            check_whole(store, tmp_path)
