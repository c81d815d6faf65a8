"""Events: every listener is called, and one that fails harms nobody else."""

from typing import cast

from twisted.logger import ILogObserver, LogEvent, globalLogPublisher

from imagepipe.runtime.events import Event


class EventTests:
    def test_listeners_are_called_in_the_order_they_were_connected(self) -> None:
        heard: list[tuple[str, int]] = []
        event: Event[[int]] = Event("thing.happened")
        event.connect(lambda number: heard.append(("first", number)))
        event.connect(lambda number: heard.append(("second", number)))
        event.fire(1)
        event.fire(2)
        assert heard == [("first", 1), ("second", 1), ("first", 2), ("second", 2)]

    def test_firing_without_listeners_does_nothing(self) -> None:
        event: Event[[]] = Event("thing.happened")
        event.fire()

    def test_a_listener_that_raises_is_logged_and_the_others_are_called(self) -> None:
        logged: list[LogEvent] = []
        heard: list[int] = []

        def fail(_: int) -> None:
            raise RuntimeError("boom")

        event: Event[[int]] = Event("thing.happened")
        event.connect(fail)
        event.connect(heard.append)
        observer = cast(ILogObserver, logged.append)
        globalLogPublisher.addObserver(observer)
        try:
            event.fire(1)
        finally:
            globalLogPublisher.removeObserver(observer)
        assert heard == [1]
        assert [one["event"] for one in logged] == ["thing.happened"]
        assert "boom" in str(logged[0]["log_failure"].value)
