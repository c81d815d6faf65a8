"""The replication state machine, by exchanges: what is said to it, and what it wants done then."""

from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from imagepipe.core.replication.actions import (
    Action,
    DiscardTransfer,
    Examine,
    ForgetUpstreams,
    Join,
    Notify,
    ReadChanges,
    ReadPieces,
    Redirect,
    RefetchDone,
    Release,
    ReportRejected,
    SendReply,
    SendRequest,
    StorePieces,
)
from imagepipe.core.replication.fetches import Part, ReceiveResult
from imagepipe.core.replication.link import (
    BACK_OFF_SECONDS,
    GETS_MAX,
    HELLO_SECONDS,
    NAME_SECONDS,
    POLL_SECONDS,
    PULLS_MAX,
    REACHABLE_SECONDS,
    REFUSED_SECONDS,
    RESTART_SECONDS,
    RESTARTS_MAX,
)
from imagepipe.core.replication.messages import (
    ROWS_MAX,
    Batch,
    Changes,
    Get,
    Head,
    Hello,
    Pieces,
    Range,
    Refused,
    batch,
)
from imagepipe.core.replication.pending import PENDING_SECONDS
from imagepipe.core.replication.refetch import REFETCH_SECONDS
from imagepipe.core.replication.rejected import UNWANTED_SECONDS, WRONG_SECONDS
from imagepipe.core.replication.replica import OWN_NODE, Replica
from imagepipe.core.replication.upstreams import TWICE
from imagepipe.core.rows.entries import Content, Entry, Row
from imagepipe.core.rows.epochs import Epoch
from imagepipe.core.rows.join import Cursor, JoinResult, Pending
from imagepipe.core.rows.stamp import Version

IMAGE, OTHER = Content("1" * 64, 5), Content("2" * 64, 6)
DONE = JoinResult(0, (), ())


def replica(
    cursors: dict[str, Cursor] | None = None, pending: list[Pending] | None = None, **options: Any
) -> Replica:
    """The node aa."""
    return Replica(
        "aa",
        [Epoch("0a", 1)],
        0,
        cursors or {},
        pending or [],
        lambda: 0,
        **{"publishes": False, **options},
    )


def linked(
    *names: str,
    seq: int = 10,
    here: int | None = None,
    pending: list[Pending] | None = None,
    **options: Any,
) -> Replica:
    """The same with upstreams, of which b is the node bb, and so on: they have said at 0.0 that
    they are at `seq`, and all up to `here` is here.
    """
    node = replica(
        {} if here is None else {name: Cursor("01", here) for name in names}, pending, **options
    )
    for name in names:
        node.add_link(name, 0.0)
        node.answered(name, head(seq, name * 2), 0.0)
    return node


def asking(*rows: Row, here: int = 0) -> Replica:
    """The node aa, which has been told of `rows` by b, in answer to the first Changes after the
    number `here`.
    """
    node = linked("b", seq=rows[-1].entry.seq, here=here)
    node.answered("b", told(2, *rows, after=here), 0.0)
    node.take_actions()
    return node


def head(seq: int, node: str = "bb", epoch: str = "01", sync: str = "") -> Head:
    """What an upstream says of itself."""
    return Head(node, epoch, seq, sync, 0)


def put(seq: int, content: Content = IMAGE, path: str = "") -> Row:
    """A row of an upstream."""
    return Row(Entry(path or f"p{seq}", Version(seq, "bb"), None, content, seq), None)


def deleted(seq: int) -> Row:
    """A row that needs no bytes."""
    return Row(Entry(f"p{seq}", Version(seq, "bb"), None, None, seq), None)


def told(
    rid: int,
    *rows: Row,
    after: int = 0,
    upto: int | None = None,
    end: int | None = None,
    node: str = "bb",
    epoch: str = "01",
) -> Batch:
    """The Batch of `rows`: all that there are, where nothing else is said."""
    upto = upto if upto is not None else rows[-1].entry.seq if rows else after
    return structs.replace(
        batch(rid, node, epoch, after, 0, rows), upto=upto, end=upto if end is None else end
    )


def changes(rid: int, after: int = 0, acked: int = 0, epoch: str = "01", end: int = 0) -> Changes:
    """What aa asks."""
    return Changes(rid, "aa", epoch, after, acked, end)


def get(rid: int, *contents: Content) -> Get:
    """A request for whole objects."""
    return Get(rid, tuple(Range(content.digest, 0, content.size) for content in contents))


def waits(pull: int, row: Row) -> JoinResult:
    """The outcome of a join: `row` of b waits for its bytes."""
    return JoinResult(pull, (Pending("b", row),), ())


class GreetingTests:
    """An upstream is asked who it is, and then what is new."""

    def test_who_are_you_and_what_is_new(self) -> None:
        node = replica()
        node.add_link("b", 0.0)
        assert node.take_actions() == [SendRequest("b", Hello(1, "aa"))]
        node.answered("b", head(10), 0.1)
        assert node.take_actions() == [SendRequest("b", changes(2, epoch=""))]
        assert node.links["b"].node == "bb"

    def test_a_known_one_is_asked_for_what_came_after_the_cursor(self) -> None:
        node = linked("b", here=7)
        assert node.take_actions() == [
            SendRequest("b", Hello(1, "aa")),
            SendRequest("b", changes(2, 7, 7)),
        ]

    def test_the_notification_says_the_same(self) -> None:
        node = replica()
        node.add_link("b", 0.0)
        node.take_actions()
        node.heard_head("b", head(10), 0.1)
        assert node.take_actions() == [SendRequest("b", changes(2, epoch=""))]
        node.answered("b", head(10), 0.2)
        assert node.take_actions() == []

    def test_it_is_asked_where_it_says(self) -> None:
        node = replica()
        node.add_link("b", 0.0)
        node.take_actions()
        node.answered("b", head(10, sync="7001"), 0.1)
        assert node.take_actions() == [
            Redirect("b", "7001"),
            SendRequest("b", changes(2, epoch="")),
        ]
        node.heard_head("b", head(10, sync="7001"), 0.2)
        assert node.take_actions() == []
        node.heard_head("b", head(10), 0.3)
        assert node.take_actions() == [Redirect("b", "")]

    def test_until_it_answers_it_is_asked_again_and_again(self) -> None:
        node = replica()
        node.add_link("b", 0.0)
        node.take_actions()
        for time in (2.0, 6.0, 11.0, 16.0):
            assert node.next_deadline(0.0) == time
            node.tick(time - 0.1)
            assert node.take_actions() == []
            node.tick(time)
            assert node.take_actions() == [SendRequest("b", Hello(1, "aa"))]

    def test_one_that_answers_something_else_is_not_asked_again_at_once(self) -> None:
        node = replica()
        node.add_link("b", 0.0)
        node.take_actions()
        node.answered("b", told(1, put(1)), 0.1)
        assert (node.take_actions(), node.next_deadline(0.1)) == ([], HELLO_SECONDS)
        node.tick(HELLO_SECONDS)
        assert node.take_actions() == [SendRequest("b", Hello(2, "aa"))]

    def test_an_upstream_that_has_nothing_new_is_only_polled(self) -> None:
        node = linked("b", here=10)
        node.tick(0.0)
        assert node.take_actions()[-1] == SendRequest("b", changes(2, 10, 10))
        node.answered("b", told(2, after=10), 0.1)
        assert (node.take_actions(), node.next_deadline(0.1)) == ([], POLL_SECONDS)
        node.tick(POLL_SECONDS)
        assert node.take_actions() == [SendRequest("b", changes(3, 10, 10))]


class PullTests:
    """Rows and bytes come, are joined, and are acknowledged."""

    def test_a_whole_exchange(self) -> None:
        node = linked("b", seq=2)
        rows = (put(1), deleted(2))
        assert node.take_actions() == [
            SendRequest("b", Hello(1, "aa")),
            SendRequest("b", changes(2, epoch="")),
        ]
        node.answered("b", told(2, *rows), 0.0)
        assert node.take_actions() == [Examine(3, rows)]
        node.examined(3, [IMAGE], 0.0)
        assert node.take_actions() == [SendRequest("b", get(4, IMAGE))]
        node.answered("b", Pieces(4, (b"image",)), 0.0)
        assert node.take_actions() == [StorePieces("b", 4, (Part(1, IMAGE, 0, 5),), (b"image",))]
        node.pieces_stored("b", 4, [(1, ReceiveResult.COMPLETE)], 0.0)
        assert node.take_actions() == [Join(3, rows, "b", Cursor("01", 2), from_start=True)]
        node.joined(3, DONE, 0.0)
        assert node.take_actions() == [SendRequest("b", changes(5, 2, 2))]
        node.answered("b", told(5, after=2), 0.0)
        assert node.take_actions() == []

    def test_what_is_here_already_is_joined_at_once(self) -> None:
        node = asking(put(6), here=5)
        node.examined(3, [], 0.0)
        assert node.take_actions() == [Join(3, (put(6),), "b", Cursor("01", 6), from_start=False)]

    def test_an_empty_batch_moves_the_cursor_where_it_tells_more_than_was_known(self) -> None:
        node = linked("b", here=10)
        node.answered("b", told(2, after=10, epoch="02"), 0.0)
        assert node.take_actions()[-1] == Examine(3, ())
        node.examined(3, [], 0.0)
        assert node.take_actions() == [Join(3, (), "b", Cursor("02", 10), from_start=False)]

    def test_an_empty_upstream_is_noted_too(self) -> None:
        node = linked("b", seq=0)
        node.answered("b", told(2), 0.0)
        node.examined(3, [], 0.0)
        assert node.take_actions()[-1] == Join(3, (), "b", Cursor("01", 0), from_start=True)

    def test_a_notification_brings_the_next_rows(self) -> None:
        node = linked("b", here=10)
        node.answered("b", told(2, after=10), 0.0)
        node.take_actions()
        node.heard_head("b", head(11), 1.0)
        assert node.take_actions() == [SendRequest("b", changes(3, 10, 10))]
        assert node.links["b"].behind_since == 1.0
        node.answered("b", told(3, deleted(11), after=10), 1.1)
        node.examined(4, [], 1.1)
        node.joined(4, DONE, 1.2)
        assert node.links["b"].behind_since is None

    def test_a_missed_notification_is_counted(self) -> None:
        node = linked("b", here=10)
        node.answered("b", told(2, deleted(11), after=10), 1.0)
        assert (node.links["b"].missed_notifications, node.links["b"].head) == (1, head(11))

    def test_one_that_rang_after_the_answer_was_written_counts(self) -> None:
        node = linked("b", here=9)
        node.heard_head("b", head(11), 0.5)
        node.take_actions()
        node.answered("b", told(2, deleted(10), after=9), 0.6)
        assert node.take_actions() == [
            Examine(3, (deleted(10),)),
            SendRequest("b", changes(4, 10, 9)),
        ]

    def test_an_answer_counts_for_more_than_what_was_said_before_it_was_asked_for(self) -> None:
        node = linked("b", here=10)
        node.answered("b", told(2, after=10), 0.0)
        node.take_actions()
        node.heard_head("b", head(12), 0.5)
        node.answered("b", told(3, after=10), 0.6)
        assert node.take_actions() == [SendRequest("b", changes(3, 10, 10))]
        assert node.links["b"].head == head(10)

    def test_two_batches_at_once_and_no_more(self) -> None:
        node = linked("b", here=0, seq=6)
        node.take_actions()
        node.answered("b", told(2, put(2), upto=2, end=6), 0.0)
        assert node.take_actions() == [
            Examine(3, (put(2),)),
            SendRequest("b", changes(4, 2, 0, end=6)),
        ]
        node.answered("b", told(4, put(4, OTHER), after=2, upto=4, end=6), 0.0)
        assert node.take_actions() == [Examine(5, (put(4, OTHER),))]
        assert len(node.links["b"].pulls) == PULLS_MAX

    def test_the_second_is_fetched_while_the_first_is_joined_and_is_joined_after_it(self) -> None:
        node = linked("b", here=0, seq=6)
        node.answered("b", told(2, put(2), upto=2, end=6), 0.0)
        node.answered("b", told(4, put(4, OTHER), after=2, upto=4, end=6), 0.0)
        node.take_actions()
        node.examined(5, [], 0.0)
        assert node.take_actions() == []
        node.examined(3, [], 0.0)
        assert node.take_actions() == [Join(3, (put(2),), "b", Cursor("01", 2, 6), from_start=True)]
        node.joined(3, DONE, 0.0)
        assert node.take_actions() == [
            Join(5, (put(4, OTHER),), "b", Cursor("01", 4, 6), from_start=False),
            SendRequest("b", changes(6, 4, 2, end=6)),
        ]

    def test_nothing_of_a_newer_epoch_is_acknowledged_before_it_is_joined(self) -> None:
        node = linked("b", here=5)
        node.take_actions()
        node.answered("b", told(2, put(1), upto=1, end=6, epoch="02"), 0.0)
        assert node.take_actions() == [
            Examine(3, (put(1),)),
            SendRequest("b", changes(4, 1, 0, "02", end=6)),
        ]
        node.examined(3, [], 0.0)
        assert node.take_actions() == [Join(3, (put(1),), "b", Cursor("02", 1, 6), from_start=True)]

    def test_an_answer_that_there_is_no_more_makes_the_cursor_one_of_all_that_there_was(
        self,
    ) -> None:
        node = linked("b", here=0, seq=6)
        node.answered("b", told(2, put(2), upto=2, end=6), 0.0)
        node.take_actions()
        node.answered("b", told(4, after=2), 1.0)
        assert node.take_actions() == [Examine(5, ())]
        assert node.links["b"].position == Cursor("01", 2)

    def test_while_a_batch_is_on_its_way_an_answer_that_there_is_no_more_makes_it_as_new_as_that(
        self,
    ) -> None:
        node = linked("b", here=0, seq=2)
        node.answered("b", told(2, put(2)), 0.0)
        node.heard_head("b", head(3), 1.0)
        node.answered("b", told(4, after=2), 1.1)
        node.examined(3, [], 1.2)
        node.joined(3, DONE, 1.3)
        assert node.links["b"].current_as_of == 1.0

    def test_many_small_objects_are_one_request(self) -> None:
        node = asking(put(1), put(2, OTHER))
        node.examined(3, [IMAGE, OTHER], 0.0)
        assert node.missing_bytes == 0
        assert node.take_actions() == [SendRequest("b", get(4, IMAGE, OTHER))]

    def test_the_requests_for_a_large_object_are_bounded(self) -> None:
        node = asking(put(1, Content("9" * 64, 1 << 30)))
        node.examined(3, [Content("9" * 64, 1 << 30)], 0.0)
        actions = node.take_actions()
        assert len(actions) == GETS_MAX
        assert node.missing_bytes == (1 << 30) - GETS_MAX * 256 * 1024
        node.answered("b", Pieces(4, (b"x" * 256 * 1024,)), 0.0)
        assert [type(action) for action in node.take_actions()] == [StorePieces]
        node.pieces_stored("b", 4, [(1, ReceiveResult.MORE)], 0.0)
        assert [type(action) for action in node.take_actions()] == [SendRequest]


class BytesTests:
    """Bytes that an upstream lacks, or sends wrong, do not hold up the rest."""

    @pytest.mark.parametrize("pieces", [(None,), (), (b"",), (b"imag",), (b"image!",)])
    def test_an_object_that_the_upstream_lacks_is_left_to_the_join(
        self, pieces: tuple[bytes | None, ...]
    ) -> None:
        node = asking(put(1))
        node.examined(3, [IMAGE], 0.0)
        node.answered("b", Pieces(4, pieces), 0.0)
        assert node.take_actions()[1:] == [
            Join(3, (put(1),), "b", Cursor("01", 1), from_start=True),
            DiscardTransfer(1),
        ]
        row = put(1)
        node.joined(3, waits(3, row), 0.0)
        assert node.pending == {("b", "p1"): row}
        assert node.take_actions() == [SendRequest("b", changes(5, 1, 0))]

    def test_damaged_bytes_are_treated_alike(self) -> None:
        node = asking(put(1))
        node.examined(3, [IMAGE], 0.0)
        node.answered("b", Pieces(4, (b"wrong",)), 0.0)
        node.pieces_stored("b", 4, [(1, ReceiveResult.DAMAGED)], 0.0)
        assert node.take_actions()[-2:] == [
            Join(3, (put(1),), "b", Cursor("01", 1), from_start=True),
            DiscardTransfer(1),
        ]

    def test_what_two_upstreams_tell_of_is_fetched_once(self) -> None:
        node = linked("b", "c", seq=1)
        node.answered("b", told(2, put(1)), 0.0)
        node.answered("c", told(4, put(1), node="cc"), 0.0)
        node.take_actions()
        node.examined(5, [IMAGE], 0.0)
        node.examined(6, [IMAGE], 0.0)
        assert node.take_actions() == [SendRequest("b", get(7, IMAGE))]
        node.answered("b", Pieces(7, (b"image",)), 0.0)
        node.pieces_stored("b", 7, [(1, ReceiveResult.COMPLETE)], 0.0)
        assert [action.upstream for action in node.take_actions() if isinstance(action, Join)] == [
            "b"
        ]
        node.joined(5, DONE, 0.0)
        assert [action.upstream for action in node.take_actions() if isinstance(action, Join)] == [
            "c"
        ]

    def test_a_slow_upstream_is_passed_over_for_another_that_has_it(self) -> None:
        node = linked("b", "c", seq=1)
        node.answered("b", told(2, put(1)), 0.0)
        node.answered("c", told(4, put(1), node="cc"), 0.0)
        node.examined(5, [IMAGE], 0.0)
        node.examined(6, [IMAGE], 0.0)
        node.take_actions()
        assert node.next_deadline(0.5) == 1.0
        node.tick(1.0)
        assert node.take_actions() == [SendRequest("c", get(8, IMAGE)), DiscardTransfer(1)]
        node.answered("b", Pieces(7, (b"image",)), 1.1)
        assert node.take_actions() == []

    def test_a_request_for_what_is_not_wanted_any_more_is_not_repeated(self) -> None:
        node = linked("b", "c", seq=1)
        node.answered("b", told(2, put(1)), 0.0)
        node.answered("c", told(4, put(1), node="cc"), 0.0)
        node.examined(5, [IMAGE], 0.0)
        node.examined(6, [IMAGE], 0.0)
        node.tick(1.0)
        node.answered("c", Pieces(8, (b"image",)), 1.1)
        node.pieces_stored("c", 8, [(2, ReceiveResult.COMPLETE)], 1.1)
        node.joined(5, DONE, 1.2)
        node.joined(6, DONE, 1.2)
        node.take_actions()
        node.tick(20.0)
        assert not [
            action
            for action in node.take_actions()
            if isinstance(action, SendRequest) and isinstance(action.message, Get)
        ]


class LateAnswerTests:
    """What nobody asked for, or was answered before, changes nothing."""

    def test_a_batch_that_comes_twice(self) -> None:
        node = asking(put(1))
        node.answered("b", told(2, put(1)), 0.0)
        assert node.take_actions() == []

    def test_pieces_that_come_twice(self) -> None:
        node = asking(put(1))
        node.examined(3, [IMAGE], 0.0)
        node.answered("b", Pieces(4, (b"image",)), 0.0)
        node.take_actions()
        node.answered("b", Pieces(4, (b"image",)), 0.0)
        assert node.take_actions() == []

    @pytest.mark.parametrize(
        "message", [told(99, put(1)), Pieces(99, (b"image",)), Refused(99, "no")]
    )
    def test_answers_to_nothing(self, message: Batch | Pieces | Refused) -> None:
        node = linked("b")
        node.take_actions()
        node.answered("b", message, 0.0)
        assert node.take_actions() == []
        assert node.links["b"].node == "bb"

    def test_an_answer_of_another_kind(self) -> None:
        node = linked("b", here=10)
        node.take_actions()
        node.answered("b", Pieces(2, (b"image",)), 0.0)
        assert node.take_actions() == []

    def test_a_batch_of_another_node(self) -> None:
        node = linked("b", here=10)
        node.take_actions()
        node.answered("b", told(2, put(11), after=10, node="cc"), 0.0)
        assert not [action for action in node.take_actions() if isinstance(action, Examine)]

    def test_a_batch_that_begins_elsewhere_makes_a_pause(self) -> None:
        node = linked("b", here=5)
        node.take_actions()
        node.answered("b", told(2, put(8), after=7), 0.0)
        assert (node.take_actions(), node.next_deadline(0.0)) == ([], BACK_OFF_SECONDS)
        node.tick(BACK_OFF_SECONDS)
        assert node.take_actions() == [SendRequest("b", changes(3, 5, 5))]


class RepeatTests:
    """Lost requests and answers."""

    def test_a_question_is_repeated_when_overdue_with_the_newest_acknowledgement(self) -> None:
        node = linked("b", here=0, seq=6)
        node.answered("b", told(2, put(2), upto=2, end=6), 0.0)
        node.examined(3, [], 0.0)
        node.joined(3, DONE, 0.0)
        node.take_actions()
        assert node.next_deadline(0.0) == 2.0
        node.tick(2.0)
        assert node.take_actions() == [SendRequest("b", changes(4, 2, 2, end=6))]
        assert node.next_deadline(2.0) == 6.0

    def test_bytes_are_asked_for_again(self) -> None:
        node = asking(put(1))
        node.examined(3, [IMAGE], 0.0)
        node.take_actions()
        node.tick(5.0)
        assert node.take_actions() == [SendRequest("b", get(4, IMAGE))]
        node.answered("b", Pieces(4, (b"image",)), 6.0)
        assert [type(action) for action in node.take_actions()] == [StorePieces]

    def test_a_peer_that_comes_back_is_asked_again_at_once(self) -> None:
        node = linked("b", here=5)
        node.tick(2.0)
        node.tick(6.0)
        node.take_actions()
        node.heard_head("b", head(10), 6.0 + REACHABLE_SECONDS)
        assert node.take_actions() == [SendRequest("b", changes(2, 5, 5))]
        node.heard_head("b", head(10), 7.0 + REACHABLE_SECONDS)
        assert node.take_actions() == []

    def test_an_answer_to_one_question_has_others_repeated_soon(self) -> None:
        node = asking(put(1))
        node.examined(3, [IMAGE], 0.0)
        node.tick(5.0)
        node.heard_head("b", head(2), 5.0)
        node.answered("b", told(5, after=1), 6.0)
        node.take_actions()
        assert node.next_deadline(6.0) == 10.0
        node.tick(10.0)
        assert SendRequest("b", get(4, IMAGE)) in node.take_actions()

    def test_a_peer_that_was_away_for_a_week(self) -> None:
        node, now = linked("b", here=5), 0.0
        while now < 7 * 86_400:
            now = node.next_deadline(now)
            node.tick(now)
        node.take_actions()
        node.heard_head("b", head(10), now)
        assert node.take_actions() == [SendRequest("b", changes(2, 5, 5))]

    def test_answers_to_anything_show_that_more_are_coming(self) -> None:
        node = asking(put(1), put(2, Content("9" * 64, 1 << 20)))
        node.examined(3, [IMAGE, Content("9" * 64, 1 << 20)], 0.0)
        node.take_actions()
        node.answered("b", Pieces(5, (b"x" * 256 * 1024,)), 4.0)
        node.take_actions()
        node.tick(8.9)
        assert node.take_actions() == []


class ReplacedTests:
    """An upstream is another than before, or cannot be one."""

    def test_another_node_behind_the_endpoint_is_pulled_from_the_start(self) -> None:
        node = linked("b", here=5)
        node.take_actions()
        node.heard_head("b", head(3, "cc"), 1.0)
        assert node.take_actions() == [SendRequest("b", changes(3, epoch=""))]
        node.answered("b", told(2, put(6), after=5), 1.0)
        assert node.take_actions() == []
        node.heard_head("b", head(10), 2.0)
        assert node.take_actions() == [SendRequest("b", changes(4, epoch=""))]

    def test_one_that_claims_the_id_of_another_moves_the_cursor_of_its_own_link_alone(self) -> None:
        """Or it would have to say no more than that it has nothing new, and changes of the other
        would never be asked for.
        """
        node = linked("b", here=5)
        node.add_link("c", 0.0)
        node.answered("c", head(7, "cc"), 0.0)
        node.remove_link("b", 1.0)
        node.heard_head("c", head(10), 1.0)
        node.take_actions()
        node.answered("c", told(5, put(10)), 1.0)
        node.examined(6, [], 1.0)
        assert Join(6, (put(10),), "c", Cursor("01", 10), from_start=True) in node.take_actions()
        node.joined(6, DONE, 1.0)
        node.remove_link("c", 2.0)
        node.add_link("b", 2.0)
        node.take_actions()
        node.answered("b", head(10), 2.0)
        assert [
            action.message for action in node.take_actions() if isinstance(action, SendRequest)
        ] == [changes(9, 5, 5)]

    def test_what_was_fetched_from_the_former_is_let_go(self) -> None:
        node = asking(put(1))
        node.examined(3, [IMAGE], 0.0)
        node.take_actions()
        node.heard_head("b", head(3, "cc"), 1.0)
        assert node.take_actions() == [
            Release((put(1),)),
            SendRequest("b", changes(5, epoch="")),
            DiscardTransfer(1),
        ]

    def test_and_what_is_being_examined_once_it_was(self) -> None:
        node = asking(put(1))
        node.heard_head("b", head(3, "cc"), 1.0)
        assert node.take_actions() == [SendRequest("b", changes(4, epoch=""))]
        node.examined(3, [IMAGE], 1.0)
        assert node.take_actions() == [Release((put(1),))]

    def test_and_what_is_being_joined_counts_for_the_former(self) -> None:
        node = asking(put(1))
        node.examined(3, [], 0.0)
        node.heard_head("b", head(3, "cc"), 1.0)
        node.take_actions()
        node.joined(3, DONE, 1.0)
        assert (node.links["b"].node, node.links["b"].cursor) == ("bb", Cursor("01", 1))
        node.take_actions()
        node.heard_head("b", head(3, "cc"), 2.0)
        assert node.take_actions() == [SendRequest("b", changes(5, epoch=""))]

    def test_a_node_is_not_its_own_upstream(self) -> None:
        node = linked("b", here=5)
        node.take_actions()
        node.heard_head("b", head(3, "aa"), 1.0)
        assert (node.take_actions(), node.links["b"].refused, node.links["b"].node) == (
            [],
            OWN_NODE,
            None,
        )
        assert node.next_deadline(1.0) == 1.0 + REFUSED_SECONDS
        node.tick(1.0 + REFUSED_SECONDS)
        assert node.take_actions() == [SendRequest("b", Hello(3, "aa"))]

    def test_an_upstream_that_refuses_is_asked_who_it_is_after_a_while(self) -> None:
        node = linked("b", here=5)
        node.take_actions()
        node.answered("b", Refused(2, "you are a copy of me"), 1.0)
        assert (node.take_actions(), node.links["b"].refused) == (
            [],
            "it answered 'you are a copy of me'",
        )
        assert node.next_deadline(1.0) == 1.0 + REFUSED_SECONDS

    def test_once_it_can_be_one_it_is_pulled_from(self) -> None:
        node = linked("b", here=5)
        node.refuse("b", "another cluster", 1.0)
        node.take_actions()
        node.heard_head("b", head(10), 2.0)
        assert node.take_actions() == [SendRequest("b", changes(3, 5, 5))]
        assert node.links["b"].refused is None

    def test_an_upstream_that_is_removed_leaves_nothing_behind(self) -> None:
        node = asking(put(1))
        node.examined(3, [IMAGE], 0.0)
        node.answered("b", Pieces(4, (b"image",)), 0.0)
        node.take_actions()
        node.remove_link("b", 0.0)
        assert node.take_actions() == [Release((put(1),)), DiscardTransfer(1)]
        node.pieces_stored("b", 4, [(1, ReceiveResult.COMPLETE)], 0.0)
        assert (node.take_actions(), node.next_deadline(0.0), node.links) == ([], float("inf"), {})

    def test_and_is_not_listened_to(self) -> None:
        node = linked("b")
        node.remove_link("b", 0.0)
        node.take_actions()
        node.heard_head("b", head(10), 0.0)
        node.answered("b", told(2, put(1)), 0.0)
        node.refuse("b", "another cluster", 0.0)
        assert (node.take_actions(), node.links) == ([], {})

    def test_a_batch_of_another_node_reveals_a_missed_notification(self) -> None:
        node = linked("b", here=5)
        node.take_actions()
        node.answered("b", told(2, put(11), after=5, node="cc"), 2.0)
        assert node.take_actions() == [SendRequest("b", Hello(3, "aa"))]
        node.answered("b", head(3, "cc"), 2.1)
        assert node.take_actions() == [SendRequest("b", changes(4, epoch=""))]


class TwiceTests:
    """One link leads to a node: its numbers are counted once."""

    def test_a_second_link_to_a_node_is_refused(self) -> None:
        node = linked("b", here=10)
        node.add_link("c", 0.0)
        node.answered("c", head(10), 0.0)
        assert (node.links["c"].refused, node.links["c"].node, node.links["b"].node) == (
            TWICE,
            None,
            "bb",
        )

    def test_unless_the_first_is_silent(self) -> None:
        node = linked("b", here=5)
        node.add_link("c", 9.0)
        node.take_actions()
        node.answered("c", head(10), 9.0)
        assert [
            action
            for action in node.take_actions()
            if isinstance(action, SendRequest) and action.link == "c"
        ] == [SendRequest("c", changes(5, epoch=""))]
        assert (node.links["c"].node, node.links["b"].node) == ("bb", None)


class FailureTests:
    """A full disk: bytes become pending, so that deletes get through; where rows cannot be joined,
    nothing is pulled for a while.
    """

    def test_bytes_that_cannot_be_kept_hold_up_no_delete(self) -> None:
        node = asking(put(6), here=5)
        node.examined(3, [IMAGE], 0.0)
        node.answered("b", Pieces(4, (b"image",)), 0.0)
        node.take_actions()
        node.store_failed("b", 4, 1.0)
        assert node.take_actions() == [
            Join(3, (put(6),), "b", Cursor("01", 6), from_start=False),
            DiscardTransfer(1),
        ]

    def test_what_is_being_joined_then_is_not_asked_for_again(self) -> None:
        node = linked("b", here=0, seq=6)
        node.answered("b", told(2, deleted(2), upto=2, end=6), 0.0)
        node.answered("b", told(4, put(4), after=2, upto=4, end=6), 0.0)
        node.examined(3, [], 0.0)
        node.pull_failed(5, 0.0)
        node.joined(3, DONE, 0.1)
        node.take_actions()
        node.tick(BACK_OFF_SECONDS)
        assert node.take_actions() == [SendRequest("b", changes(6, 2, 2, end=6))]

    def test_bytes_of_an_upstream_that_was_removed(self) -> None:
        node = asking(put(6), here=5)
        node.examined(3, [IMAGE], 0.0)
        node.answered("b", Pieces(4, (b"image",)), 0.0)
        node.remove_link("b", 0.0)
        node.take_actions()
        node.store_failed("b", 4, 1.0)
        assert node.take_actions() == []

    @pytest.mark.parametrize("examined", [False, True])
    def test_rows_that_cannot_be_examined_or_joined(self, examined: bool) -> None:
        node = asking(put(6), here=5)
        if examined:
            node.examined(3, [], 0.0)
        node.take_actions()
        node.pull_failed(3, 1.0)
        assert (node.take_actions(), node.next_deadline(1.0)) == ([], 1.0 + BACK_OFF_SECONDS)
        node.tick(1.0 + BACK_OFF_SECONDS)
        assert node.take_actions() == [SendRequest("b", changes(4, 5, 5))]

    def test_rows_that_were_given_up_meanwhile_make_no_pause(self) -> None:
        node = asking(put(6), here=5)
        node.heard_head("b", head(3, "cc"), 1.0)
        node.take_actions()
        node.pull_failed(3, 1.0)
        assert node.take_actions() == []
        assert node.links["b"].is_reachable(1.0)

    def test_the_others_go_on(self) -> None:
        node = linked("b", "c", seq=1)
        node.answered("b", told(2, put(1)), 0.0)
        node.answered("c", told(4, put(1), node="cc"), 0.0)
        node.examined(5, [IMAGE], 0.0)
        node.examined(6, [IMAGE], 0.0)
        node.answered("b", Pieces(7, (b"image",)), 0.0)
        node.take_actions()
        node.store_failed("b", 7, 0.0)
        assert node.take_actions() == [SendRequest("c", get(8, IMAGE)), DiscardTransfer(1)]


class PendingTests:
    """Rows whose bytes are nowhere are asked for from every peer."""

    def waiting(self, *names: str) -> Replica:
        """A node that was started with one such row."""
        node = linked(*names, here=10, pending=[Pending("b", put(4))])
        for name, rid in zip(names, (2, 4), strict=False):
            node.answered(name, told(rid, after=10, node=name * 2), 0.0)
        return node

    def test_only_what_is_below_the_oldest_is_acknowledged(self) -> None:
        node = self.waiting("b")
        assert node.take_actions() == [
            SendRequest("b", Hello(1, "aa")),
            SendRequest("b", changes(2, 10, 3)),
        ]

    def test_of_an_upstream_that_was_never_pulled_from_nothing_is(self) -> None:
        node = linked("b")
        assert node._progress.acked(node.links["b"]) == 0

    def test_each_peer_is_asked_in_its_turn_until_one_has_them(self) -> None:
        node = self.waiting("b", "c")
        node.take_actions()
        assert node.next_deadline(0.0) == 0.0
        node.tick(0.0)
        assert node.take_actions() == [Examine(5, (put(4),))]
        node.examined(5, [IMAGE], 0.0)
        assert node.take_actions() == [SendRequest("b", get(6, IMAGE))]
        node.answered("b", Pieces(6, (None,)), 0.0)
        node.tick(0.1)
        assert node.take_actions() == [SendRequest("c", get(7, IMAGE)), DiscardTransfer(1)]
        node.answered("c", Pieces(7, (b"image",)), 0.2)
        node.pieces_stored("c", 7, [(2, ReceiveResult.COMPLETE)], 0.2)
        assert node.take_actions()[-1] == Join(5, (put(4),), None, None, from_start=False)
        node.joined(5, JoinResult(1, (), (("b", "p4"),)), 0.3)
        assert node.pending == {}
        assert node.take_actions() == [SendRequest("b", changes(8, 10, 10))]

    def test_if_nobody_has_them_they_wait(self) -> None:
        node = self.waiting("b")
        node.tick(0.0)
        node.examined(3, [IMAGE], 0.0)
        node.answered("b", Pieces(4, (None,)), 0.0)
        node.tick(0.1)
        assert Join(3, (put(4),), None, None, from_start=False) in node.take_actions()
        node.joined(3, waits(3, put(4)), 0.1)
        assert node.next_deadline(0.1) == PENDING_SECONDS
        node.tick(PENDING_SECONDS)
        assert node.take_actions()[0] == Examine(5, (put(4),))

    def test_if_there_is_nobody_to_ask_they_may_have_been_overtaken(self) -> None:
        node = replica(pending=[Pending("b", put(4))])
        node.tick(0.0)
        node.examined(1, [IMAGE], 0.0)
        assert node.take_actions() == [
            Examine(1, (put(4),)),
            Join(1, (put(4),), None, None, from_start=False),
        ]
        node.joined(1, JoinResult(1, (), (("b", "p4"), ("b", "gone"))), 0.0)
        assert node.pending == {}

    def test_when_the_last_peer_that_could_be_asked_is_removed_they_wait(self) -> None:
        node = self.waiting("b")
        node.tick(0.0)
        node.examined(3, [IMAGE], 0.0)
        node.remove_link("b", 0.0)
        node.tick(0.0)
        assert Join(3, (put(4),), None, None, from_start=False) in node.take_actions()

    def test_one_attempt_at_a_time(self) -> None:
        node = self.waiting("b")
        node.tick(0.0)
        node.take_actions()
        node.tick(PENDING_SECONDS)
        assert not [action for action in node.take_actions() if isinstance(action, Examine)]

    def test_an_attempt_that_fails_is_made_again(self) -> None:
        node = self.waiting("b")
        node.tick(0.0)
        node.pull_failed(3, 0.0)
        node.take_actions()
        node.tick(PENDING_SECONDS)
        assert Examine(4, (put(4),)) in node.take_actions()

    def test_a_bounded_number_at_once_and_each_in_turn(self) -> None:
        rows = [deleted(number) for number in range(1, ROWS_MAX + 2)]
        node = replica(pending=[Pending("b", row) for row in rows])
        node.tick(0.0)
        assert node.take_actions() == [Examine(1, tuple(rows[:ROWS_MAX]))]
        node.examined(1, [], 0.0)
        node.joined(1, DONE, 0.0)
        node.take_actions()
        node.tick(PENDING_SECONDS)
        assert node.take_actions() == [Examine(2, (rows[-1], *rows[: ROWS_MAX - 1]))]

    def test_an_upstream_whose_bytes_come_slowly_holds_up_its_own_rows_alone(self) -> None:
        slow, other = put(4, IMAGE, "p"), put(5, OTHER, "p")
        node = linked("b", here=10, pending=[Pending("b", slow), Pending("c", other)])
        node.take_actions()
        node.tick(0.0)
        mine, others = [action for action in node.take_actions() if isinstance(action, Examine)]
        assert (mine.rows, others.rows) == ((slow,), (other,))
        node.examined(mine.pull, [IMAGE], 0.0)  # and they do not come
        node.examined(others.pull, [], 0.0)
        node.joined(others.pull, DONE, 0.0)
        node.take_actions()
        node.tick(PENDING_SECONDS)
        [again] = [action for action in node.take_actions() if isinstance(action, Examine)]
        assert again.rows == (other,)


class RefreshTests:
    """The daemon asks whether this node is up to date."""

    def test_it_is_done_once_all_upstreams_have_answered(self) -> None:
        node = linked("b", "c", here=10)
        node.answered("b", told(2, after=10), 0.5)
        node.answered("c", told(4, after=10, node="cc"), 0.5)
        node.take_actions()
        node.refresh(1.0)
        assert node.take_actions() == [
            SendRequest("b", changes(5, 10, 10)),
            SendRequest("c", changes(6, 10, 10)),
        ]
        node.answered("b", told(5, after=10), 1.1)
        assert not node.is_current(1.0, 1.1)
        node.answered("c", told(6, after=10, node="cc"), 1.2)
        assert node.is_current(1.0, 1.2)

    def test_rows_that_it_received_must_be_joined(self) -> None:
        node = linked("b", here=10)
        node.answered("b", told(2, after=10), 0.5)
        node.refresh(1.0)
        node.answered("b", told(3, deleted(11), after=10), 1.1)
        assert not node.is_current(1.0, 1.1)
        node.examined(4, [], 1.2)
        node.joined(4, DONE, 1.3)
        assert node.is_current(1.0, 1.3)

    def test_a_question_that_was_asked_before_does_not_count(self) -> None:
        node = linked("b", here=10)
        node.take_actions()
        node.refresh(1.0)
        assert node.take_actions() == []
        node.answered("b", told(2, after=10), 1.1)
        assert not node.is_current(1.0, 1.1)
        assert node.take_actions() == [SendRequest("b", changes(3, 10, 10))]

    def test_upstreams_that_cannot_be_reached_are_not_waited_for(self) -> None:
        node = linked("b", here=10)
        assert not node.is_current(1.0, REACHABLE_SECONDS - 0.1)
        assert node.is_current(1.0, REACHABLE_SECONDS)

    def test_a_node_without_upstreams_is_up_to_date(self) -> None:
        node = replica()
        node.refresh(1.0)
        assert node.is_current(1.0, 1.0)


class ServingTests:
    """The other side of the protocol is subscribers.py's."""

    def test_pullers_are_answered(self) -> None:
        node = replica()
        node.asked(b"x", Hello(1, "bb"), 0.0)
        node.asked(b"x", Changes(2, "bb", "", 0, 0), 0.0)
        node.asked(b"x", get(3, IMAGE), 0.0)
        assert node.take_actions() == [
            SendReply(b"x", Head("aa", "0a", 0, "", 0)),
            ReadChanges(b"x", 2, 0),
            ReadPieces(b"x", 3, (Range(IMAGE.digest, 0, 5),)),
        ]
        node.changes_read(b"x", 2, 0, 1, [deleted(1)])
        node.pieces_read(b"x", 3, [None])
        assert node.take_actions() == [
            SendReply(b"x", batch(2, "aa", "0a", 0, 1, [deleted(1)])),
            SendReply(b"x", Pieces(3, (None,))),
        ]

    def test_a_read_that_failed_is_not_answered(self) -> None:
        node = replica()
        node.asked(b"x", get(3, IMAGE), 0.0)
        node.take_actions()
        node.read_failed(b"x")
        assert node.take_actions() == []

    def test_a_commit_sends_a_notification(self) -> None:
        node = replica(publishes=True)
        assert node.next_deadline(0.0) == 0.0
        node.tick(0.0)
        node.committed(5, 0.5)
        assert node.take_actions() == [
            Notify(Head("aa", "0a", 0, "", 0)),
            Notify(Head("aa", "0a", 5, "", 0)),
        ]
        assert node.next_deadline(0.5) == 1.5


class BoundsTests:
    """Batches and Gets may be smaller than the protocol lets them be."""

    def test_a_batch_is_read_and_sent_within_them(self) -> None:
        node = Replica("aa", [Epoch("0a", 1)], 9, {}, [], lambda: 0, publishes=False, rows_max=2)
        node.asked(b"client", Changes(1, "bb", "0a", 0, 0), 0.0)
        assert node.take_actions() == [ReadChanges(b"client", 1, 0, rows_max=2)]
        node.changes_read(b"client", 1, 0, 9, [deleted(3), deleted(4)])
        assert node.take_actions() == [
            SendReply(b"client", told(1, deleted(3), deleted(4), end=9, node="aa", epoch="0a"))
        ]

    def test_rows_that_wait_are_tried_within_them(self) -> None:
        pending = [Pending("b", deleted(number)) for number in (1, 2, 3)]
        node = Replica(
            "aa", [Epoch("0a", 1)], 0, {}, pending, lambda: 0, publishes=False, rows_max=2
        )
        node.tick(0.0)
        assert node.take_actions() == [Examine(1, (deleted(1), deleted(2)))]

    def test_bytes_are_asked_for_within_them(self) -> None:
        node = Replica(
            "aa",
            [Epoch("0a", 1)],
            0,
            {"b": Cursor("01", 0)},
            [],
            lambda: 0,
            publishes=False,
            get_bytes_max=3,
        )
        node.add_link("b", 0.0)
        node.answered("b", head(1), 0.0)
        node.answered("b", told(2, put(1)), 0.0)
        node.take_actions()
        node.examined(3, [IMAGE], 0.0)
        assert [
            action.message.ranges
            for action in node.take_actions()
            if isinstance(action, SendRequest) and isinstance(action.message, Get)
        ] == [
            (Range(IMAGE.digest, 0, 3),),
            (Range(IMAGE.digest, 3, 2),),
        ]


class World:
    """All that is outside of a Replica, where everything fails, is lost, doubled and late: answers
    are made up, and only the rules are kept.

    Checked after each event: what is held is let go of once, batches are joined one after the
    other, nothing is acknowledged before it is durable, and the time of the next tick is not now.
    """

    def __init__(self, random: Random) -> None:
        self.random = random
        self.now = 0.0
        self.node = replica(pending=[Pending("b", put(1, OTHER))])
        self.to_do: list[Action] = []
        self.held: Counter[tuple[Row, ...]] = Counter()
        self.durable = {("b", Cursor("", 0)), ("c", Cursor("", 0)), ("d", Cursor("", 0))}

    def live(self) -> None:
        """Let one thing happen."""
        random = self.random
        name = random.choice("bc")
        what = random.choice(["do", "do", "do", "do", "do", "ring", "wait", "refresh", "link"])
        if what == "do" and self.to_do:
            self.do(self.to_do.pop(random.randrange(len(self.to_do))))
        elif what == "ring" and name in self.node.links:
            self.node.heard_head(name, self.head(name), self.now)
        elif what == "wait":
            self.now += random.choice([0.25, 1.0, 4.0])
            self.node.tick(self.now)
        elif what == "refresh":
            self.node.refresh(self.now)
        elif what == "link" and name not in self.node.links:
            self.node.add_link(name, self.now)
        elif what == "link" and not random.randrange(8):
            self.node.remove_link(name, self.now)
        self.look()

    def end(self) -> None:
        """Do all that is to be done on this node, and take the upstreams away."""
        for name in list(self.node.links):
            self.node.remove_link(name, self.now)
        self.look()
        while self.to_do:
            action = self.to_do.pop(0)
            if not isinstance(action, SendRequest):
                self.do(action)
            self.look()
        assert not +self.held

    def look(self) -> None:
        """See what it wants, and what it wants when time has not passed."""
        self.see_actions()
        assert self.node.next_deadline(self.now) >= self.now
        self.node.tick(self.now)
        self.see_actions()
        assert self.node.next_deadline(self.now) > self.now

    def see_actions(self) -> None:
        """Note them, and check those that say something."""
        for action in self.node.take_actions():
            if isinstance(action, Release):
                self.let_go(action.rows)
            elif isinstance(action, SendRequest) and isinstance(message := action.message, Changes):
                cursors = [
                    cursor
                    for link, cursor in self.durable
                    if link == action.link and cursor.epoch == message.epoch
                ]
                assert message.acked <= max((cursor.seq for cursor in cursors), default=0)
            if isinstance(action, SendRequest | Examine | StorePieces | Join):
                self.to_do.append(action)
        assert all(
            len(link.pulls) <= PULLS_MAX and link.gets_free() >= 0
            for link in self.node.links.values()
        )

    def do(self, action: Action) -> None:
        """Do it, or fail."""
        node, random, now = self.node, self.random, self.now
        fails = not random.randrange(6)
        if isinstance(action, SendRequest) and action.link in node.links and not fails:
            node.answered(action.link, self.answer(action), now)
            if not random.randrange(4):
                self.to_do.append(action)  # it is answered twice
        elif isinstance(action, Examine) and fails:
            node.pull_failed(action.pull, now)
        elif isinstance(action, Examine):
            self.held[action.rows] += 1
            node.examined(
                action.pull,
                [
                    row.entry.content
                    for row in action.rows
                    if row.entry.content and random.randrange(3)
                ],
                now,
            )
        elif isinstance(action, StorePieces) and fails:
            node.store_failed(action.link, action.rid, now)
        elif isinstance(action, StorePieces):
            transfers = dict.fromkeys(part.transfer for part in action.parts)
            node.pieces_stored(
                action.link,
                action.rid,
                [(transfer, random.choice(list(ReceiveResult))) for transfer in transfers],
                now,
            )
        elif isinstance(action, Join) and fails:
            self.let_go(action.rows)
            node.pull_failed(action.pull, now)
        elif isinstance(action, Join):
            self.let_go(action.rows)
            self.join(action)

    def join(self, action: Join) -> None:
        """The rows are durable, or wait for their bytes."""
        some = tuple(
            row for row in action.rows if row.entry.content and not self.random.randrange(3)
        )
        if action.upstream is None or action.cursor is None:
            paths = {row.entry.path for row in some}
            self.node.joined(
                action.pull,
                JoinResult(0, (), tuple(key for key in self.node.pending if key[1] in paths)),
                self.now,
            )
            return
        self.durable.add((action.upstream, action.cursor))
        self.node.joined(
            action.pull,
            JoinResult(0, tuple(Pending(action.upstream, row) for row in some), ()),
            self.now,
        )

    def let_go(self, rows: tuple[Row, ...]) -> None:
        """Nothing is let go of that is not held."""
        self.held[rows] -= 1
        assert self.held[rows] >= 0

    def head(self, name: str) -> Head:
        """Seldom of another node, or of this one."""
        node = self.random.choice([name * 2] * 8 + ["dd", "aa"])
        return head(
            self.random.randrange(8),
            node,
            self.random.choice(["01", "01", "02"]),
            self.random.choice(["", "", "7001"]),
        )

    def answer(self, action: SendRequest) -> Head | Batch | Pieces | Refused:
        """What some upstream might say."""
        random, message = self.random, action.message
        if isinstance(message, Hello):
            return self.head(action.link)
        if not random.randrange(20):
            return Refused(message.rid, "no")
        if isinstance(message, Get):
            return Pieces(
                message.rid,
                tuple(
                    random.choice([b"x" * one.length, b"x" * one.length, b"x", None])
                    for one in message.ranges
                ),
            )
        after = random.choice([message.after, message.after, message.after, 0])
        seqs = sorted(random.sample(range(after + 1, after + 6), random.randrange(4)))
        contents = (IMAGE, OTHER, Content("9" * 64, 600_000))
        rows = [
            put(seq, random.choice(contents)) if random.randrange(4) else deleted(seq)
            for seq in seqs
        ]
        end = (seqs[-1] if seqs else after) + random.choice([0, 0, 5])
        epoch = random.choice([message.epoch or "01", "01", "02"])
        return told(
            message.rid,
            *rows,
            after=after,
            end=end if rows else None,
            node=action.link * 2,
            epoch=epoch,
        )


class AnyOrderTests:
    """Whatever happens, in whatever order."""

    @given(st.randoms(use_true_random=False), st.integers(1, 200))
    def test_the_rules_are_kept(self, random: Random, events: int) -> None:
        world = World(random)
        for _ in range(events):
            world.live()
        world.end()


class NewLinkTests:
    """A peer that was just added may have news, though it was not heard of yet."""

    def test_it_is_waited_for_a_moment(self) -> None:
        node = replica()
        node.add_link("b", 10.0)
        assert [node.is_current(10.0, now) for now in (10.0, 11.9, 12.1)] == [False, False, True]

    def test_all_is_here_once_what_was_rung_for_is(self) -> None:
        node = linked("b", here=5, seq=5)
        assert node.has_pulled_all(0.0)
        node.heard_head("b", head(6), 0.0)
        assert not node.has_pulled_all(0.0)
        assert node.has_pulled_all(100.0), "of who is silent nothing is known"

    def test_not_if_it_cannot_be_an_upstream(self) -> None:
        node = replica()
        node.add_link("b", 10.0)
        node.refuse("b", "it is another's", 10.5)
        assert node.is_current(10.0, 11.0)


class FindingTests:
    """What the tests of the parts, and histories at random, once found."""

    def test_a_peer_that_comes_back_elsewhere_is_asked_there(self) -> None:
        node = linked("b", here=5)
        node.tick(2.0)
        node.take_actions()
        node.heard_head("b", head(10, sync="7001"), 60.0)
        assert node.take_actions() == [Redirect("b", "7001"), SendRequest("b", changes(2, 5, 5))]

    def test_another_node_where_one_would_expect_it_is_asked_there(self) -> None:
        node = replica()
        node.add_link("b", 0.0)
        node.answered("b", head(5, sync="7001"), 0.0)
        # forgets the head, not where it is asked
        node.answered("b", told(2, put(1), node="cc"), 0.1)
        node.take_actions()
        node.heard_head("b", head(5, "cc"), 0.2)
        assert node.take_actions()[0] == Redirect("b", "")

    def test_a_peer_that_becomes_reachable_is_asked_for_what_waits_at_one_that_is_gone(
        self,
    ) -> None:
        node = linked("b", here=10, pending=[Pending("b", put(4))])
        node.answered("b", told(2, after=10), 0.0)
        node.tick(0.0)
        node.examined(3, [IMAGE], 0.0)  # asks b, which is never heard of again
        node.add_link("c", 1.0)
        asked = []
        for second in range(1, 120):
            node.heard_head("c", head(0, "cc"), float(second))
            node.tick(float(second))
            for action in node.take_actions():
                if isinstance(action, SendRequest) and isinstance(action.message, Get):
                    asked.append(action.link)
                if isinstance(action, Examine):
                    node.examined(action.pull, [IMAGE], float(second))
                if isinstance(action, Join):
                    node.joined(action.pull, DONE, float(second))
        assert "c" in asked

    def test_a_peer_with_a_wrong_size_does_not_hold_up_one_with_the_right_size(self) -> None:
        wrong = Content(IMAGE.digest, 99)
        node = linked("b", here=10, pending=[Pending("b", put(4, wrong)), Pending("b", put(5))])
        node.answered("b", told(2, after=10), 0.0)
        node.tick(0.0)
        [examine] = [action for action in node.take_actions() if isinstance(action, Examine)]
        node.examined(
            examine.pull, [row.entry.content for row in examine.rows if row.entry.content], 0.0
        )
        [get] = [
            action.message
            for action in node.take_actions()
            if isinstance(action, SendRequest) and isinstance(action.message, Get)
        ]
        assert sorted(one.length for one in get.ranges) == [5, 99]
        node.answered(
            "b",
            Pieces(get.rid, tuple(b"image" if one.length == 5 else None for one in get.ranges)),
            0.0,
        )
        [keep] = [action for action in node.take_actions() if isinstance(action, StorePieces)]
        assert [part.content for part in keep.parts] == [IMAGE]

    def test_an_answer_of_the_wrong_kind_is_not_met_by_the_same_question_at_once(self) -> None:
        node = linked("b", here=5)
        node.take_actions()
        node.answered("b", Pieces(2, ()), 0.0)
        assert node.take_actions() == []

    def test_why_an_upstream_refuses_is_shown_in_print(self) -> None:
        node = linked("b", here=5)
        node.answered("b", Refused(2, "a\nforged line\x1b[2J"), 0.0)
        assert (node.links["b"].refused or "").isprintable()

    def test_a_puller_that_received_rows_before_they_were_announced(self) -> None:
        node = replica()
        node.asked(b"x", Changes(1, "bb", "", 0, 0), 0.0)
        # committed, and read, before `committed` was called
        node.changes_read(b"x", 1, 0, 0, [deleted(1)])
        node.take_actions()
        node.asked(b"x", Changes(2, "bb", "0a", 1, 1), 0.0)
        assert node.take_actions() == [ReadChanges(b"x", 2, 1)]
        assert node.subscribers.confirmations(1) == 1


class FullTests:
    """So many rows of an upstream are pending that no more may be."""

    def full(self) -> Replica:
        """The node aa, which may have one pending row of b, and has it: the cursor is at 1 of 9."""
        return linked("b", seq=9, here=1, pending=[Pending("b", put(1))], pending_max=1)

    def pulled(
        self,
        node: Replica,
        rid: int,
        *rows: Row,
        after: int,
        end: int = 9,
        settled: tuple[tuple[str, str], ...] = (),
    ) -> Join:
        """The Join of what the upstream answers to the Changes `rid`; it is done."""
        node.answered("b", told(rid, *rows, after=after, end=end), 0.0)
        [examine] = [action for action in node.take_actions() if isinstance(action, Examine)]
        node.examined(examine.pull, [], 0.0)
        [join] = [action for action in node.take_actions() if isinstance(action, Join)]
        node.joined(join.pull, JoinResult(0, (), settled), 0.0)
        return join

    def asked_after(self, node: Replica) -> list[tuple[int, int]]:
        """Of each Changes that is under way its number, and after which change."""
        messages = [asked.message for asked in node.links["b"].asked.values()]
        return [
            (message.rid, message.after) for message in messages if isinstance(message, Changes)
        ]

    def test_what_follows_is_joined_without_the_cursor(self) -> None:
        node = self.full()
        [(rid, after)] = self.asked_after(node)
        assert after == 1
        join = self.pulled(node, rid, deleted(2), after=1)
        assert (join.rows, join.upstream, join.cursor) == ((deleted(2),), None, None)
        [(_, after)] = self.asked_after(node)
        assert after == 2
        assert node._progress.acked(node.links["b"]) == 0
        assert node.links["b"].cursor == Cursor("01", 1)

    def test_when_a_row_has_its_bytes_everything_is_sent_again_from_the_cursor(self) -> None:
        node = self.full()
        [(rid, _)] = self.asked_after(node)
        self.pulled(node, rid, deleted(2), after=1, settled=(("b", "p1"),))
        [(rid, after)] = self.asked_after(node)
        assert after == 2  # asked before
        assert self.pulled(node, rid, deleted(3), after=2).cursor is None
        [(rid, after)] = self.asked_after(node)
        assert after == 1
        join = self.pulled(node, rid, deleted(2), after=1)
        assert (join.upstream, join.cursor) == ("b", Cursor("01", 2, 9))

    def test_nobody_waits_for_news_of_it(self) -> None:
        node = self.full()
        node.refresh(5.0)
        assert node.is_current(5.0, 5.0)

    def test_at_the_end_it_is_polled_and_does_not_count_as_current(self) -> None:
        node = self.full()
        [(rid, _)] = self.asked_after(node)
        self.pulled(node, rid, deleted(9), after=1)
        node.tick(POLL_SECONDS)
        [(rid, after)] = self.asked_after(node)
        assert after == 9
        node.answered("b", told(rid, after=9), POLL_SECONDS)
        assert node.links["b"].current_as_of < 0
        assert node.links["b"].behind_since is not None

    def test_an_upstream_that_begins_again_voids_what_waited(self) -> None:
        node = self.full()
        [(rid, _)] = self.asked_after(node)
        join = self.pulled(node, rid, deleted(2), after=0, settled=(("b", "p1"),))
        assert (join.upstream, join.cursor, join.from_start) == ("b", Cursor("01", 2, 9), True)
        assert not node.links["b"].looks_ahead

    def test_another_node_at_the_end_of_the_link_voids_it_too(self) -> None:
        node = self.full()
        node.take_actions()
        node.heard_head("b", head(9, "cc"), 1.0)
        [(rid, after)] = self.asked_after(node)
        assert after == 0
        node.answered("b", told(rid, deleted(2), node="cc"), 1.0)
        [examine] = [action for action in node.take_actions() if isinstance(action, Examine)]
        node.examined(examine.pull, [], 1.0)
        [join] = [action for action in node.take_actions() if isinstance(action, Join)]
        assert (join.upstream, join.cursor, join.from_start) == ("b", Cursor("01", 2), True)

    def test_but_not_before_what_is_being_joined(self) -> None:
        node = self.full()
        [(rid, _)] = self.asked_after(node)
        node.answered("b", told(rid, deleted(2), after=1, end=9), 0.0)
        [examine] = [action for action in node.take_actions() if isinstance(action, Examine)]
        node.examined(examine.pull, [], 0.0)
        actions = node.take_actions()
        [join] = [action for action in actions if isinstance(action, Join)]
        [(rid, _)] = self.asked_after(node)
        node.answered("b", told(rid, deleted(3), after=0, end=9), 0.0)
        assert not any(isinstance(action, Examine) for action in node.take_actions())
        node.joined(join.pull, DONE, 0.0)
        assert self.asked_after(node)

    def test_an_upstream_that_begins_again_all_the_time_is_left_alone_for_a_while(self) -> None:
        node = linked("b", seq=9, here=1)
        [(rid, _)] = self.asked_after(node)
        joins = 0
        for epoch in range(RESTARTS_MAX + 2):
            node.answered("b", told(rid, deleted(2), after=0, epoch=f"{epoch:02x}"), 0.0)
            for action in node.take_actions():
                if isinstance(action, Examine):
                    node.examined(action.pull, [], 0.0)
            for action in node.take_actions():
                if isinstance(action, Join):
                    joins += 1
                    node.joined(action.pull, DONE, 0.0)
            asked = self.asked_after(node)
            if not asked:
                break
            rid = asked[-1][0]
        assert joins == RESTARTS_MAX
        assert not node.links["b"].is_reachable(0.0)

    def test_one_that_is_another_node_all_the_time_is_taken_for_the_last_that_it_was(self) -> None:
        node = linked("b")
        for number in range(RESTARTS_MAX + 2):
            node.heard_head("b", head(10, f"{number:02x}"), 0.0)
        assert node.links["b"].node == f"{RESTARTS_MAX - 1:02x}"

    def test_one_that_is_to_be_asked_elsewhere_all_the_time_is_asked_where_it_was(self) -> None:
        node = linked("b", here=10)
        for port in range(100):
            node.heard_head("b", head(10, sync=f"{port}"), 0.0)
        assert [action.sync for action in node.take_actions() if isinstance(action, Redirect)] == [
            f"{port}" for port in range(RESTARTS_MAX)
        ]
        node.heard_head("b", head(10, sync="last"), RESTART_SECONDS)
        assert Redirect("b", "last") in node.take_actions()

    def test_upstreams_that_no_link_leads_to_are_forgotten_when_they_are_too_many(self) -> None:
        waiting = [Pending(f"{number:02x}", put(1)) for number in range(3)]
        node = linked("b", here=9, pending=waiting, pending_max=1)
        [(rid, _)] = self.asked_after(node)
        node.answered("b", told(rid, deleted(10), after=9), 0.0)
        [examine] = [action for action in node.take_actions() if isinstance(action, Examine)]
        node.examined(examine.pull, [], 0.0)
        [join] = [action for action in node.take_actions() if isinstance(action, Join)]
        node.joined(join.pull, DONE, 0.0)
        [forget] = [action for action in node.take_actions() if isinstance(action, ForgetUpstreams)]
        assert set(forget.upstreams) == {"00", "01", "02"}
        assert not node.pending
        assert node.links["b"].cursor == Cursor("01", 10)


class NameTests:
    """What nodes call themselves."""

    def test_a_node_tells_its_name_with_all_that_it_says_of_itself(self) -> None:
        node = replica(name="img-1")
        node.add_link("b", 0.0)
        node.answered("b", head(10), 0.1)
        said = [action.message for action in node.take_actions() if isinstance(action, SendRequest)]
        assert [
            (type(message), message.name)
            for message in said
            if isinstance(message, Hello | Changes)
        ] == [(Hello, "img-1"), (Changes, "img-1")]
        assert node.subscribers.head().name == "img-1"

    def test_a_peer_has_the_name_that_it_tells_and_not_another_one_every_moment(self) -> None:
        node = linked("b", here=10)
        names = []
        for now, name in ((0.0, "img-2\n"), (1.0, "other"), (NAME_SECONDS, "third")):
            node.heard_head("b", structs.replace(head(10), name=name), now)
            names.append(node.links["b"].peer_name)
        assert names == ["img-2\\n", "img-2\\n", "third"]


class UnwantedTests:
    """What this node does not take is not fetched, is reported by name, and holds up
    nothing else.
    """

    def examined(self, node: Replica, now: float = 0.0) -> list[Action]:
        """What the node does once it knows that it lacks all bytes."""
        [examine] = [action for action in node.take_actions() if isinstance(action, Examine)]
        node.examined(
            examine.pull, [row.entry.content for row in examine.rows if row.entry.content], now
        )
        return node.take_actions()

    def test_a_size_that_is_refused_is_never_asked_for(self) -> None:
        huge = put(1, OTHER, "huge.jpg")
        node = replica(refusal=lambda row: "too large" if row.entry.content == OTHER else None)
        node.add_link("b", 0.0)
        node.answered("b", head(2), 0.0)
        node.answered("b", told(2, huge, put(2)), 0.0)
        actions = self.examined(node)
        assert ReportRejected("b", "huge.jpg", "too large") in actions
        assert [action.message for action in actions if isinstance(action, SendRequest)][-1] == get(
            4, IMAGE
        )
        assert node.why_pending(huge) == "too large"
        assert node.why_pending(put(2)) == "no reachable peer has its bytes"
        assert node.why_pending(deleted(3)) == "no reachable peer has its bytes"

    def test_it_is_reported_once_and_not_whenever_the_pending_rows_have_their_turn(self) -> None:
        node = linked("b", here=10, pending=[Pending("b", put(4))], refusal=lambda _: "too large")
        node.answered("b", told(2, after=10), 0.0)
        node.tick(0.0)
        assert not any(
            isinstance(action, ReportRejected | SendRequest) for action in self.examined(node)
        )

    @pytest.mark.parametrize(
        ("result", "pause"),
        [(ReceiveResult.DAMAGED, WRONG_SECONDS), (ReceiveResult.UNWANTED, UNWANTED_SECONDS)],
    )
    def test_bytes_that_were_of_no_use_are_not_asked_for_again_at_once(
        self, result: ReceiveResult, pause: float
    ) -> None:
        node = asking(put(1), deleted(2), here=0)
        node.examined(3, [IMAGE], 0.0)
        node.take_actions()
        node.answered("b", Pieces(4, (b"image",)), 0.0)
        node.pieces_stored("b", 4, [(1, result)], 0.0)
        actions = node.take_actions()
        assert any(isinstance(action, ReportRejected) for action in actions) == (
            result is ReceiveResult.UNWANTED
        )
        assert not node.why_pending(put(1)).startswith("no peer")
        node.joined(3, waits(1, put(1)), 0.0)
        node.take_actions()
        for now, asks in [(pause - 1, False), (pause, True)]:
            node.heard_head("b", head(2), now)
            node.pending.try_at = now
            node.tick(now)
            wanted = any(
                isinstance(action, SendRequest) and isinstance(action.message, Get)
                for action in self.examined(node, now)
            )
            assert wanted == asks
            for action in node.take_actions():
                assert not isinstance(action, ReportRejected)
            node.joined(max(pull.id for pull in node._pulls), DONE, now) if not asks else None

    def test_bytes_that_come_in_the_end_are_as_good_as_any(self) -> None:
        node = asking(put(1), here=0)
        node.examined(3, [IMAGE], 0.0)
        node.answered("b", Pieces(4, (b"image",)), 0.0)
        node.pieces_stored("b", 4, [(1, ReceiveResult.COMPLETE)], 0.0)
        assert node.why_pending(put(1)).startswith("no reachable peer")


class MendingTests:
    """Bytes that are missing or rotten here are fetched once more."""

    def test_they_are_asked_for_and_it_is_said_when_they_are_here(self) -> None:
        node = linked("b", here=10)
        node.answered("b", told(2, after=10), 0.0)
        node.take_actions()
        number = node.refetch([IMAGE, OTHER], 0.1)
        [send] = node.take_actions()
        assert send == SendRequest("b", get(number + 1, IMAGE, OTHER))
        node.answered("b", Pieces(number + 1, (b"12345", b"123456")), 0.2)
        [keep] = node.take_actions()
        assert isinstance(keep, StorePieces)
        node.pieces_stored(
            "b", keep.rid, [(part.transfer, ReceiveResult.COMPLETE) for part in keep.parts], 0.3
        )
        assert node.take_actions() == [RefetchDone(number)]

    def test_what_one_peer_has_not_another_may_have(self) -> None:
        node = linked("b", "c", here=10)
        number = node.refetch([IMAGE], 0.1)
        node.take_actions()
        node.answered("b", Pieces(number + 1, (None,)), 0.2)
        assert SendRequest("c", get(number + 2, IMAGE)) in node.take_actions()
        node.answered("c", Pieces(number + 2, (None,)), 0.3)
        assert RefetchDone(number) in node.take_actions()

    def test_nobody_can_be_asked(self) -> None:
        node = replica()
        number = node.refetch([IMAGE], 0.0)
        assert node.take_actions() == [RefetchDone(number)]

    def test_it_ends_in_time(self) -> None:
        node = linked("b", here=10)
        number = node.refetch([IMAGE], 0.1)
        now = 0.1
        actions: list[Action] = []
        while RefetchDone(number) not in actions and now < 1000.0:
            now = node.next_deadline(now)
            node.tick(now)
            actions = node.take_actions()
        assert now <= 0.2 + REFETCH_SECONDS
        assert node.missing_bytes == 0

    def test_what_a_batch_waits_for_too_is_fetched_once(self) -> None:
        node = asking(put(1))
        node.examined(3, [IMAGE], 0.0)
        node.take_actions()
        number = node.refetch([IMAGE], 0.1)
        assert node.take_actions() == []
        node.answered("b", Pieces(4, (b"12345",)), 0.2)
        [keep] = [action for action in node.take_actions() if isinstance(action, StorePieces)]
        node.pieces_stored("b", keep.rid, [(keep.parts[0].transfer, ReceiveResult.COMPLETE)], 0.3)
        actions = node.take_actions()
        assert RefetchDone(number) in actions
        assert any(isinstance(action, Join) for action in actions)
