"""Calls that wait for confirmations, on a clock that the tests move."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from imagepipe.core.replication.messages import Changes
from imagepipe.core.replication.replica import Replica
from imagepipe.core.rows.epochs import Epoch
from imagepipe.errors import TooFewPeers
from imagepipe.replication.confirmations import Confirmations

EPOCH = "e0"


def replica() -> Replica:
    """A node that has made nine changes."""
    return Replica("a0", [Epoch(EPOCH, 1)], 9, {}, [], lambda: 0)


def acknowledge(node: Replica, who: str, seq: int) -> None:
    """A subscriber has everything up to `seq`."""
    node.asked(who.encode(), Changes(1, who, EPOCH, seq, seq), 0.0)


def outcome(deferred: "Deferred[None]") -> list[object]:
    """Empty while it waits; then its result, or the text of its error."""
    found: list[object] = []
    deferred.addCallbacks(found.append, lambda failure: found.append(failure.getErrorMessage()))
    return found


class ConfirmationsTests:
    """min_acks and ack_timeout."""

    def wait(self, confirmations: Confirmations, seq: int, node: Replica | None) -> list[object]:
        return outcome(Deferred.fromCoroutine(confirmations.wait(seq, node)))

    def test_nobody_waits_where_nobody_is_asked_for(self) -> None:
        assert self.wait(Confirmations(Clock(), 0, 5), 9, replica()) == [None]
        assert self.wait(Confirmations(Clock(), 0, 5), 9, None) == [None]

    def test_a_change_is_confirmed_by_as_many_different_nodes_as_it_takes(self) -> None:
        clock, node = Clock(), replica()
        confirmations = Confirmations(clock, 2, 5)
        answer = self.wait(confirmations, 9, node)
        for who, seq in (("b0", 9), ("b0", 9), ("c0", 8)):
            acknowledge(node, who, seq)
            confirmations.release(node)
            assert answer == []
        acknowledge(node, "c0", 9)
        confirmations.release(node)
        assert answer == [None]
        assert clock.getDelayedCalls() == []

    def test_a_waiting_call_continues_if_fewer_are_required(self) -> None:
        clock, node = Clock(), replica()
        acknowledge(node, "b0", 8)
        confirmations = Confirmations(clock, 2, 5)
        eighth, ninth = self.wait(confirmations, 8, node), self.wait(confirmations, 9, node)
        confirmations.require(1, 5)
        confirmations.release(node)
        assert (eighth, ninth) == ([None], [])
        confirmations.require(0, 5)
        confirmations.release(node)
        assert ninth == [None]
        assert clock.getDelayedCalls() == []

    def test_a_waiting_call_keeps_waiting_if_more_are_required(self) -> None:
        clock, node = Clock(), replica()
        confirmations = Confirmations(clock, 1, 5)
        answer = self.wait(confirmations, 9, node)
        confirmations.require(2, 60)
        acknowledge(node, "b0", 9)
        confirmations.release(node)
        assert answer == []
        clock.advance(5)
        assert answer == [
            "stored and durable here, but confirmed by only 1 of 2 peers (min_acks) within 5 s"
        ]

    def test_what_was_confirmed_before_is_answered_at_once(self) -> None:
        node = replica()
        acknowledge(node, "b0", 9)
        assert self.wait(Confirmations(Clock(), 1, 5), 7, node) == [None]

    def test_too_few_peers_in_time_is_reported_with_numbers(self) -> None:
        clock, node = Clock(), replica()
        acknowledge(node, "b0", 9)
        confirmations = Confirmations(clock, 2, 5)
        answer = self.wait(confirmations, 9, node)
        clock.advance(4.9)
        assert answer == []
        clock.advance(0.2)
        assert answer == [
            "stored and durable here, but confirmed by only 1 of 2 peers (min_acks) within 5 s"
        ]
        confirmations.release(node)

    def test_a_stop_lets_nobody_wait(self) -> None:
        clock, node = Clock(), replica()
        confirmations = Confirmations(clock, 1, 5)
        answer = self.wait(confirmations, 9, node)
        confirmations.abandon()
        assert "the server is stopping" in str(answer)
        assert "the server is stopping" in str(self.wait(confirmations, 9, None))
        assert clock.getDelayedCalls() == []

    def test_the_fault_is_1003(self) -> None:
        assert TooFewPeers("x").fault_string == "[1003] x"
