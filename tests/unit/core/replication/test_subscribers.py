"""The upstream's side: doorbell, answers, acknowledgements."""

import pytest
from msgspec import structs

from imagepipe.core.replication.actions import Notify, ReadChanges, ReadPieces, SendReply
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
from imagepipe.core.replication.subscribers import (
    ABSENT_SECONDS,
    HEAD_SECONDS,
    NOTIFY_SECONDS,
    OWN_NODE,
    READS_MAX,
    READS_OF_ALL_MAX,
    SUBSCRIBERS_MAX,
    Subscriber,
    Subscribers,
)
from imagepipe.core.rows.entries import Entry, Row
from imagepipe.core.rows.epochs import Epoch
from imagepipe.core.rows.stamp import Version

NODE, PEER = "aa", "bb"
GET = Get(9, (Range("d" * 64, 0, 5),))
OLD, NEW = "01", "02"  # this node's starts: changes 1 to 10, and from 11 on
NEVER = float("inf")


def upstream(last_seq: int = 20, *, publishes: bool = True) -> Subscribers:
    """A node that has started twice."""
    return Subscribers(
        NODE, [Epoch(OLD, 1), Epoch(NEW, 11)], last_seq, "7777", lambda: 123, publishes=publishes
    )


def changes(epoch: str, after: int, acked: int = 0, node: str = PEER, end: int = 0) -> Changes:
    """What a puller asks."""
    return Changes(1, node, epoch, after, acked, end)


def row(seq: int) -> Row:
    """A delete."""
    return Row(Entry(f"p{seq}", Version(1, NODE), None, None, seq), None)


class RingTests:
    """The doorbell rings after a commit, at most every 10 ms, and every second."""

    def test_it_rings_at_once(self) -> None:
        assert upstream().notify(100.0) == [Notify(Head(NODE, NEW, 20, "7777", 123))]

    def test_and_every_second(self) -> None:
        one = upstream()
        one.notify(100.0)
        assert one.notify_at == 100.0 + HEAD_SECONDS == 101.0
        assert one.notify(100.5) == []
        assert one.notify(101.0) == [Notify(one.head())]

    def test_it_rings_at_once_for_a_commit_after_a_quiet_time(self) -> None:
        one = upstream()
        one.notify(100.0)
        one.committed(21)
        assert one.notify(100.5) == [Notify(Head(NODE, NEW, 21, "7777", 123))]

    def test_commits_in_a_row_share_a_ring(self) -> None:
        one = upstream()
        one.notify(100.0)
        one.committed(21)
        one.committed(22)
        assert one.notify(100.0) == []
        assert one.notify_at == 100.0 + NOTIFY_SECONDS == 100.01
        one.committed(23)
        assert one.notify(100.01) == [Notify(Head(NODE, NEW, 23, "7777", 123))]
        assert one.notify(100.02) == []

    @pytest.mark.parametrize("seq", [19, 20])
    def test_what_was_committed_before_rings_nothing(self, seq: int) -> None:
        one = upstream()
        one.notify(100.0)
        one.committed(seq)
        assert (one.notify_at, one.last_seq) == (101.0, 20)

    def test_where_it_is_asked_elsewhere_it_says_so_at_once(self) -> None:
        one = upstream()
        one.notify(100.0)
        one.listens("8888", 100.1, publishes=True)
        assert one.notify(100.1) == [Notify(Head(NODE, NEW, 20, "8888", 123))]

    def test_where_it_publishes_no_more_it_rings_no_more(self) -> None:
        one = upstream()
        one.listens("", 100.0, publishes=False)
        one.committed(21)
        assert one.notify_at == NEVER
        one.listens("", 100.0, publishes=True)
        assert one.notify(100.0) == [Notify(Head(NODE, NEW, 21, "", 123))]

    def test_a_node_that_publishes_nothing_sends_no_notifications(self) -> None:
        one = upstream(publishes=False)
        one.committed(21)
        assert (one.notify(100.0), one.notify_at, one.last_seq) == ([], NEVER, 21)


class AnswerTests:
    """A puller may ask anything at any time."""

    def test_hello_is_answered_by_the_head(self) -> None:
        assert upstream().asked(b"x", Hello(1, PEER), 0.0) == [
            SendReply(b"x", Head(NODE, NEW, 20, "7777", 123))
        ]

    @pytest.mark.parametrize("message", [Hello(1, NODE), Changes(1, NODE, "", 0, 0)])
    def test_a_copy_of_this_node_is_refused(self, message: Hello | Changes) -> None:
        one = upstream()
        assert one.asked(b"x", message, 0.0) == [SendReply(b"x", Refused(1, OWN_NODE))]
        assert one.known == {}

    @pytest.mark.parametrize(
        ("epoch", "after", "answered_after"),
        [
            ("", 0, 0),
            (NEW, 15, 15),
            (NEW, 20, 20),
            (OLD, 10, 10),
            (NEW, 21, 0),  # beyond its end: this node was restored
            (OLD, 11, 0),
            ("03", 5, 0),  # unknown
            ("", 5, 0),
        ],
    )
    def test_an_unknown_cursor_gets_everything_from_the_start(
        self, epoch: str, after: int, answered_after: int
    ) -> None:
        assert upstream().asked(b"x", changes(epoch, after), 0.0) == [
            ReadChanges(b"x", 1, answered_after)
        ]

    @pytest.mark.parametrize(
        ("epoch", "end", "answered_after"), [(NEW, 20, 5), (NEW, 21, 0), (OLD, 10, 5), (OLD, 11, 0)]
    )
    def test_rows_sent_before_a_rollback_are_sent_again(
        self, epoch: str, end: int, answered_after: int
    ) -> None:
        one = upstream()
        assert one.asked(b"x", changes(epoch, 5, 5, end=end), 0.0) == [
            ReadChanges(b"x", 1, answered_after)
        ]
        assert one.known[PEER].acked == answered_after

    def test_rows_that_were_read_are_a_batch(self) -> None:
        one = upstream()
        one.asked(b"x", changes(NEW, 18), 0.0)
        rows = [row(19), row(20)]
        assert one.changes_read(b"x", 1, 18, 20, rows) == [
            SendReply(b"x", batch(1, NODE, NEW, 18, 20, rows))
        ]

    def test_a_full_batch_ends_with_its_last_row(self) -> None:
        one = upstream()
        one.asked(b"x", changes("", 0), 0.0)
        (answer,) = one.changes_read(b"x", 1, 0, 1000, [row(seq) for seq in range(1, ROWS_MAX + 1)])
        assert isinstance(answer, SendReply)
        assert isinstance(answer.message, Batch)
        assert (answer.client, answer.message.upto, answer.message.end) == (b"x", ROWS_MAX, 1000)

    def test_bytes_are_read_and_answered(self) -> None:
        one = upstream()
        assert one.asked(b"x", GET, 0.0) == [ReadPieces(b"x", 9, GET.ranges)]
        assert one.pieces_read(b"x", 9, [b"bytes", None]) == [
            SendReply(b"x", Pieces(9, (b"bytes", None)))
        ]


class BoundTests:
    """What is read at once is bounded, for one client and for all."""

    def test_the_answers_read_at_once_for_one_client_are_bounded(self) -> None:
        one = upstream()
        assert all(one.asked(b"x", GET, 0.0) for _ in range(READS_MAX))
        assert one.asked(b"x", GET, 0.0) == one.asked(b"x", changes("", 0), 0.0) == []
        assert one.dropped == 2
        assert one.asked(b"y", GET, 0.0) == [ReadPieces(b"y", 9, GET.ranges)]

    def test_and_all_together(self) -> None:
        one = upstream()
        clients = [b"%d" % number for number in range(READS_OF_ALL_MAX)]
        assert all(one.asked(client, GET, 0.0) for client in clients)
        assert (one.asked(b"x", GET, 0.0), one.dropped, one.reads_under_way) == (
            [],
            1,
            READS_OF_ALL_MAX,
        )

    @pytest.mark.parametrize("done", ["changes_read", "pieces_read", "read_failed"])
    def test_an_answer_makes_room_for_another(self, done: str) -> None:
        one = upstream()
        for _ in range(READS_MAX):
            one.asked(b"x", GET, 0.0)
        if done == "changes_read":
            one.changes_read(b"x", 1, 0, 0, [])
        elif done == "pieces_read":
            one.pieces_read(b"x", 1, [])
        else:
            assert one.read_failed(b"x") == []
        assert one.asked(b"x", GET, 0.0) == [ReadPieces(b"x", 9, GET.ranges)]
        assert one.asked(b"x", GET, 0.0) == []

    def test_what_is_answered_without_reading_is_not_bounded(self) -> None:
        one = upstream()
        for _ in range(READS_MAX):
            one.asked(b"x", GET, 0.0)
        assert one.asked(b"x", Hello(1, PEER), 0.0) == [SendReply(b"x", one.head())]

    def test_an_acknowledgement_counts_even_if_its_question_is_dropped(self) -> None:
        one = upstream()
        for _ in range(READS_MAX):
            one.asked(b"x", GET, 0.0)
        assert one.asked(b"x", changes(NEW, 20, 20), 5.0) == []
        assert one.known == {PEER: Subscriber(20, 5.0, PEER)}


class AcknowledgementTests:
    """How far each subscriber has come."""

    @pytest.mark.parametrize(
        ("epoch", "acked", "noted"),
        [
            (NEW, 20, 20),
            (OLD, 10, 10),
            (NEW, 21, 0),
            (OLD, 11, 0),
            ("03", 5, 0),
            ("", 0, 0),
            ("", 5, 0),
        ],
    )
    def test_only_what_was_counted_by_this_node_counts(
        self, epoch: str, acked: int, noted: int
    ) -> None:
        one = upstream()
        one.asked(b"x", changes(epoch, acked, acked), 7.0)
        assert one.known == {PEER: Subscriber(noted, 7.0, PEER)}

    def test_a_subscriber_that_was_restored_has_less_than_it_had(self) -> None:
        one = upstream()
        one.asked(b"x", changes(NEW, 20, 20), 0.0)
        one.asked(b"x", changes(NEW, 15, 15), 1.0)
        assert one.known == {PEER: Subscriber(15, 1.0, PEER)}

    def test_confirmations_count_the_nodes_that_have_a_change(self) -> None:
        one = upstream()
        for node, acked in (("b", 20), ("c", 20), ("d", 19)):
            one.asked(node.encode(), changes(NEW, 20, acked, node), 0.0)
        one.asked(b"y", changes(NEW, 20, 20, "c"), 0.0)  # the same node over another connection
        assert [one.confirmations(seq) for seq in (19, 20, 21)] == [3, 2, 0]
        assert [one.confirmed_by(count) for count in (1, 2, 3, 4)] == [20, 20, 19, 0]

    def test_when_the_cluster_changes_who_has_been_silent_is_forgotten(self) -> None:
        one = upstream()
        one.asked(b"another", changes(NEW, 15, 15, node="gone"), 100.0)
        one.asked(b"client", changes(NEW, 15, 15), 100.1)
        one.listens("", 100.0 + ABSENT_SECONDS, publishes=True)
        assert set(one.known) == {PEER}

    def test_beyond_the_bound_the_one_not_heard_of_for_longest_is_forgotten(self) -> None:
        one = upstream()
        for number in range(SUBSCRIBERS_MAX):
            one.asked(b"%d" % number, changes(NEW, 20, 20, f"{0x1000 + number:x}"), float(number))
            one.read_failed(b"%d" % number)
        one.asked(b"0", changes(NEW, 20, 20, "1000"), 1000.0)
        one.asked(b"y", changes(NEW, 20, 20, "fff"), 1001.0)
        assert len(one.known) == SUBSCRIBERS_MAX
        assert "1001" not in one.known
        assert {"1000", "1002", "fff"} <= one.known.keys()


class KeyTests:
    """When keys change, what was proved with others counts no more."""

    @pytest.mark.parametrize(
        ("keys", "left"),
        [
            (frozenset({"north"}), {"north"}),
            (frozenset({"north", "south"}), {"north", "south"}),
            (None, {PEER}),
        ],
    )
    def test_after_a_reload_only_peers_that_may_connect_count(
        self, keys: frozenset[str] | None, left: set[str]
    ) -> None:
        one = upstream()
        for key in ("north", "south", ""):
            one.asked(key.encode(), changes(NEW, 20, 20, node=PEER), 100.0, key)
        one.listens("", 100.0, publishes=True, keys=keys)
        assert set(one.known) == left

    def test_a_subscriber_has_the_name_that_it_tells(self) -> None:
        one = upstream()
        one.asked(b"x", structs.replace(changes(NEW, 20, 20), name="img-2\n"), 7.0, "south")
        assert one.known == {"south": Subscriber(20, 7.0, PEER, "img-2\\n", "south")}


class ForgedAcknowledgementTests:
    """Nobody confirms for more than one node."""

    def asked(
        self,
        one: Subscribers,
        client: bytes,
        node: str,
        key: str,
        acked: int = 20,
        now: float = 0.0,
    ) -> None:
        """Somebody acknowledges."""
        one.asked(client, changes(NEW, 20, acked, node), now, key)
        one.read_failed(client)

    def test_a_key_counts_once_whatever_node_ids_it_makes_up(self) -> None:
        one = upstream()
        for number in range(5):
            self.asked(one, b"%d" % number, f"{number}", "forger")
        assert one.confirmations(20) == 1
        assert one.confirmed_by(2) == 0
        assert [each.node for each in one.known.values()] == ["4"]

    def test_a_machine_that_comes_back_empty_no_longer_counts_as_what_it_was(self) -> None:
        one = upstream()
        self.asked(one, b"x", "old", "north", acked=20)
        self.asked(one, b"y", "new", "north", acked=0)
        assert one.confirmations(20) == 0

    def test_a_node_counts_once_though_two_keys_claim_its_id(self) -> None:
        one = upstream()
        self.asked(one, b"x", "north", "key of north")
        self.asked(one, b"y", "north", "another key")
        assert one.confirmations(20) == 1

    def test_nobody_can_take_back_what_another_key_has_acknowledged(self) -> None:
        one = upstream()
        self.asked(one, b"x", "north", "key of north", acked=20)
        self.asked(one, b"y", "north", "another key", acked=0)
        assert one.confirmations(20) == 1

    def test_distinct_keys_and_nodes_count(self) -> None:
        one = upstream()
        for name in ("north", "south", "east"):
            self.asked(one, name.encode(), name, f"key of {name}")
        assert one.confirmed_by(3) == 20

    def test_without_keys_a_connection_counts_once(self) -> None:
        one = upstream()
        for number in range(5):
            self.asked(one, b"x", f"{number}", "")
        assert one.confirmations(20) == 1
        self.asked(one, b"y", "9", "")
        assert one.confirmations(20) == 2

    def test_what_is_known_of_connections_is_bounded(self) -> None:
        one = upstream()
        for number in range(SUBSCRIBERS_MAX + 10):
            self.asked(one, b"%d" % number, "9", "")
        assert len(one._node_of) == SUBSCRIBERS_MAX
        assert one.confirmations(20) == 1
