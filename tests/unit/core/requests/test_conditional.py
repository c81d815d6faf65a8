"""Conditional requests and ranges, as RFC 9110 has them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipe.core.requests.conditional import ByteRange, Representation, evaluate, http_date

VERSION = Representation("abc", 784111777, 1000)
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
LATER = "Sun, 06 Nov 1994 08:49:38 GMT"
EARLIER = "Sun, 06 Nov 1994 08:49:36 GMT"
WHOLE = ByteRange(200, 0, 1000)


def status(version: Representation = VERSION, **headers: str) -> int:
    """The status of a GET; underscores in names are dashes."""
    return evaluate(
        "GET", {name.replace("_", "-"): value for name, value in headers.items()}, version
    ).status


class ConditionTests:
    """What the client has, or means."""

    def test_without_conditions_all_is_sent(self) -> None:
        assert evaluate("GET", {}, VERSION) == WHOLE

    @pytest.mark.parametrize(
        "tags", ['"abc"', 'W/"abc"', '"x", "abc"', '"x",W/"abc"', "*", ' "abc" ']
    )
    def test_a_client_that_has_it_gets_304(self, tags: str) -> None:
        assert status(if_none_match=tags) == 304

    @pytest.mark.parametrize("tags", ['"x"', "abc", "", '"abcd"', '"ABC"'])
    def test_a_client_that_has_another_version_gets_it(self, tags: str) -> None:
        assert status(if_none_match=tags) == 200

    @pytest.mark.parametrize(
        ("date", "expected"),
        [
            (DATE, 304),
            (LATER, 304),
            (EARLIER, 200),
            ("yesterday", 200),
            ("", 200),
            ("0" * 999, 200),
            ("Sun, 06 Nov 99999 08:49:37 GMT", 200),
        ],
    )
    def test_a_date_will_do_as_well(self, date: str, expected: int) -> None:
        assert status(if_modified_since=date) == expected

    @pytest.mark.parametrize("date", ["Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"])
    def test_the_old_forms_of_dates_are_understood(self, date: str) -> None:
        assert status(if_modified_since=date) == 304

    def test_a_date_that_does_not_tell_versions_apart_is_no_reason_to_send_nothing(self) -> None:
        assert (
            status(Representation("abc", 784111777, 1000, is_dated=False), if_modified_since=DATE)
            == 200
        )

    def test_the_tag_counts_more_than_the_date(self) -> None:
        assert status(if_none_match='"x"', if_modified_since=LATER) == 200

    @pytest.mark.parametrize(
        ("tags", "expected"),
        [
            ('"abc"', 200),
            ("*", 200),
            ('"x", "abc"', 200),
            ('W/"abc"', 412),
            ('"x"', 412),
            ("", 412),
        ],
    )
    def test_a_condition_on_another_version_gets_nothing(self, tags: str, expected: int) -> None:
        assert status(if_match=tags) == expected

    @pytest.mark.parametrize(
        ("date", "expected"), [(DATE, 200), (LATER, 200), (EARLIER, 412), ("never", 200)]
    )
    def test_or_means_an_older_one(self, date: str, expected: int) -> None:
        assert status(if_unmodified_since=date) == expected

    def test_what_is_meant_is_asked_before_what_is_had(self) -> None:
        assert status(if_match='"x"', if_none_match='"abc"') == 412

    def test_dates_are_written_as_http_has_them(self) -> None:
        assert http_date(784111777) == DATE

    @given(st.text(max_size=70))
    def test_no_date_is_too_strange(self, date: str) -> None:
        assert status(if_modified_since=date) in (200, 304)


class RangeTests:
    """Parts of a file."""

    @pytest.mark.parametrize(
        ("header", "expected"),
        [
            ("bytes=0-0", ByteRange(206, 0, 1)),
            ("bytes=0-999", ByteRange(206, 0, 1000)),
            ("bytes=990-", ByteRange(206, 990, 10)),
            ("bytes=990-5000", ByteRange(206, 990, 10)),
            ("bytes=-10", ByteRange(206, 990, 10)),
            ("bytes=-5000", ByteRange(206, 0, 1000)),
            (" Bytes = 5 - 9 ", ByteRange(206, 5, 5)),
            ("bytes=1000-", ByteRange(416)),
            ("bytes=5000-6000", ByteRange(416)),
            ("bytes=-0", ByteRange(416)),
            ("bytes=9-5", WHOLE),
            ("bytes=0-1,5-6", WHOLE),
            ("bytes=-", WHOLE),
            ("bytes=a-b", WHOLE),
            ("bytes=" + "9" * 30 + "-", WHOLE),
            ("lines=0-1", WHOLE),
            ("", WHOLE),
        ],
    )
    def test_a_range_gets_its_bytes(self, header: str, expected: ByteRange) -> None:
        assert evaluate("GET", {"range": header}, VERSION) == expected

    def test_only_a_get_has_ranges(self) -> None:
        assert evaluate("HEAD", {"range": "bytes=0-0"}, VERSION) == WHOLE

    @pytest.mark.parametrize(
        ("condition", "expected"),
        [
            ('"abc"', 206),
            (DATE, 206),
            ('"x"', 200),
            ('W/"abc"', 200),
            (LATER, 200),
            (EARLIER, 200),
            ("rubbish", 200),
        ],
    )
    def test_a_range_of_another_version_is_not_sent(self, condition: str, expected: int) -> None:
        assert status(range="bytes=0-0", if_range=condition) == expected

    def test_nor_one_whose_date_does_not_tell_versions_apart(self) -> None:
        assert (
            status(
                Representation("abc", 784111777, 1000, is_dated=False),
                range="bytes=0-0",
                if_range=DATE,
            )
            == 200
        )

    def test_an_empty_file_has_no_ranges(self) -> None:
        assert evaluate("GET", {"range": "bytes=0-"}, Representation("e", 0, 0)) == ByteRange(416)

    @given(st.integers(0, 2000), st.integers(0, 2000), st.integers(1, 1500))
    def test_a_part_lies_within_the_file(self, first: int, last: int, size: int) -> None:
        part = evaluate("GET", {"range": f"bytes={first}-{last}"}, Representation("e", 0, size))
        assert part.status in (200, 206, 416)
        assert part.start + part.length <= size
