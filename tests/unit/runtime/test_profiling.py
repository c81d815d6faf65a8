"""Where the time of a call goes."""

import pytest

from imagepipe.runtime import profiling
from imagepipe.runtime.profiling import StageTimer, measured


class StagesTests:
    """What is counted as what."""

    def test_nothing_is_counted_where_no_call_is_measured(self) -> None:
        with measured("hash"):
            assert not profiling.is_profiled()
        profiling.add({"decode": 1.0})

    def test_what_is_done_on_the_thread_counts_for_the_call(self) -> None:
        call = StageTimer()
        with call.on_this_thread():
            assert profiling.is_profiled()
            with measured("hash"):
                pass
            profiling.add({"decode": 1.0})
        with measured("flush"):
            pass
        assert call.seconds.keys() == {"hash", "decode"}

    def test_a_stage_within_another_is_taken_out_of_it(self) -> None:
        call = StageTimer()
        with call.on_this_thread(), measured("render"):
            profiling.add({"decode": 5.0, "encode": 2.0})
        assert call.seconds["render"] == pytest.approx(-7.0, abs=1.0)
        assert sum(call.seconds.values()) == pytest.approx(0.0, abs=1.0)

    def test_it_is_counted_also_when_it_fails(self) -> None:
        call = StageTimer()
        with pytest.raises(ZeroDivisionError), call.on_this_thread(), measured("render"):
            raise ZeroDivisionError
        assert call.seconds.keys() == {"render"}
        assert not profiling.is_profiled()

    def test_the_text_has_them_in_order_and_what_is_left(self) -> None:
        call = StageTimer()
        call.add("decode", 0.03)
        call.add("receive", 0.001)
        call.add("decode", 0.01)
        assert call.text(0.05) == "receive 1.0, decode 40.0, else 9.0"
