"""Where request bodies wait."""

import resource
from pathlib import Path

from imagepipe.web.http.body_memory import LARGE_BODY_BYTES, MEMORY_BYTES_MAX, BodyMemory


class BodyMemoryTests:
    """Room is bounded, and comes back."""

    def test_there_is_room_up_to_the_bound(self) -> None:
        memory = BodyMemory(10)
        body = memory.body(6)
        assert body is not None
        assert memory.body(5) is None
        assert memory.body(4) is not None

    def test_what_is_closed_is_free_again_once(self) -> None:
        memory = BodyMemory(10)
        body = memory.body(10)
        assert body is not None
        body.write(b"0123456789")
        body.close()
        body.close()
        assert memory.body(11) is None
        assert memory.body(10) is not None

    def test_so_is_what_nobody_has_any_more(self) -> None:
        memory = BodyMemory(10)
        memory.body(10)  # and forgotten
        assert memory.body(10) is not None


class LargeBodyTests:
    """A large body has a memory map."""

    def test_it_reads_as_it_was_written(self) -> None:
        pieces = [bytes([n]) * (70_000 + n) for n in range(20)]
        whole = b"".join(pieces)
        body = BodyMemory().body(len(whole))
        assert body is not None
        for piece in pieces:
            body.write(piece)
        body.flush()
        body.seek(69_999)
        assert body.read(100_000) == whole[69_999:169_999]
        assert body.read() == whole[169_999:]

    def test_its_room_comes_back_when_it_is_closed_or_forgotten(self) -> None:
        size = LARGE_BODY_BYTES + 1
        memory = BodyMemory(size)
        body = memory.body(size)
        assert body is not None
        assert memory.body(size) is None
        body.close()
        body.close()
        assert memory.body(size) is not None  # and forgotten
        assert memory.body(size) is not None

    def test_what_never_arrives_takes_no_memory(self) -> None:
        before = _resident_bytes()
        body = BodyMemory().body(MEMORY_BYTES_MAX)
        assert body is not None
        body.write(bytes(1 << 20))
        assert _resident_bytes() - before < MEMORY_BYTES_MAX // 4


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
