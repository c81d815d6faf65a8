"""Actions are values: two that want the same are equal, so that an exchange can be written down and
compared.
"""

from dataclasses import FrozenInstanceError

import pytest

from imagepipe.core.replication.actions import (
    DiscardTransfer,
    Notify,
    Redirect,
    SendReply,
    SendRequest,
)
from imagepipe.core.replication.messages import Head, Hello, Refused


class ActionTests:
    """What replication wants done."""

    def test_actions_that_want_the_same_are_equal(self) -> None:
        assert SendRequest("a", Hello(1, "b")) == SendRequest("a", Hello(1, "b"))
        assert SendRequest("a", Hello(1, "b")) != SendRequest("a", Hello(2, "b"))

    def test_actions_of_different_kinds_are_not(self) -> None:
        assert (
            len(
                {
                    SendReply(b"x", Refused(1, "")),
                    Notify(Head("a", "b", 1, "", 2)),
                    Redirect("a", "7777"),
                    DiscardTransfer(1),
                }
            )
            == 4
        )

    def test_an_action_is_not_changed_once_it_was_given_out(self) -> None:
        with pytest.raises(FrozenInstanceError):
            DiscardTransfer(1).transfer = 2  # type: ignore[misc]
