"""Calls that wait for what the peers have, on a clock that the tests move."""

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from imagepipe.core.replication.actions import SendRequest
from imagepipe.core.replication.messages import Batch, Changes, Head
from imagepipe.core.replication.replica import Replica
from imagepipe.core.rows.epochs import Epoch
from imagepipe.core.rows.join import JoinResult
from imagepipe.replication.catch_up import CatchUp

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


class CatchUpTests:
    """One round of asking for all who wait, one a second, and nobody waits longer than two."""

    @pytest.fixture
    def clock(self) -> Clock:
        clock = Clock()
        clock.advance(1000)
        return clock

    def node_with_peer(self, clock: Clock) -> Replica:
        """A node that has pulled all that its peer has."""
        node = replica()
        node.add_link("peer", clock.seconds())
        node.heard_head("peer", Head("b0", "f0", 0, "", 0), clock.seconds())
        self.answer(node, clock)
        [pull] = node.links["peer"].pulls
        node.examined(pull.id, (), clock.seconds())
        node.joined(pull.id, JoinResult(9, (), ()), clock.seconds())
        self.answer(node, clock)
        clock.advance(0.1)
        return node

    def answer(self, node: Replica, clock: Clock) -> int:
        """The peer answers whatever it was asked: nothing is new. How often it was asked."""
        count = 0
        for action in node.take_actions():
            if isinstance(action, SendRequest) and isinstance(action.message, Changes):
                node.answered(
                    "peer", Batch(action.message.rid, "b0", "f0", 0, 0, 0, ()), clock.seconds()
                )
                count += 1
        for action in node.take_actions():
            assert not isinstance(action, SendRequest)
        return count

    def test_one_question_answers_everyone_who_waits(self, clock: Clock) -> None:
        node = self.node_with_peer(clock)
        catch_up = CatchUp(clock, clock.seconds)
        answers = [outcome(catch_up.wait()) for _ in range(5)]
        catch_up.advance(node)
        assert answers == [[]] * 5
        assert self.answer(node, clock) == 1
        catch_up.advance(node)
        assert answers == [[None]] * 5
        assert clock.getDelayedCalls() == []

    def test_a_call_within_a_second_waits_for_announced_changes(self, clock: Clock) -> None:
        """And a moment for a doorbell that is on its way; nobody is asked."""
        node = self.node_with_peer(clock)
        catch_up = CatchUp(clock, clock.seconds)
        first = outcome(catch_up.wait())
        catch_up.advance(node)
        self.answer(node, clock)
        second = outcome(catch_up.wait())
        catch_up.advance(node)
        assert (first, second) == ([None], [])
        clock.advance(catch_up.due_at - clock.seconds())
        catch_up.advance(node)
        assert second == [None]
        assert self.answer(node, clock) == 0

    def test_where_a_peer_has_rung_he_waits_until_all_is_here_or_for_the_next_round(
        self, clock: Clock
    ) -> None:
        node = self.node_with_peer(clock)
        catch_up = CatchUp(clock, clock.seconds)
        outcome(catch_up.wait())
        catch_up.advance(node)
        self.answer(node, clock)
        catch_up.advance(node)
        node.heard_head("peer", Head("b0", "f0", 7, "", 0), clock.seconds())
        waiting = outcome(catch_up.wait())
        clock.advance(0.5)
        catch_up.advance(node)
        assert waiting == []
        clock.advance(1.1)
        catch_up.advance(node)
        assert waiting == []
        clock.advance(0.5)
        assert waiting == [None]

    def test_nobody_waits_for_a_peer_longer_than_two_seconds(self, clock: Clock) -> None:
        node = self.node_with_peer(clock)
        catch_up = CatchUp(clock, clock.seconds)
        first = outcome(catch_up.wait())
        catch_up.advance(node)
        for _ in range(19):
            clock.advance(0.1)
            catch_up.advance(node)
        assert first == []
        clock.advance(0.2)
        assert first == [None]

    def test_a_peer_that_cannot_be_reached_is_not_waited_for(self, clock: Clock) -> None:
        node = self.node_with_peer(clock)
        clock.advance(60)
        catch_up = CatchUp(clock, clock.seconds)
        answer = outcome(catch_up.wait())
        catch_up.advance(node)
        assert answer == [None]

    def test_a_stop_lets_nobody_wait(self, clock: Clock) -> None:
        node = self.node_with_peer(clock)
        catch_up = CatchUp(clock, clock.seconds)
        asking = outcome(catch_up.wait())
        catch_up.advance(node)
        waiting = outcome(catch_up.wait())
        catch_up.abandon()
        catch_up.abandon()
        assert (asking, waiting) == ([None], [None])
        assert clock.getDelayedCalls() == []
