"""One argument, in every type in which clients send it."""

import datetime as dt
from decimal import Decimal

import pytest

from imagepipe.core.requests.argument_types import (
    LongText,
    is_given,
    optional_text,
    parse_flag,
    parse_limit,
    parse_text,
    parse_truth,
    whole_number,
)
from imagepipe.errors import BadRequest

NOTHING: list[object] = [None, "", "0", 0, 0.0, -0.0, False, [], {}, b""]
"""What old clients send for an argument that they leave out."""


class GivenTests:
    @pytest.mark.parametrize("value", NOTHING)
    def test_nothing_is_not_given(self, value: object) -> None:
        assert not is_given(value)

    @pytest.mark.parametrize(
        "value",
        [
            "a",
            "00",
            " ",
            1,
            -1,
            0.5,
            float("nan"),
            True,
            [0],
            {"": 0},
            b"0",
            dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        ],
    )
    def test_anything_else_is(self, value: object) -> None:
        assert is_given(value)


class TextTests:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ("a", "a"),
            ("", ""),
            (b"a", "a"),
            ("\u20ac".encode(), "\u20ac"),
            ("a" * 16_384, "a" * 16_384),
        ],
    )
    def test_a_text_is_a_string_or_bytes_in_utf_8(self, value: object, text: str) -> None:
        assert parse_text(value, "path") == text

    @pytest.mark.parametrize(
        ("value", "why"),
        [
            (None, "not a string but nil"),
            (5, "but a number"),
            (5.0, "but a number"),
            (True, "but a boolean"),
            (["a"], "but a list"),
            ({}, "but a struct"),
            (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "but something else"),
            (b"\xff", "does not hold UTF-8 text"),
            ("a" * 16_385, "longer than 16384 characters"),
            (b"a" * 16_385, "longer than 16384 characters"),
            (LongText(), "longer than 16384 characters"),
        ],
    )
    def test_an_invalid_value_is_quoted(self, value: object, why: str) -> None:
        with pytest.raises(BadRequest, match=f"^path: .*{why}$"):
            parse_text(value, "path")

    def test_one_that_is_left_out_is_empty(self) -> None:
        assert [optional_text(value, "to") for value in (None, "", 0, 0.0, False)] == [""] * 5
        assert optional_text("0", "to") == "0"
        wrong: tuple[object, ...] = (5, [], {})
        for value in wrong:
            with pytest.raises(BadRequest, match=r"^to: is not a string"):
                optional_text(value, "to")


class NumberTests:
    @pytest.mark.parametrize("value", [60, 60.0, "60", "060", "60.", "60.0", "60.000", " 60\n"])
    def test_a_whole_number_is_one_however_it_is_written(self, value: object) -> None:
        assert whole_number(value) == 60

    @pytest.mark.parametrize(
        "value",
        [
            60.5,
            "60.5",
            "6e1",
            "0x3c",
            "-60",
            "+60",
            "6 0",
            "",
            ".0",
            "\u0666\u0660",
            "1" * 10,
            float("nan"),
            float("inf"),
            True,
            None,
            b"60",
            [60],
            Decimal(60),
        ],
    )
    def test_anything_else_is_none(self, value: object) -> None:
        assert whole_number(value) is None

    def test_there_is_no_largest(self) -> None:
        assert whole_number(1e300) == int(1e300)
        assert whole_number(-(1 << 63)) == -(1 << 63)

    def test_a_limit_has_its_bounds(self) -> None:
        assert [parse_limit(value, 7) for value in (1, "7", 7.0)] == [1, 7, 7]
        for value in (0, 8, -1, "x", None, True, 1e300):
            with pytest.raises(BadRequest, match=r"^limit: is not a whole number within 1 to 7$"):
                parse_limit(value, 7)


class FlagTests:
    """An operator's yes is 1; the first imagepipe took any value that is not zero."""

    @pytest.mark.parametrize("value", NOTHING)
    def test_nothing_is_no(self, value: object) -> None:
        assert not parse_flag(value, "repair")
        assert not parse_truth(value, "crop")

    @pytest.mark.parametrize("value", [True, 1, 1.0, "1", "1.0"])
    def test_one_is_yes(self, value: object) -> None:
        assert parse_flag(value, "repair")
        assert parse_truth(value, "crop")

    @pytest.mark.parametrize(
        "value",
        [
            2,
            -1,
            0.5,
            "2",
            "yes",
            "true",
            "y",
            "on",
            [1],
            [0],
            {"": 0},
            b"1",
            float("nan"),
            "a" * 1000,
        ],
    )
    def test_whatever_is_not_zero_was_yes(self, value: object) -> None:
        assert parse_truth(value, "crop")
        with pytest.raises(BadRequest, match=r"^repair: is not 0 or 1$"):
            parse_flag(value, "repair")

    @pytest.mark.parametrize("value", ["0.0", " 0 ", "00"])
    def test_a_zero_means_no_however_it_is_written(self, value: object) -> None:
        assert not parse_truth(value, "crop")

    @pytest.mark.parametrize("value", ["false", "False", " no ", "OFF", "none", "null", "nil"])
    def test_a_word_for_no_is_refused(self, value: str) -> None:
        with pytest.raises(BadRequest, match=f"^crop: '{value}' is neither 0 nor 1$"):
            parse_truth(value, "crop")
