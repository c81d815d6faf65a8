"""Where request bodies wait."""

from imagepipe.web.http.body_memory import BodyMemory


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
