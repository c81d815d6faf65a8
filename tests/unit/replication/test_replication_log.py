"""What the log says about the peers: a line when something changes, none while all is well."""

from collections.abc import Iterator
from typing import cast

import pytest
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher

from imagepipe.core.replication.messages import Changes, Head, Malformed
from imagepipe.core.replication.replica import Replica
from imagepipe.core.rows.entries import Content, Entry, Row
from imagepipe.core.rows.epochs import Epoch
from imagepipe.core.rows.join import Pending
from imagepipe.core.rows.stamp import Version
from imagepipe.replication.replication_log import ReplicationLog
from imagepipe.replication.status import status_of


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What was logged."""
    found: list[str] = []

    def observe(event: LogEvent) -> None:
        found.append(f"{event['log_level'].name}: {formatEvent(event)}")

    globalLogPublisher.addObserver(cast(ILogObserver, observe))
    yield found
    globalLogPublisher.removeObserver(cast(ILogObserver, observe))


@pytest.fixture
def clock() -> Clock:
    return Clock()


def replica(pending: tuple[Pending, ...] = ()) -> Replica:
    """A node with one upstream, `north`."""
    node = Replica("a0", [Epoch("e0", 1)], 9, {}, pending, lambda: 0)
    node.add_link("north", 0.0)
    return node


HEAD = Head("b0", "f0", 0, "", 0)
ROW = Row(Entry("a.png", Version(1, "b0"), None, Content("0" * 64, 5), 3), None)


class JournalTests:
    def test_a_peer_is_written_about_when_it_is_first_heard_falls_silent_and_is_back(
        self, lines: list[str], clock: Clock
    ) -> None:
        node, replication_log = replica(), ReplicationLog(clock.seconds)
        replication_log.note(node)
        assert lines == []
        for _ in range(3):
            node.heard_head("north", HEAD, clock.seconds())
            replication_log.note(node)
            clock.advance(1)
        assert lines == ["info: replication: peer north is connected: node b0"]
        clock.advance(20)
        replication_log.note(node)
        replication_log.note(node)
        node.heard_head("north", HEAD, clock.seconds())
        replication_log.note(node)
        assert lines[1:] == ["warn: replication: peer north is silent", lines[0]]

    def test_a_peer_that_is_refused_is_written_about_once_with_the_reason(
        self, lines: list[str], clock: Clock
    ) -> None:
        node, replication_log = replica(), ReplicationLog(clock.seconds)
        for _ in range(3):
            node.heard_head("north", Head("a0", "f0", 0, "", 0), clock.seconds())
            replication_log.note(node)
        [line] = lines
        assert line.startswith("warn: replication: peer north cannot be pulled from: ")
        assert "copy" in line

    def test_bad_messages_are_counted_and_written_about_at_a_bounded_rate(
        self, lines: list[str], clock: Clock
    ) -> None:
        replication_log = ReplicationLog(clock.seconds)
        for _ in range(1000):
            replication_log.log_bad_message("someone", Malformed("it is empty"))
            clock.advance(0.015)
        assert replication_log.bad_messages == 1000
        assert (
            lines[0] == "warn: replication: 1 messages dropped, the last from someone: it is empty"
        )
        assert len(lines) == 2

    def test_refused_changes_are_named_at_a_bounded_rate(
        self, lines: list[str], clock: Clock
    ) -> None:
        replication_log = ReplicationLog(clock.seconds)
        for number in range(1000):
            replication_log.log_refused_rows(
                "peer north", [f"'a{number}'", f"'b{number}': path: is bad"]
            )
            clock.advance(0.015)
        assert lines == [
            ("warn: replication: 2 changes refused, the last from peer north: 'b0': path: is bad"),
            (
                "warn: replication: 1334 changes refused, the last from peer north: 'b667':"
                " path: is bad"
            ),
        ]

    def test_a_clock_far_off_is_written_about_once(self, lines: list[str], clock: Clock) -> None:
        replication_log = ReplicationLog(clock.seconds)
        for ahead in (-5.0, 3600.0, 3601.0, 0.0, -90.0):
            replication_log.note_clock("north", ahead)
        assert [line.split(":")[0] for line in lines] == ["warn", "warn"]
        assert "3600 s ahead of" in lines[0]
        assert "90 s behind" in lines[1]

    def test_a_long_lag_that_ends_is_written_about(self, lines: list[str], clock: Clock) -> None:
        node, replication_log = replica(), ReplicationLog(clock.seconds)
        for behind, seconds in ((0.0, 1), (None, 4), (200.0, 200), (None, 230)):
            clock.rightNow = seconds
            node.links["north"].behind_since = behind
            replication_log.note(node)
        assert [line for line in lines if "caught up" in line] == [
            "info: replication: caught up with peer north after 30 s"
        ]

    def test_pending_rows_are_written_about_when_they_come_and_when_they_are_gone(
        self, lines: list[str], clock: Clock
    ) -> None:
        node, replication_log = replica((Pending("b0", ROW),)), ReplicationLog(clock.seconds)
        replication_log.note(node)
        clock.advance(7)
        replication_log.note(node)
        assert replication_log.pending_seconds() == 7
        node.pending.settle([("b0", "a.png")])
        replication_log.note(node)
        assert replication_log.pending_seconds() == 0
        assert [line.split(":")[0] for line in lines] == ["warn", "info"]

    def test_a_peer_that_is_never_heard_of_is_written_about_once(
        self, lines: list[str], clock: Clock
    ) -> None:
        node, replication_log = replica(), ReplicationLog(clock.seconds)
        for _ in range(60):
            replication_log.note(node)
            clock.advance(1)
        assert lines == ["warn: replication: peer north has not been heard from yet"]


class StatusTests:
    def test_it_says_where_each_peer_stands(self, clock: Clock) -> None:
        node, replication_log = replica((Pending("b0", ROW),)), ReplicationLog(clock.seconds)
        node.heard_head("north", Head("b0", "f0", 40, "", 0), 0.0)
        replication_log.note_clock("north", 2.5)
        status = status_of(node, replication_log, conflicts=3, now=2.0)
        assert (status.node, status.seq, status.unreplicated, status.pending, status.conflicts) == (
            "a0",
            9,
            9,
            1,
            3,
        )
        [north] = status.upstreams
        assert (
            north.name,
            north.node,
            north.connected,
            north.rows_behind,
            north.seconds_behind,
        ) == ("north", "b0", True, 40, 2.0)
        assert (north.heard_seconds, north.clock_ahead_seconds, north.refused) == (2.0, 2.5, None)

    def test_what_the_best_subscriber_has_is_replicated(self, clock: Clock) -> None:
        node = replica()
        for who, seq in (("b0", 7), ("c0", 4)):
            node.asked(who.encode(), Changes(1, who, "e0", seq, seq), 1.0)
        status = status_of(node, ReplicationLog(clock.seconds), conflicts=0, now=2.0)
        assert status.unreplicated == 2
        assert [
            (one.node, one.acked, one.behind, one.heard_seconds) for one in status.subscribers
        ] == [("b0", 7, 2, 1.0), ("c0", 4, 5, 1.0)]

    def test_a_peer_of_which_too_many_changes_wait_is_named_once(
        self, lines: list[str], clock: Clock
    ) -> None:
        node, replication_log = replica(), ReplicationLog(clock.seconds)
        for full in (True, True, False, False):
            node.links["north"].is_full = full
            replication_log.note(node)
        assert [line.split(":")[0] for line in lines] == ["warn", "info"]
        assert all("peer north" in line for line in lines)

    def test_content_that_is_not_fetched_is_logged_at_a_bounded_rate_for_each_peer(
        self, lines: list[str], clock: Clock
    ) -> None:
        replication_log = ReplicationLog(clock.seconds)
        for number in range(100):
            replication_log.log_rejected("north", f"{number}.jpg\n", "too large")
        replication_log.log_rejected("south", "a.jpg", "too large")
        assert lines == [
            "warn: replication: not fetching '0.jpg\\n' from peer north: too large",
            "warn: replication: not fetching 'a.jpg' from peer south: too large",
        ]
