"""Bytes that come from a peer: whatever their order and number, only those that the digest says
become an object.
"""

import itertools
import shutil
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagepipe.core.replication.admission import Admission
from imagepipe.core.replication.fetches import ReceiveResult
from imagepipe.core.rows.entries import Content
from imagepipe.storage.store import Store
from imagepipe.storage.transfers import Transfers
from tests.support.stores import PRIVATE, digest, objects, open_store, opened, put

DATA = bytes(range(256)) * 4
CONTENT = Content(digest(DATA), len(DATA))
PNG = b"\x89PNG\r\n\x1a\n" + bytes(2000)


def staged(root: Path) -> list[str]:
    """What lies in the staging folder."""
    return [file.name for file in (root / PRIVATE / "staging").iterdir()]


class ReceiveTests:
    def test_all_at_once(self, tmp_path: Path) -> None:
        store = open_store(tmp_path, umask=0o027)
        assert store.peers.receive(1, CONTENT, 0, DATA) is ReceiveResult.COMPLETE
        assert store.object_path(CONTENT.digest).read_bytes() == DATA
        assert stat.S_IMODE(store.object_path(CONTENT.digest).stat().st_mode) == 0o640
        assert staged(tmp_path) == []
        store.close()

    @pytest.mark.parametrize(
        "order", list(itertools.permutations([(0, 100), (100, 900), (900, 1024)]))
    )
    def test_in_pieces_of_any_order(
        self, tmp_path: Path, order: tuple[tuple[int, int], ...]
    ) -> None:
        with opened(tmp_path) as store:
            for start, end in order[:-1]:
                assert store.peers.receive(1, CONTENT, start, DATA[start:end]) is ReceiveResult.MORE
                assert not objects(tmp_path)
            start, end = order[-1]
            assert store.peers.receive(1, CONTENT, start, DATA[start:end]) is ReceiveResult.COMPLETE
            assert objects(tmp_path) == {CONTENT.digest: DATA}
            assert staged(tmp_path) == []

    def test_by_several_threads(self, tmp_path: Path) -> None:
        data = bytes(range(256)) * 4096
        content = Content(digest(data), len(data))
        with opened(tmp_path) as store:
            results: list[ReceiveResult] = []
            pieces = iter(range(0, len(data), 10_000))  # of which each thread takes the next

            def work() -> None:
                results.extend(
                    store.peers.receive(1, content, start, data[start : start + 10_000])
                    for start in pieces
                )

            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert results.count(ReceiveResult.COMPLETE) == 1
            assert results.count(ReceiveResult.MORE) == len(results) - 1
            assert objects(tmp_path) == {content.digest: data}

    def test_nothing_is_an_object_too(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            assert store.peers.receive(1, Content(digest(b""), 0), 0, b"") is ReceiveResult.COMPLETE
            assert objects(tmp_path) == {digest(b""): b""}

    def test_what_was_here_already_keeps_its_file(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": DATA})
            before = (tmp_path / "a").stat()
            assert store.peers.receive(1, CONTENT, 0, DATA) is ReceiveResult.COMPLETE
            assert store.object_path(CONTENT.digest).stat().st_ino == before.st_ino


class DamagedTests:
    def test_wrong_bytes_are_gone(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            assert store.peers.receive(1, CONTENT, 0, DATA[::-1]) is ReceiveResult.DAMAGED
            assert store.peers.receive(2, CONTENT, 0, DATA[:10]) is ReceiveResult.MORE
            assert store.peers.receive(2, CONTENT, 10, DATA[11:] + b"x") is ReceiveResult.DAMAGED
            assert (objects(tmp_path), staged(tmp_path)) == ({}, [])
            assert store.peers.receive(2, CONTENT, 0, DATA) is ReceiveResult.COMPLETE

    @pytest.mark.parametrize(("offset", "data"), [(-1, b"x"), (0, DATA + b"x"), (1000, DATA[:100])])
    def test_so_is_what_lies_outside(self, tmp_path: Path, offset: int, data: bytes) -> None:
        with opened(tmp_path) as store:
            assert store.peers.receive(1, CONTENT, 5, DATA[5:10]) is ReceiveResult.MORE
            assert store.peers.receive(1, CONTENT, offset, data) is ReceiveResult.DAMAGED
            assert staged(tmp_path) == []

    def test_the_same_piece_twice_does_not_replace_the_rest(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            assert store.peers.receive(1, CONTENT, 0, DATA[:512]) is ReceiveResult.MORE
            assert store.peers.receive(1, CONTENT, 0, DATA[:512]) is ReceiveResult.DAMAGED
            assert (objects(tmp_path), staged(tmp_path)) == ({}, [])


class RoomTests:
    """A peer takes no more room than there is, whatever it announces, and nobody gives up any for
    it.
    """

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        """A store whose disk has room for a thousand bytes of peers."""
        with opened(tmp_path) as store:
            self.room = 1000
            store.peers._transfers = Transfers(
                tmp_path / PRIVATE / "staging",
                store._parts.objects,
                lambda: self.room,
                lambda _: True,
            )
            yield store

    def test_what_is_announced_must_fit(self, store: Store, tmp_path: Path) -> None:
        assert (
            store.peers.receive(1, Content("1" * 64, 1 << 40), 0, bytes(10))
            is ReceiveResult.NO_ROOM
        )
        assert staged(tmp_path) == []
        assert store.peers.receive(2, Content("2" * 64, 1000), 0, bytes(10)) is ReceiveResult.MORE

    def test_beside_what_others_have_announced(self, store: Store) -> None:
        assert store.peers.receive(1, Content("1" * 64, 600), 0, bytes(10)) is ReceiveResult.MORE
        assert store.peers.receive(2, Content("2" * 64, 411), 0, bytes(10)) is ReceiveResult.NO_ROOM
        assert store.peers.receive(3, Content("3" * 64, 410), 0, bytes(10)) is ReceiveResult.MORE

    def test_when_the_room_is_taken_meanwhile_it_ends(self, store: Store, tmp_path: Path) -> None:
        assert store.peers.receive(1, Content("1" * 64, 600), 0, bytes(10)) is ReceiveResult.MORE
        self.room = 9
        assert (
            store.peers.receive(1, Content("1" * 64, 600), 10, bytes(10)) is ReceiveResult.NO_ROOM
        )
        assert staged(tmp_path) == []

    def test_the_disk_keeps_room_for_the_images_of_clients(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            free = shutil.disk_usage(tmp_path).free
            assert store.peers.space_for_peers() < free
            before = store.peers.space_for_peers()
            store.peers.admission = Admission(bytes_max=1 << 20, pixels_max=1)
            assert store.peers.space_for_peers() < before


class ImageTests:
    """A peer cannot plant a page or a script in the tree: what is no image by its first bytes is
    not kept.
    """

    PAGE = b"<script>alert(1)</script>" * 100

    @pytest.mark.parametrize("cut", [0, 1000])
    def test_only_images_become_objects(self, tmp_path: Path, cut: int) -> None:
        with opened(tmp_path) as store:
            store.peers.admission = Admission(bytes_max=1 << 20, pixels_max=1 << 20)
            for number, (data, expected) in enumerate(
                [(self.PAGE, ReceiveResult.UNWANTED), (PNG, ReceiveResult.COMPLETE)]
            ):
                content = Content(digest(data), len(data))
                if cut:
                    assert store.peers.receive(number, content, 0, data[:cut]) is ReceiveResult.MORE
                assert store.peers.receive(number, content, cut, data[cut:]) is expected
            assert objects(tmp_path) == {digest(PNG): PNG}
            assert staged(tmp_path) == []


class DiscardTests:
    def test_what_came_is_gone_and_it_can_be_said_again(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            store.peers.receive(1, CONTENT, 0, DATA[:10])
            assert len(staged(tmp_path)) == 1
            for _ in range(2):
                store.peers.discard(1)
            assert staged(tmp_path) == []

    def test_a_start_forgets_what_did_not_end(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            store.peers.receive(1, CONTENT, 0, DATA[:10])
        with opened(tmp_path) as store:
            assert staged(tmp_path) == []
            assert store.peers.receive(1, CONTENT, 10, DATA[10:]) is ReceiveResult.MORE

    def test_no_image_takes_the_room_that_a_delete_may_need(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            store._parts.reserve.release()  # as on a full disk
            assert store.peers.receive(1, CONTENT, 0, DATA) is ReceiveResult.NO_ROOM
            assert staged(tmp_path) == []


class ReadTests:
    def test_a_piece_is_all_of_what_was_asked_for_or_nothing(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            put(store, {"a": DATA})
            assert store.peers.read_piece(CONTENT.digest, 10, 20) == DATA[10:30]
            assert store.peers.read_piece(CONTENT.digest, 0, 1024) == DATA
            assert store.peers.read_piece(CONTENT.digest, 1000, 25) is None
            assert store.peers.read_piece(digest(b"missing"), 0, 1) is None

    def test_a_link_is_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_bytes(b"secret")
        with opened(tmp_path / "images") as store:
            store.object_path(CONTENT.digest).symlink_to(tmp_path / "secret")
            assert store.peers.read_piece(CONTENT.digest, 0, 6) is None


class HoldTests:
    """Bytes that were fetched stay until their row is joined, or given up."""

    def test_what_nobody_holds_goes(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            store.peers.receive(1, CONTENT, 0, DATA)
            assert store.tidy().result(60)
            assert objects(tmp_path) == {}
