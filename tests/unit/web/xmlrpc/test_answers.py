"""Every value has an answer that a client can read."""

from typing import Any
from xmlrpc.client import MAXINT, MININT, Fault, loads

import pytest

from imagepipe.web.xmlrpc.answers import encode_answer


class AnswerTests:
    @pytest.mark.parametrize(
        "value",
        [
            0,
            MAXINT,
            MAXINT + 1,
            MININT,
            MININT - 1,
            2**63 - 1,
            True,
            None,
            "a<b",
            [1, {"size": 3 << 30}],
        ],
    )
    def test_a_client_reads_what_was_returned(self, value: Any) -> None:
        [read], method = loads(encode_answer(value))
        assert (read, type(read), method) == (value, type(value), None)

    def test_only_what_needs_it_is_an_i8(self) -> None:
        assert b"<int>2147483647</int>" in encode_answer(MAXINT)
        assert b"<i8>2147483648</i8>" in encode_answer(MAXINT + 1)

    def test_a_fault_is_raised(self) -> None:
        with pytest.raises(Fault, match="no image"):
            loads(encode_answer(Fault(1000, "no image")))
