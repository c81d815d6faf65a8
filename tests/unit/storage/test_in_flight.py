"""Closing waits for what is under way, and takes nothing more."""

import threading

import pytest

from imagepipe.errors import Overloaded
from imagepipe.storage.in_flight import InFlight


class InFlightTests:
    def test_the_end_waits_for_the_last_and_refuses_the_next(self) -> None:
        calls, order, begun = InFlight(), list[str](), threading.Event()

        def end() -> None:
            begun.set()
            calls.end()
            order.append("ended")

        thread = threading.Thread(target=end)
        with calls.one():
            thread.start()
            begun.wait(60)
            order.append("done")
        thread.join(60)
        assert order == ["done", "ended"]
        with pytest.raises(Overloaded), calls.one():
            pass

    def test_where_nothing_is_under_way_it_ends_at_once(self) -> None:
        InFlight().end()
