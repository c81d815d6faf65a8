"""Passwords take turns: a crowd holds up nobody else."""

from imagepipe.core.queues.password_queue import PasswordQueue


def drained(queue: "PasswordQueue[str]") -> list[str]:
    """All items, in the order in which they come."""
    found = []
    while (item := queue.next()) is not None:
        found.append(item)
    return found


class TurnTests:
    def test_an_empty_queue_has_nothing(self) -> None:
        assert PasswordQueue[str](3).next() is None

    def test_sources_take_turns_then_their_names_and_the_newest_is_next(self) -> None:
        queue = PasswordQueue[str](10)
        for source, name, item in [
            ("A", b"ann", "3"),
            ("A", b"bob", "7"),
            ("B", b"bob", "8"),
            ("A", b"bob", "9"),
        ]:
            assert queue.add(source, name, item) is None
        assert len(queue) == 4
        assert drained(queue) == ["3", "8", "9", "7"]
        assert len(queue) == 0

    def test_a_name_that_has_had_its_turn_waits_for_the_others(self) -> None:
        queue = PasswordQueue[str](10)
        for name, item in [(b"a", "a1"), (b"a", "a2"), (b"b", "b1"), (b"b", "b2")]:
            queue.add("A", name, item)
        assert drained(queue) == ["a2", "b2", "a1", "b1"]

    def test_a_right_password_is_next_after_any_number_of_wrong_ones(self) -> None:
        queue = PasswordQueue[str](1000)
        for number in range(500):
            queue.add("A", b"bob", f"wrong {number}")
        queue.add("A", b"bob", "right")
        assert queue.next() == "right"

    def test_another_source_waits_for_one_turn_at_most(self) -> None:
        queue = PasswordQueue[str](1000)
        for number in range(500):
            queue.add("A", b"%d" % number, "wrong")
        queue.add("B", b"bob", "right")
        assert [queue.next(), queue.next()] == ["wrong", "right"]


class FullTests:
    def test_the_oldest_of_the_longest_name_of_the_busiest_source_loses_its_place(self) -> None:
        queue = PasswordQueue[str](4)
        for source, name, item in [
            ("A", b"x", "1"),
            ("A", b"y", "2"),
            ("A", b"y", "3"),
            ("B", b"z", "4"),
        ]:
            queue.add(source, name, item)
        assert queue.add("B", b"z", "5") == "2"
        assert sorted(drained(queue)) == ["1", "3", "4", "5"]

    def test_that_may_be_one_of_the_same_source(self) -> None:
        queue = PasswordQueue[str](1)
        queue.add("A", b"x", "1")
        assert queue.add("A", b"x", "2") == "1"

    def test_one_whose_client_has_gone_makes_room(self) -> None:
        queue = PasswordQueue[str](2)
        queue.add("A", b"x", "1")
        queue.add("A", b"x", "2")
        queue.remove("A", b"x", "1")
        assert queue.add("A", b"y", "3") is None
        queue.remove("A", b"x", "2")
        assert drained(queue) == ["3"]
