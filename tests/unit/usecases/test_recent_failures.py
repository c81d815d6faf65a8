"""What could not be rendered lately is not tried again for a while."""

import pytest
from twisted.internet.task import Clock

from imagepipe.errors import DiskFull, EngineUnusable, NotStored
from imagepipe.usecases.recent_failures import (
    FAILED_SECONDS,
    FAILURES_MAX,
    RecentFailures,
    Unrenderable,
    attribute_failure,
)


def noted(
    failures: RecentFailures, about: str, why: str = "rendering took longer than 60 s (timeout)"
) -> None:
    """Note that something failed."""
    failures.note(Unrenderable(NotStored(why), about))


class RecentFailuresTests:
    def test_a_failure_holds_for_a_while_and_for_what_it_is_about(self) -> None:
        clock = Clock()
        failures = RecentFailures(clock.seconds)
        noted(failures, "a")
        failures.check(["b", None])
        clock.advance(FAILED_SECONDS - 1)
        with pytest.raises(NotStored, match="longer than 60 s") as raised:
            failures.check(["b", "a"])
        assert (type(raised.value), raised.value.http_status) == (NotStored, 422)
        clock.advance(1)
        failures.check(["a"])

    def test_memory_is_bounded_and_the_oldest_goes_first(self) -> None:
        failures = RecentFailures(Clock().seconds)
        for number in range(FAILURES_MAX + 1):
            noted(failures, str(number))
        failures.check(["0"])
        with pytest.raises(NotStored):
            failures.check(["1"])


class BlameTests:
    def test_what_an_engine_refuses_is_held_against_the_image(self) -> None:
        with pytest.raises(Unrenderable) as raised, attribute_failure("a"):
            raise NotStored("it is broken")
        assert (raised.value.about, str(raised.value)) == ("a", "it is broken")

    @pytest.mark.parametrize(
        "error", [DiskFull("the disk is full"), EngineUnusable("it cannot be started")]
    )
    def test_what_passes_by_itself_is_not(self, error: NotStored) -> None:
        with pytest.raises(NotStored) as raised, attribute_failure("a"):
            raise error
        assert raised.value is error
