"""Errors are interface: their codes and texts are what clients see."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipe.errors import (
    BadRequest,
    ConfigError,
    Conflict,
    DiskFull,
    EngineUnusable,
    FlushError,
    Forbidden,
    ImagepipeError,
    InternalError,
    NotAcceptable,
    NotAnImage,
    NotFound,
    NotStored,
    Overloaded,
    SourceFailed,
    SourceTimeout,
    TooFewPeers,
    TooLarge,
    Unauthorized,
    quoted,
)


class ErrorTests:
    """Fault codes, HTTP statuses, texts."""

    @pytest.mark.parametrize(
        ("error", "code", "status"),
        [
            (BadRequest("path", "is empty"), 1000, 400),
            (NotStored("the disk is full"), 1001, 422),
            (InternalError(), 1002, 500),
            (TooFewPeers("0 of 1 confirmed"), 1003, 503),
            (Overloaded("try again"), 1004, 429),
            (Unauthorized("signature", "is missing"), 1000, 401),
            (Forbidden("signature", "has expired"), 1000, 403),
            (NotFound("path", "there is no image"), 1000, 404),
            (NotAcceptable("rendition", "is too wide"), 1000, 406),
            (Conflict("path", "is an image"), 1000, 409),
            (TooLarge("image", "has too many bytes"), 1000, 413),
            (NotAnImage("image", "is none"), 1000, 415),
            (DiskFull("the disk is full"), 1001, 507),
            (SourceFailed("it hung up"), 1001, 502),
            (SourceTimeout("it is slow"), 1001, 504),
            (EngineUnusable("it cannot be started"), 1001, 503),
            (FlushError("EIO"), 1001, 503),
        ],
    )
    def test_each_has_its_code_at_the_beginning_of_its_text(
        self, error: ImagepipeError, code: int, status: int
    ) -> None:
        assert (error.fault_code, error.http_status) == (code, status)
        assert error.fault_string == f"[{code}] {error}"

    def test_every_code_is_of_one_error(self) -> None:
        codes = [error.fault_code for error in ImagepipeError.__subclasses__()]
        assert sorted(codes) == [1000, 1001, 1002, 1003, 1004]

    def test_a_bad_request_names_the_argument(self) -> None:
        error = BadRequest("size", "is not [width, height]")
        assert error.argument == "size"
        assert error.fault_string == "[1000] size: is not [width, height]"

    def test_an_internal_error_says_nothing_of_what_happened(self) -> None:
        assert str(InternalError()) == "internal error: see the server's log for details"

    def test_a_config_error_has_every_problem(self) -> None:
        error = ConfigError(["one", "two"])
        assert error.problems == ("one", "two")
        assert str(error) == "one\ntwo"


class QuotedTests:
    """Text from outside is made short and printable."""

    def test_short_text_is_quoted(self) -> None:
        assert quoted("a b") == "'a b'"

    def test_long_text_is_cut(self) -> None:
        assert quoted("a" * 100) == f"'{'a' * 80}...'"

    @given(st.text(st.characters(codec=None, exclude_categories=())))
    def test_it_is_one_line_of_ascii_whatever_came_in(self, text: str) -> None:
        assert quoted(text).isascii()
        assert quoted(text).isprintable()
        assert len(quoted(text)) <= 10 * 80 + 5
