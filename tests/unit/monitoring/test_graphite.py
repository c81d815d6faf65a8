"""Graphite's lines as values; and what a real server socket receives, on a clock that the tests
move.
"""

import contextlib
import socket
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.task import Clock

from imagepipe.core.rendering.formats import JPEG, WEBP
from imagepipe.monitoring.counters import Counters
from imagepipe.monitoring.graphite import (
    LOOK_SECONDS,
    REPORT_SECONDS,
    STOP_SECONDS_MAX,
    Graphite,
    event_counts,
    increments,
    replication_values,
    report,
)
from imagepipe.replication.status import ReplicationStatus
from tests.support.reactor_thread import PATIENCE_SECONDS, Inbox, logged, on_reactor, reactor, until
from tests.support.sample_status import NOTHING, REPLICATION, TOTALS

EPOCH = 1_767_225_600


class LinesTests:
    """What there is to tell, in which words."""

    def test_the_names_are_those_of_image_server_and_ours(self) -> None:
        assert event_counts(TOTALS) == {
            "image_request": 23,
            "image_request.jpg": 20,
            "image_request.webp": 3,
            "image_request_fail": 4,
            "original_downloaded": 6,
            "original_unavailable": 1,
            "store": 100,
            "delete": 11,
            "move": 12,
        }

    def test_of_replication_the_upstream_that_is_furthest_ahead_counts(self) -> None:
        assert replication_values(REPLICATION) == {
            "replication.rows_behind": 40,
            "replication.unreplicated": 7,
            "replication.pending": 3,
            "replication.conflicts": 5,
        }

    def test_what_does_not_run_has_no_state(self) -> None:
        assert replication_values(None) == {}

    def test_news_are_what_has_happened_since(self) -> None:
        assert increments(
            {"store": 3, "move": 1}, {"store": 5, "move": 1, "delete": 0, "image_request.jpg": 2}
        ) == {"store": 2, "image_request.jpg": 2}
        assert increments({}, event_counts(NOTHING)) == {}

    def test_a_line_is_a_name_a_number_and_a_time(self) -> None:
        assert report(
            "stats.image_server",
            {"store": 2},
            {"store": 5, "move": 1},
            {"replication.pending": 0},
            EPOCH + 0.9,
        ).splitlines() == [
            f"stats.image_server.store 2 {EPOCH}",
            f"stats.image_server.totals.store 5 {EPOCH}",
            f"stats.image_server.replication.pending 0 {EPOCH}",
        ]


class Server:
    """A Graphite on a port of loopback, which listens or does not, and reads when the test
    says so.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.settimeout(PATIENCE_SECONDS)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.bind(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self.port: int = self._socket.getsockname()[1]

    def listen(self) -> None:
        """Let Graphite be up."""
        self._socket.listen()

    def accept(self) -> "Connection":
        """The next connection."""
        connection, _ = self._socket.accept()
        connection.settimeout(PATIENCE_SECONDS)
        self._connections.append(connection)
        return Connection(connection)

    def close(self) -> None:
        """All of it."""
        for each in (*self._connections, self._socket):
            each.close()


class Connection:
    """A connection from imagepipe, at the server."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._file = connection.makefile("rb")

    def line(self) -> tuple[str, int, int]:
        """The next line: name, number, seconds since the test began."""
        name, number, time = self._file.readline().decode().split()
        return name, int(number), int(time) - EPOCH

    def lines(self, count: int) -> dict[str, int]:
        """The next so many, without their times."""
        return dict(self.line()[:2] for _ in range(count))

    def rest(self) -> list[str]:
        """All up to the end of the connection."""
        return self._file.read().decode().splitlines()

    def break_off(self) -> None:
        """End the connection with a reset."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._file.close()
        self._socket.close()


class Node:
    """A node that tells Graphite: its counters, its clock, and how many reports it has made."""

    def __init__(self, port: int, prefix: str) -> None:
        self.clock = Clock()
        self.counters = Counters(lambda: 0.0)
        self.replication: ReplicationStatus | None = None
        self.reports = 0
        self.stopped = Inbox()
        self._started = False
        self._graphite = on_reactor(
            lambda: Graphite(
                self.clock,
                HostnameEndpoint(reactor, "localhost", port),
                prefix,
                totals=self.counters.totals,
                replication=lambda: self.replication,
                wall=self._wall,
            )
        )

    def start(self) -> None:
        """Start to tell."""
        self._started = True
        on_reactor(self._graphite.start)

    def advance(self, seconds: float) -> None:
        """Let time go by, a bit at a time."""
        for _ in range(round(seconds * 2)):
            on_reactor(self.clock.advance, 0.5)

    def stop(self) -> None:
        """Begin to stop; `stopped` hears of the end."""
        self._started = False
        on_reactor(lambda: self._graphite.stop().addBoth(self.stopped) and None)

    def close(self) -> None:
        """Stop, whatever the test has done."""
        if self._started:
            self.stop()
            self.advance(STOP_SECONDS_MAX)
            assert self.stopped.get() is None

    def _wall(self) -> float:
        self.reports += 1
        return EPOCH + self.clock.seconds()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@contextlib.contextmanager
def running(server: Server, prefix: str = "p") -> Iterator[Node]:
    """A node that has begun to tell."""
    node = Node(server.port, prefix)
    node.start()
    try:
        yield node
    finally:
        node.close()


@contextlib.contextmanager
def connected(server: Server, prefix: str = "p") -> Iterator[tuple[Node, Connection]]:
    """A node that has a connection, and the other end of it."""
    server.listen()
    with logged() as log, running(server, prefix) as node:
        connection = server.accept()
        until(lambda: bool(said(log, "connected")))
        yield node, connection


def said(log: list[Any], words: str) -> list[str]:
    """What was logged of Graphite that has these words in it."""
    return [
        event["log_format"]
        for event in list(log)
        if words in event.get("log_format", "")
        and event["log_namespace"] == "imagepipe.monitoring.graphite"
    ]


class RhythmTests:
    """When it is told."""

    def test_the_first_event_is_sent_within_a_second(self, server: Server) -> None:
        with connected(server) as (node, graphite):
            node.advance(7.5)
            node.counters.stored(2)
            node.advance(LOOK_SECONDS)
            assert graphite.line() == ("p.store", 2, 8)
            assert graphite.line() == ("p.totals.store", 2, 8)

    def test_further_events_are_sent_every_ten_seconds(self, server: Server) -> None:
        with connected(server) as (node, graphite):
            for _ in range(35):
                node.counters.deleted(1)
                node.advance(1)
            told = [(graphite.line(), graphite.line()) for _ in range(4)]
            assert told == [
                (("p.delete", news, at), ("p.totals.delete", total, at))
                for news, total, at in [(1, 1, 1), (10, 11, 11), (10, 21, 21), (10, 31, 31)]
            ]

    def test_after_a_rest_the_next_event_is_the_first_again(self, server: Server) -> None:
        with connected(server) as (node, graphite):
            for at in (1, 31, 61):
                node.counters.moved(3)
                node.advance(1)
                assert graphite.line() == ("p.move", 3, at)
                assert graphite.line()[0] == "p.totals.move"
                node.advance(29)

    def test_an_event_is_sent_with_its_format(self, server: Server) -> None:
        with connected(server) as (node, graphite):
            for format in (JPEG, JPEG, WEBP):
                node.counters.image_request(format)
            node.advance(1)
            assert graphite.lines(6) == {
                "p.image_request": 3,
                "p.image_request.jpg": 2,
                "p.image_request.webp": 1,
                "p.totals.image_request": 3,
                "p.totals.image_request.jpg": 2,
                "p.totals.image_request.webp": 1,
            }

    def test_the_state_of_replication_is_sent_every_ten_seconds_and_delays_no_event(
        self, server: Server
    ) -> None:
        with connected(server) as (node, graphite):
            node.replication = REPLICATION
            node.advance(1)
            assert [graphite.line() for _ in range(4)] == [
                ("p.replication.rows_behind", 40, 1),
                ("p.replication.unreplicated", 7, 1),
                ("p.replication.pending", 3, 1),
                ("p.replication.conflicts", 5, 1),
            ]
            node.advance(REPORT_SECONDS)
            assert {graphite.line()[2] for _ in range(4)} == {11}
            node.counters.stored(1)
            node.advance(1)
            assert graphite.line() == ("p.store", 1, 12)


class DownTests:
    """While Graphite is down, or slow."""

    def test_events_add_up_until_it_is_there(self, server: Server) -> None:
        with logged() as log, running(server) as node:
            for _ in range(5):
                node.counters.stored(1)
                node.advance(20)
            until(lambda: bool(said(log, "cannot connect")))
            server.listen()
            connection = self._reconnected(node, server, log)
            assert connection.lines(2) == {"p.store": 5, "p.totals.store": 5}

    def test_a_broken_connection_is_replaced_and_nothing_is_sent_twice(
        self, server: Server
    ) -> None:
        with connected(server) as (node, graphite), logged() as log:
            node.counters.stored(4)
            node.advance(1)
            assert graphite.lines(2) == {"p.store": 4, "p.totals.store": 4}
            graphite.break_off()
            until(lambda: bool(said(log, "lost")))
            node.counters.stored(1)
            assert self._reconnected(node, server, log).lines(2) == {
                "p.store": 1,
                "p.totals.store": 5,
            }

    def test_one_that_does_not_read_gets_no_more_until_it_does(self, server: Server) -> None:
        with connected(server, "p" * 300_000) as (node, graphite):
            stored = self._fill(node)
            made = node.reports
            for _ in range(20):
                node.counters.stored(1)
                node.advance(REPORT_SECONDS)
            assert node.reports == made
            sums: Counter[str] = Counter()
            for _ in range(2 * made):
                name, number, _ = graphite.line()
                sums[name.strip("p")] += number
            node.advance(REPORT_SECONDS)
            assert graphite.line()[1] + sums[".store"] == stored + 20
            assert graphite.line()[1] == stored + 20

    def test_a_truncated_report_is_sent_again(self, server: Server) -> None:
        with connected(server, "p" * 300_000) as (node, graphite), logged() as log:
            stored = self._fill(node)
            made = node.reports
            graphite.break_off()
            until(lambda: bool(said(log, "lost")))
            connection = self._reconnected(node, server, log)
            assert connection.line()[1] == stored - (made - 1)
            assert connection.line()[1] == stored

    def test_its_absence_is_logged_once(self, server: Server) -> None:
        with logged() as log, running(server) as node:
            until(lambda: bool(said(log, "cannot connect")))
            for _ in range(10):
                node.advance(60)
            assert len(said(log, "Graphite")) == 1

    def _reconnected(self, node: Node, server: Server, log: list[Any]) -> Connection:
        """The connection that is made as soon as it is tried again."""
        before = len(said(log, "connected"))

        def tried() -> bool:
            node.clock.advance(0.5)
            return len(said(log, "connected")) > before

        until(tried)
        connection = server.accept()
        node.advance(REPORT_SECONDS)
        return connection

    def _fill(self, node: Node) -> int:
        """Store image after image until there is no report any more; how many were stored."""
        stored = still = 0
        while still < 3:
            made = node.reports
            node.counters.stored(1)
            stored += 1
            node.advance(REPORT_SECONDS)
            still = still + 1 if node.reports == made else 0
        return stored


class StopTests:
    """The last lines."""

    def test_unsent_events_are_sent_at_the_stop(self, server: Server) -> None:
        with connected(server) as (node, graphite):
            node.counters.stored(1)
            node.advance(1)
            node.counters.stored(8)
            node.stop()
            assert node.stopped.get() is None
            assert [line.split()[:2] for line in graphite.rest()][2:] == [
                ["p.store", "8"],
                ["p.totals.store", "9"],
            ]

    def test_nothing_to_send_is_no_line(self, server: Server) -> None:
        with connected(server) as (node, graphite):
            node.advance(100)
            node.stop()
            assert node.stopped.get() is None
            assert graphite.rest() == []

    def test_one_that_does_not_read_is_waited_for_no_longer_than_it_takes(
        self, server: Server
    ) -> None:
        with connected(server, "p" * 20_000_000) as (node, _):
            node.counters.stored(1)
            node.stop()
            node.advance(STOP_SECONDS_MAX - 0.5)
            assert len(node.stopped) == 0
            node.advance(0.5)
            assert node.stopped.get() is None
            assert node.clock.getDelayedCalls() == []

    def test_one_that_is_down_is_not_waited_for(self, server: Server) -> None:
        with logged() as log, running(server) as node:
            until(lambda: bool(said(log, "cannot connect")))
            node.stop()
            assert node.stopped.get() is None
            assert node.clock.getDelayedCalls() == []

    def test_a_stop_before_the_start_is_one(self, server: Server) -> None:
        node = Node(server.port, "p")
        node.stop()
        assert node.stopped.get() is None
