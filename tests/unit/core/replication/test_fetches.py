"""Fetches: which bytes are asked of whom."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipe.core.replication.fetches import (
    SLOW_SOURCE_SECONDS,
    Ended,
    Fetches,
    Part,
    ReceiveResult,
)
from imagepipe.core.replication.messages import GET_BYTES_MAX, RANGES_MAX
from imagepipe.core.rows.entries import Content

SMALL, OTHER = Content("1" * 64, 1000), Content("2" * 64, 2000)
LARGE = Content("3" * 64, 2 * GET_BYTES_MAX + 10)
NEVER = float("inf")


def small(number: int) -> Content:
    """One of many small objects."""
    return Content(f"{number:064x}", 100)


def wanting(content: Content, *peers: str, now: float = 0.0) -> Fetches:
    """Fetches of which one is under way, for the pull 1."""
    fetches = Fetches()
    fetches.want(content, 1, peers, now)
    return fetches


def transfers(parts: tuple[Part, ...]) -> list[int]:
    """Of which transfers they are."""
    return [part.transfer for part in parts]


class RangeTests:
    """Small objects share a request, large ones take several."""

    def test_a_small_object_is_one_range(self) -> None:
        assert wanting(SMALL, "a").take("a") == (Part(1, SMALL, 0, 1000),)

    def test_small_objects_are_asked_for_together(self) -> None:
        fetches = wanting(SMALL, "a")
        fetches.want(OTHER, 1, ["a"], 0.0)
        assert fetches.take("a") == (Part(1, SMALL, 0, 1000), Part(2, OTHER, 0, 2000))

    def test_no_more_of_them_than_a_request_may_have(self) -> None:
        fetches = Fetches()
        for number in range(RANGES_MAX + 1):
            fetches.want(small(number), 1, ["a"], 0.0)
        assert [len(fetches.take("a")) for _ in range(3)] == [RANGES_MAX, 1, 0]

    def test_a_large_object_takes_several_requests(self) -> None:
        fetches = wanting(LARGE, "a")
        assert [fetches.take("a") for _ in range(4)] == [
            (Part(1, LARGE, 0, GET_BYTES_MAX),),
            (Part(1, LARGE, GET_BYTES_MAX, GET_BYTES_MAX),),
            (Part(1, LARGE, 2 * GET_BYTES_MAX, 10),),
            (),
        ]

    def test_a_large_object_begins_in_the_room_that_small_ones_leave(self) -> None:
        fetches = wanting(SMALL, "a")
        fetches.want(LARGE, 1, ["a"], 0.0)
        assert fetches.take("a") == (
            Part(1, SMALL, 0, 1000),
            Part(2, LARGE, 0, GET_BYTES_MAX - 1000),
        )
        assert fetches.take("a") == (Part(2, LARGE, GET_BYTES_MAX - 1000, GET_BYTES_MAX),)

    @given(st.lists(st.integers(1, 3 * GET_BYTES_MAX), max_size=100))
    def test_every_byte_is_asked_for_once_and_in_order(self, sizes: list[int]) -> None:
        fetches = Fetches()
        for number, size in enumerate(sizes):
            fetches.want(Content(f"{number:064x}", size), 1, ["a"], 0.0)
        asked = [0] * len(sizes)
        assert fetches.missing_bytes == sum(sizes)
        while parts := fetches.take("a"):
            assert len(parts) <= RANGES_MAX
            assert sum(part.length for part in parts) <= GET_BYTES_MAX
            for part in parts:
                number = int(part.content.digest, 16)
                assert part.offset == asked[number]
                asked[number] += part.length
        assert asked == sizes
        assert fetches.missing_bytes == 0

    def test_a_peer_is_asked_only_for_what_it_may_have(self) -> None:
        assert wanting(SMALL, "a").take("b") == ()


class WantTests:
    """There is one fetch an object, however many want it."""

    def test_what_two_pulls_want_is_asked_for_once(self) -> None:
        fetches = wanting(SMALL, "a")
        fetches.want(SMALL, 2, ["a"], 0.0)
        assert len(fetches.take("a")) == 1
        assert fetches.take("a") == ()
        assert fetches.received(1, ReceiveResult.COMPLETE, 1.0) == Ended(SMALL, frozenset({1, 2}))

    def test_a_further_peer_that_may_have_it_is_asked_after_the_first(self) -> None:
        fetches = wanting(SMALL, "a")
        fetches.want(SMALL, 2, ["a", "b"], 0.0)
        fetches.want(SMALL, 3, ["b"], 0.0)
        assert (transfers(fetches.take("a")), fetches.take("b")) == ([1], ())
        assert fetches.lacks(1, 0.0) is None
        assert fetches.take("b") == (Part(2, SMALL, 0, 1000),)
        assert fetches.lacks(2, 0.0) == Ended(SMALL, frozenset({1, 2, 3}))

    def test_what_was_fetched_may_be_wanted_again(self) -> None:
        fetches = wanting(SMALL, "a")
        fetches.received(1, ReceiveResult.COMPLETE, 0.0)
        fetches.want(SMALL, 2, ["a"], 0.0)
        assert fetches.take("a") == (Part(2, SMALL, 0, 1000),)


class OutcomeTests:
    """What a piece, or the lack of one, makes of a fetch."""

    def test_a_complete_object_ends_it(self) -> None:
        fetches = wanting(SMALL, "a")
        assert fetches.is_under_way(1)
        assert fetches.received(1, ReceiveResult.COMPLETE, 0.0) == Ended(SMALL, frozenset({1}))
        assert not fetches.is_under_way(1)
        assert fetches.take_ended() == []

    def test_a_piece_of_a_larger_one_does_not(self) -> None:
        fetches = wanting(LARGE, "a")
        assert fetches.received(1, ReceiveResult.MORE, 0.0) is None
        assert fetches.is_under_way(1)

    def test_a_peer_that_lacks_the_object_is_passed_over(self) -> None:
        fetches = wanting(LARGE, "a", "b")
        fetches.take("a")
        assert fetches.lacks(1, 0.0) is None
        assert fetches.take("a") == ()
        assert fetches.take("b") == (Part(2, LARGE, 0, GET_BYTES_MAX),)

    def test_when_nobody_has_it_the_fetch_is_given_up(self) -> None:
        fetches = wanting(SMALL, "a", "b")
        assert fetches.lacks(1, 0.0) is None
        assert fetches.lacks(2, 0.0) == Ended(SMALL, frozenset({1}))
        assert (fetches.take("a"), fetches.take("b"), fetches.missing_bytes) == ((), (), 0)

    def test_damaged_bytes_are_asked_for_elsewhere_from_the_start_on(self) -> None:
        fetches = wanting(LARGE, "a", "b")
        fetches.take("a")
        assert fetches.received(1, ReceiveResult.MORE, 0.0) is None
        assert fetches.received(1, ReceiveResult.DAMAGED, 0.0) is None
        assert fetches.take("b") == (Part(2, LARGE, 0, GET_BYTES_MAX),)

    def test_damaged_bytes_of_the_last_peer_give_it_up(self) -> None:
        assert wanting(SMALL, "a").received(1, ReceiveResult.DAMAGED, 0.0) == Ended(
            SMALL, frozenset({1})
        )

    @pytest.mark.parametrize("result", [ReceiveResult.UNWANTED, ReceiveResult.NO_ROOM])
    def test_content_rejected_from_one_peer_is_not_requested_from_another(
        self, result: ReceiveResult
    ) -> None:
        fetches = wanting(SMALL, "a", "b")
        assert fetches.content_of(1) == SMALL
        assert fetches.received(1, result, 0.0) == Ended(SMALL, frozenset({1}))
        assert fetches.content_of(1) is None

    def test_what_comes_of_a_transfer_that_ended_is_nothing(self) -> None:
        fetches = wanting(SMALL, "a", "b")
        fetches.lacks(1, 0.0)
        assert fetches.received(1, ReceiveResult.COMPLETE, 0.0) is None
        assert fetches.received(1, ReceiveResult.DAMAGED, 0.0) is None
        assert fetches.lacks(1, 0.0) is None
        assert fetches.is_under_way(2)

    def test_incomplete_transfers_are_reported_once(self) -> None:
        fetches = wanting(SMALL, "a", "b")
        fetches.lacks(1, 0.0)
        fetches.received(2, ReceiveResult.DAMAGED, 0.0)
        assert fetches.take_ended() == [1, 2]
        assert fetches.take_ended() == []


class PatienceTests:
    """A peer that makes a fetch wait is passed over, where another may have the bytes."""

    def test_a_slow_peer_is_passed_over(self) -> None:
        fetches = wanting(SMALL, "a", "b", now=10.0)
        fetches.skip(10.0 + SLOW_SOURCE_SECONDS / 2)
        assert fetches.take("b") == ()
        fetches.skip(10.0 + SLOW_SOURCE_SECONDS)
        assert fetches.take("b") == (Part(2, SMALL, 0, 1000),)
        assert fetches.take_ended() == [1]

    def test_but_may_be_asked_again(self) -> None:
        fetches = wanting(SMALL, "a", "b")
        fetches.skip(SLOW_SOURCE_SECONDS)
        assert fetches.lacks(2, 2.0) is None
        assert fetches.take("a") == (Part(3, SMALL, 0, 1000),)

    def test_patience_doubles_so_that_one_of_two_slow_peers_is_let_finish(self) -> None:
        fetches = wanting(SMALL, "a", "b")
        now, waits = 0.0, []
        for _ in range(4):
            waits.append(fetches.next_deadline() - now)
            now = fetches.next_deadline()
            fetches.skip(now)
        assert waits == [
            SLOW_SOURCE_SECONDS,
            2 * SLOW_SOURCE_SECONDS,
            4 * SLOW_SOURCE_SECONDS,
            8 * SLOW_SOURCE_SECONDS,
        ]

    def test_every_piece_that_comes_shows_that_the_peer_is_not_too_slow(self) -> None:
        fetches = wanting(LARGE, "a", "b")
        fetches.received(1, ReceiveResult.MORE, 0.9)
        fetches.skip(1.0)
        assert fetches.is_under_way(1)
        assert fetches.next_deadline() == 0.9 + SLOW_SOURCE_SECONDS

    def test_the_only_peer_is_waited_for(self) -> None:
        fetches = wanting(SMALL, "a")
        assert fetches.next_deadline() == NEVER
        fetches.skip(1000.0)
        assert fetches.is_under_way(1)

    def test_the_deadline_is_that_of_the_fetch_that_waits_longest(self) -> None:
        fetches = wanting(SMALL, "a", "b", now=5.0)
        fetches.want(OTHER, 1, ["a", "b"], 4.0)
        assert fetches.next_deadline() == 4.0 + SLOW_SOURCE_SECONDS

    @given(st.floats(0.0, 1e6))
    def test_at_the_deadline_there_is_something_to_do_however_the_times_round(
        self, now: float
    ) -> None:
        fetches = wanting(SMALL, "a", "b", now=now)
        deadline = fetches.next_deadline()
        fetches.skip(deadline)
        assert fetches.next_deadline() > deadline


class LossTests:
    """Peers go away, and pulls are given up."""

    def test_what_a_lost_peer_was_asked_for_is_asked_for_elsewhere(self) -> None:
        fetches = wanting(LARGE, "a", "b")
        fetches.take("a")
        assert fetches.lose("a", 0.0) == []
        assert (fetches.take("a"), fetches.take("b")) == ((), (Part(2, LARGE, 0, GET_BYTES_MAX),))

    def test_what_only_it_had_is_given_up(self) -> None:
        fetches = wanting(SMALL, "a")
        fetches.want(OTHER, 2, ["b"], 0.0)
        assert fetches.lose("a", 0.0) == [Ended(SMALL, frozenset({1}))]
        assert not fetches.is_under_way(1)
        assert fetches.is_under_way(2)

    def test_a_lost_peer_is_not_asked_after_others(self) -> None:
        fetches = wanting(SMALL, "a", "b")
        assert fetches.lose("b", 0.0) == []
        assert fetches.lacks(1, 0.0) == Ended(SMALL, frozenset({1}))

    def test_what_only_a_dropped_pull_wanted_is_not_fetched(self) -> None:
        fetches = wanting(SMALL, "a")
        fetches.want(SMALL, 2, ["a"], 0.0)
        fetches.want(OTHER, 1, ["a"], 0.0)
        fetches.drop(1)
        assert fetches.take("a") == (Part(1, SMALL, 0, 1000),)
        assert fetches.take_ended() == [2]
        assert fetches.received(1, ReceiveResult.COMPLETE, 0.0) == Ended(SMALL, frozenset({2}))

    def test_a_dropped_pull_leaves_nothing_behind(self) -> None:
        fetches = wanting(LARGE, "a", "b")
        fetches.drop(1)
        assert (fetches.take("a"), fetches.missing_bytes, fetches.next_deadline()) == ((), 0, NEVER)
