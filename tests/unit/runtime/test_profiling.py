"""Where the time of a call goes."""

import pytest

from imagepipe.runtime import profiling
from imagepipe.runtime.profiling import Stages, spent


class StagesTests:
    """What is counted as what."""

    def test_nothing_is_counted_where_no_call_is_measured(self) -> None:
        with spent("hash"):
            assert not profiling.are_measured()
        profiling.add({"decode": 1.0})

    def test_what_is_done_on_the_thread_counts_for_the_call(self) -> None:
        call = Stages()
        with call.on_this_thread():
            assert profiling.are_measured()
            with spent("hash"):
                pass
            profiling.add({"decode": 1.0})
        with spent("flush"):
            pass
        assert call.seconds.keys() == {"hash", "decode"}

    def test_a_stage_within_another_is_taken_out_of_it(self) -> None:
        call = Stages()
        with call.on_this_thread(), spent("render"):
            profiling.add({"decode": 5.0, "encode": 2.0})
        assert call.seconds["render"] == pytest.approx(-7.0, abs=1.0)
        assert sum(call.seconds.values()) == pytest.approx(0.0, abs=1.0)

    def test_it_is_counted_also_when_it_fails(self) -> None:
        call = Stages()
        with pytest.raises(ZeroDivisionError), call.on_this_thread(), spent("render"):
            raise ZeroDivisionError
        assert call.seconds.keys() == {"render"}
        assert not profiling.are_measured()

    def test_the_text_has_them_in_order_and_what_is_left(self) -> None:
        call = Stages()
        call.add("decode", 0.03)
        call.add("receive", 0.001)
        call.add("decode", 0.01)
        assert call.text(0.05) == "receive 1.0, decode 40.0, else 9.0"
