"""What the HTTP image server asks of a store: rows, open files, originals that never overwrite,
promises, and word of what is gone.
"""

import threading
from pathlib import Path

import pytest

from imagepipe.core.rows.entries import Content
from imagepipe.errors import Conflict
from imagepipe.storage.catalogue.orders import Order
from imagepipe.storage.shared_file import HEAD_BYTES, SharedFile
from tests.support.stores import (
    FACTS,
    check_whole,
    delete,
    digest,
    move,
    open_store,
    opened,
    put,
    tree,
)

LARGE = bytes(range(256)) * 1024


class RowsTests:
    def test_it_tells_images_deletions_and_what_was_never_heard_of(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1", "b": b"2"})
            delete(store, "b")
            rows = store.rows(["a", "b", "c"])
            assert set(rows) == {"a", "b"}
            assert (rows["a"].entry.content, rows["a"].facts) == (Content(digest(b"1"), 1), FACTS)
            assert (rows["b"].entry.content, rows["b"].facts) == (None, None)


class OnlyNewTests:
    """What is fetched for a path never takes the place of what was stored or deleted there."""

    def test_what_nobody_has_heard_of_is_stored(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1"}, only_new=True)
            assert tree(tmp_path) == {"a": b"1"}

    @pytest.mark.parametrize("gone", [False, True])
    def test_what_was_stored_or_deleted_stays_so(self, tmp_path: Path, gone: bool) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"1"})
            if gone:
                delete(store, "a")
            with pytest.raises(Conflict):
                put(store, {"a": b"2"}, only_new=True)
            assert tree(tmp_path) == ({} if gone else {"a": b"1"})
            check_whole(store, tmp_path)

    def test_even_a_deletion_of_what_never_was_counts(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            delete(store, "a")
            with pytest.raises(Conflict):
                put(store, {"a": b"2"}, only_new=True)

    def test_of_many_at_once_one_is_stored(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            together = threading.Barrier(8)
            refused = []

            def try_it(number: int) -> None:
                together.wait(60)
                try:
                    put(store, {"a": b"%d" % number}, only_new=True)
                except Conflict:
                    refused.append(number)

            threads = [threading.Thread(target=try_it, args=(number,)) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            assert len(refused) == 7
            check_whole(store, tmp_path)


class OpenObjectTests:
    def test_a_small_one_is_read_at_once(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": b"12345"})
            file = store.open_object(digest(b"12345"))
            assert file
            assert (file.size, file.head, file.is_in_memory) == (5, b"12345", True)
            assert file.read(1, 3) == b"234"
            file.close()

    def test_a_large_one_is_read_piece_by_piece_even_when_it_is_deleted_meanwhile(
        self, tmp_path: Path
    ) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": LARGE})
            file = store.open_object(digest(LARGE))
            assert file
            assert (file.size, file.head, file.is_in_memory) == (
                len(LARGE),
                LARGE[:HEAD_BYTES],
                False,
            )
            delete(store, "a")
            check_whole(store, tmp_path)
            assert file.read(0, 9) == LARGE[:9]
            assert file.read(HEAD_BYTES - 5, 10) == LARGE[HEAD_BYTES - 5 : HEAD_BYTES + 5]
            file.close()

    def test_what_is_gone_cannot_be_opened(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            assert store.open_object(digest(b"never")) is None

    def test_the_last_holder_closes_it(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(LARGE)
        inner = (tmp_path / "f").open("rb", buffering=0)
        file = SharedFile(inner)
        file.hold()
        file.close()
        assert not inner.closed
        file.close()
        assert inner.closed


class RemovedTests:
    """Whoever keeps things made of an image is told when its bytes are gone."""

    def test_it_fires_once_nothing_names_them_any_more(self, tmp_path: Path) -> None:
        gone: list[str] = []
        store = open_store(tmp_path)
        store.removed.connect(gone.extend)
        put(store, {"a": b"1", "b": b"1", "c": b"2"})
        delete(store, "a", "c")
        move(store, ("b", "d"))
        check_whole(store, tmp_path)
        assert gone == [digest(b"2")]
        put(store, {"d": b"3"})
        check_whole(store, tmp_path)
        assert gone == [digest(b"2"), digest(b"1")]
        store.close()

    def test_a_failing_listener_does_no_harm(self, tmp_path: Path) -> None:
        def fail(_: object) -> None:
            raise RuntimeError

        store = open_store(tmp_path)
        store.removed.connect(fail)
        put(store, {"a": b"1"})
        delete(store, "a")
        check_whole(store, tmp_path)
        store.close()


class OrderTests:
    """Promises outlast the process."""

    def test_they_are_there_after_a_restart_until_they_are_kept(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            store.order(Order("b", ("w5.jpg", "x9.webp")))
            store.order(Order("a", ("w5.jpg",)))
            store.order(Order("b", ("w5.jpg",)))
        with opened(tmp_path) as store:
            assert store.orders() == [Order("a", ("w5.jpg",)), Order("b", ("w5.jpg", "x9.webp"))]
            store.fulfil(Order("b", ("w5.jpg",)))
            store.fulfil(Order("c", ("never",)))
        with opened(tmp_path) as store:
            assert store.orders() == [Order("a", ("w5.jpg",)), Order("b", ("x9.webp",))]
