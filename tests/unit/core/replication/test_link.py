"""What a puller knows of an upstream: deadlines, whether it is reachable, where the next batch
begins.
"""

import pytest

from imagepipe.core.replication.fetches import Part
from imagepipe.core.replication.link import (
    BACK_OFF_SECONDS,
    GETS_MAX,
    NEVER,
    PIECES_SECONDS,
    PIECES_SECONDS_MAX,
    POLL_SECONDS,
    REACHABLE_SECONDS,
    REPLY_SECONDS,
    RESTART_SECONDS,
    RESTARTS_MAX,
    Link,
    PendingRequest,
    Pull,
)
from imagepipe.core.replication.messages import Changes, Get, Head, Hello, Range
from imagepipe.core.rows.entries import Content
from imagepipe.core.rows.join import Cursor

HEAD = Head("bb", "01", 10, "", 0)
CONTENT = Content("d" * 64, 5)
PART = Part(1, CONTENT, 0, 5)
CHANGES = Changes(1, "aa", "01", 5, 5)


def link(head: Head | None = HEAD, seq: int | None = None, poll_at: float = 1000.0) -> Link:
    """An upstream, of which everything up to `seq` is here."""
    return Link("b", 0.0, poll_at, head, cursor=None if seq is None else Cursor("01", seq))


def pull(seq: int, *, last: bool = False, epoch: str = "01") -> Pull:
    """A batch up to `seq` on its way."""
    return Pull(seq, (), "b", "bb", Cursor(epoch, seq), from_start=False, asked_at=0.0, last=last)


def asked_for_changes() -> PendingRequest:
    """A request for the next batch."""
    return PendingRequest(CHANGES, 0.0, 0.0)


def asked_for_bytes(sent: float = 0.0) -> PendingRequest:
    """A request for bytes."""
    return PendingRequest(Get(1, (Range(CONTENT.digest, 0, 5),)), sent, sent, parts=(PART,))


class OverdueTests:
    """A request is repeated when neither its answer nor any other has come for a while."""

    @pytest.mark.parametrize(("tries", "seconds"), [(0, 2.0), (1, 4.0), (2, 5.0), (1 << 20, 5.0)])
    def test_each_time_it_is_waited_for_twice_as_long_up_to_a_bound(
        self, tries: int, seconds: float
    ) -> None:
        assert PendingRequest(CHANGES, 0.0, 100.0, tries=tries).overdue_at(NEVER) == 100.0 + seconds

    def test_bytes_are_waited_for_longer(self) -> None:
        assert asked_for_bytes(100.0).overdue_at(NEVER) == 100.0 + PIECES_SECONDS

    def test_an_answer_to_anything_is_a_sign_that_answers_are_coming(self) -> None:
        assert asked_for_changes().overdue_at(5.0) == 5.0 + REPLY_SECONDS

    def test_but_does_not_put_it_off_for_ever(self) -> None:
        assert asked_for_changes().overdue_at(1000.0) == 2 * POLL_SECONDS
        assert asked_for_bytes().overdue_at(1000.0) == 2 * PIECES_SECONDS_MAX

    @pytest.mark.parametrize(("tries", "seconds"), [(1, 10.0), (2, 20.0), (9, 20.0)])
    def test_the_wait_for_bytes_has_a_bound_of_its_own(self, tries: int, seconds: float) -> None:
        asked = asked_for_bytes()
        asked.tries = tries
        assert asked.overdue_at(NEVER) == seconds


class KnowledgeTests:
    """What is known of an upstream."""

    def test_an_upstream_that_has_said_nothing_has_no_node_id(self) -> None:
        assert link(None).node is None

    def test_it_is_the_node_that_it_says(self) -> None:
        assert link().node == "bb"

    def test_one_that_is_refused_is_none(self) -> None:
        one = link()
        one.refused = "it is me"
        assert one.node is None

    def test_it_is_reachable_for_a_while_after_it_was_heard_of(self) -> None:
        one = link()
        assert not one.is_reachable(0.0)
        one.heard = 100.0
        assert one.is_reachable(99.9 + REACHABLE_SECONDS)
        assert not one.is_reachable(100.0 + REACHABLE_SECONDS)

    def test_one_that_nothing_is_asked_of_is_not_reachable(self) -> None:
        one = link()
        one.heard, one.idle_until = 100.0, 102.0
        assert not one.is_reachable(101.9)
        assert one.is_reachable(102.0)

    def test_one_that_is_refused_is_not_either(self) -> None:
        one = link()
        one.heard, one.refused = 100.0, "it is me"
        assert not one.is_reachable(100.0)


class PositionTests:
    """Where the next batch begins, and whether the upstream has it."""

    def test_it_begins_at_the_durable_cursor(self) -> None:
        assert (link().position, link(seq=5).position) == (None, Cursor("01", 5))

    def test_or_where_the_last_of_those_on_their_way_ends(self) -> None:
        one = link(seq=5)
        one.pulls.extend([pull(7), pull(9)])
        assert one.position == Cursor("01", 9)

    @pytest.mark.parametrize(("seq", "ahead"), [(None, True), (9, True), (10, False), (11, False)])
    def test_it_is_ahead_if_its_newest_number_is_greater(
        self, seq: int | None, ahead: bool
    ) -> None:
        assert link(seq=seq).is_ahead is ahead

    def test_it_is_ahead_if_it_has_started_again(self) -> None:
        assert link(Head("bb", "02", 5, "", 0), seq=10).is_ahead

    def test_an_upstream_that_has_said_nothing_is_not_ahead(self) -> None:
        assert not link(None).is_ahead

    def test_what_is_on_its_way_counts(self) -> None:
        one = link(seq=5)
        one.pulls.append(pull(10))
        assert not one.is_ahead


class NextBatchTests:
    """When the next batch can be asked for, and when there is a reason to."""

    def test_one_at_a_time_is_asked_for(self) -> None:
        one = link(seq=5)
        assert one.can_ask_for_changes()
        one.asked[1] = asked_for_bytes()
        assert one.can_ask_for_changes()
        one.asked[2] = asked_for_changes()
        assert not one.can_ask_for_changes()

    def test_no_more_than_two_are_on_their_way(self) -> None:
        one = link(seq=5)
        one.pulls.append(pull(7))
        assert one.can_ask_for_changes()
        one.pulls.append(pull(9))
        assert not one.can_ask_for_changes()

    def test_after_the_last_only_if_more_was_announced(self) -> None:
        one = link(seq=5)
        one.pulls.append(pull(10, last=True))
        assert not one.can_ask_for_changes()
        one.head = Head("bb", "01", 11, "", 0)
        assert one.can_ask_for_changes()

    def test_nothing_is_asked_for_without_a_reason(self) -> None:
        assert not link(seq=10).wants_changes(0.0)

    def test_it_is_asked_when_it_is_ahead(self) -> None:
        assert link(seq=9).wants_changes(0.0)

    def test_it_is_asked_when_the_poll_is_due(self) -> None:
        assert not link(seq=10, poll_at=5.0).wants_changes(4.9)
        assert link(seq=10, poll_at=5.0).wants_changes(5.0)

    def test_it_is_asked_in_order_to_acknowledge(self) -> None:
        one = link(seq=10)
        one.unacknowledged = True
        assert one.wants_changes(0.0)

    def test_it_is_asked_until_what_is_known_of_it_is_as_new_as_is_wanted(self) -> None:
        one = link(seq=10)
        one.refresh_from = 50.0
        assert one.wants_changes(50.0)
        one.current_as_of = 50.0
        assert not one.wants_changes(50.0)

    def test_it_is_not_asked_for_that_all_the_time_while_it_is_only_looked_ahead_of(self) -> None:
        """Nothing would ever come of it: what is looked at ahead of the cursor does not make it
        current.
        """
        one = link(seq=10)
        one.refresh_from, one.looks_ahead = 50.0, True
        assert not one.wants_changes(50.0)

    @pytest.mark.parametrize("last", [True, False])
    def test_it_is_asked_while_it_has_said_that_there_is_more(self, last: bool) -> None:
        one = link(seq=5)
        one.pulls.append(pull(10, last=last))
        assert one.wants_changes(0.0) is not last

    def test_requests_for_bytes_are_bounded_until_the_bytes_are_kept(self) -> None:
        one = link(seq=5)
        assert one.gets_free() == GETS_MAX
        one.asked = {1: asked_for_changes(), 2: asked_for_bytes(), 3: asked_for_bytes()}
        one.storing = {4}
        assert one.gets_free() == GETS_MAX - 3


class DeadlineTests:
    """When something is due though nothing happens."""

    def test_an_unknown_upstream_is_asked_who_it_is(self) -> None:
        one = link(None)
        one.hello_at = 30.0
        assert min(one.deadlines(0.0)) == 30.0

    def test_until_it_answers_the_question_is_repeated(self) -> None:
        one = link(None)
        one.asked[1] = PendingRequest(Hello(1, "aa"), 0.0, 0.0)
        assert min(one.deadlines(0.0)) == REPLY_SECONDS

    def test_a_known_one_is_polled(self) -> None:
        assert min(link(seq=10, poll_at=5.0).deadlines(0.0)) == 5.0

    def test_not_before_it_may_be_asked(self) -> None:
        one = link(seq=10, poll_at=2.0)
        one.idle_until = BACK_OFF_SECONDS
        assert min(one.deadlines(0.0)) == BACK_OFF_SECONDS
        assert min(one.deadlines(BACK_OFF_SECONDS)) == 2.0

    def test_not_while_it_was_asked(self) -> None:
        one = link(seq=10, poll_at=5.0)
        one.answered, one.delivered = 1.0, 2.0
        one.asked = {1: asked_for_changes(), 2: asked_for_bytes()}
        assert min(one.deadlines(0.0)) == 1.0 + REPLY_SECONDS
        del one.asked[1]
        one.pulls.append(pull(10, last=True))
        assert min(one.deadlines(0.0)) == 2.0 + PIECES_SECONDS


class LookingAheadTests:
    """Where too many rows are pending, the cursor waits, and what follows is looked at
    without it.
    """

    def test_it_begins_at_the_cursor_and_ends_there(self) -> None:
        one = link(seq=5)
        one.is_full = True
        one.begin()
        assert (one.looks_ahead, one.position) == (True, Cursor("01", 5))
        one.ahead = Cursor("01", 8)
        one.begin()
        assert one.position == Cursor("01", 8)
        one.is_full = False
        one.begin()
        assert (one.looks_ahead, one.position) == (False, Cursor("01", 5))

    @pytest.mark.parametrize("full", [True, False])
    def test_neither_begins_while_a_batch_of_the_other_is_on_its_way(self, full: bool) -> None:
        one = link(seq=5)
        one.pulls.append(pull(8))
        one.is_full, one.looks_ahead = full, not full
        assert not one.can_ask_for_changes()
        one.begin()
        assert one.looks_ahead is not full
        one.looks_ahead = full
        assert one.can_ask_for_changes()


class RestartTests:
    def test_an_upstream_may_begin_again_a_few_times_and_then_now_and_then(self) -> None:
        one = link()
        assert [one.may_restart(0.0) for _ in range(RESTARTS_MAX + 2)] == [True] * RESTARTS_MAX + [
            False
        ] * 2
        assert not one.may_restart(RESTART_SECONDS - 0.1)
        assert one.may_restart(RESTART_SECONDS)
        assert not one.may_restart(RESTART_SECONDS)
        assert [one.may_restart(1000.0) for _ in range(RESTARTS_MAX + 1)] == [
            True
        ] * RESTARTS_MAX + [False]
