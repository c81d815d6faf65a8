"""A queue that no single client can fill for the others."""

from imagepipe.core.queues.fair_queue import FairQueue


def filled(**clients: int) -> FairQueue[str]:
    """A queue with that many items of each client: `a1`, `a2` and so on."""
    items: FairQueue[str] = FairQueue()
    for client, count in clients.items():
        for number in range(1, count + 1):
            items.put(client, f"{client}{number}")
    return items


def all_of(items: FairQueue[str]) -> list[str]:
    """All that is left, in order."""
    return list(iter(items.take, None))


class TakeTests:
    def test_one_client_is_served_in_order(self) -> None:
        assert all_of(filled(a=3)) == ["a1", "a2", "a3"]

    def test_clients_take_turns(self) -> None:
        assert all_of(filled(a=4, b=1, c=2)) == ["a1", "b1", "c1", "a2", "c2", "a3", "a4"]

    def test_a_client_that_comes_later_is_next_but_one(self) -> None:
        items = filled(a=64)
        assert items.take() == "a1"
        items.put("b", "b1")
        assert [items.take(), items.take()] == ["a2", "b1"]

    def test_an_empty_queue_has_nothing(self) -> None:
        assert FairQueue[str]().take() is None


class MakeWayTests:
    def test_the_client_with_most_gives_up_its_newest(self) -> None:
        items = filled(b=2, a=3)
        assert items.evict("c") == "a3"
        assert all_of(items) == ["b1", "a1", "b2", "a2"]

    def test_one_that_would_have_as_many_gets_nothing(self) -> None:
        items = filled(a=3, b=2)
        assert items.evict("b") is None
        assert items.evict("a") is None
        assert filled(a=1).evict("b") is None
        assert FairQueue[str]().evict("b") is None
