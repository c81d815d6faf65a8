"""Who may make the server render: those who hold one of its keys."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipe.core.requests.signing import sign, verify
from imagepipe.errors import Forbidden, Unauthorized

PATH = "/user/avatar/1/w500.jpg"


class SigningTests:
    """Signatures, keys, expiry."""

    def test_it_is_the_hmac_of_path_line_break_and_expiry(self) -> None:
        assert (
            sign("key", PATH, "17")
            == hmac.new(b"key", PATH.encode() + b"\n17", hashlib.sha256).hexdigest()
        )
        assert (
            sign("key", PATH) == hmac.new(b"key", PATH.encode() + b"\n", hashlib.sha256).hexdigest()
        )

    @pytest.mark.parametrize("key", ["old", "new"])
    def test_any_of_the_keys_will_do(self, key: str) -> None:
        verify(("old", "new"), PATH, "100", sign(key, PATH, "100"), 100)

    def test_it_may_never_expire(self) -> None:
        verify(("key",), PATH, "", sign("key", PATH), 1e18)

    def test_the_path_may_be_signed_without_its_slash(self) -> None:
        verify(("key",), PATH, "", sign("key", PATH[1:]), 0)

    def test_hex_may_be_in_capitals(self) -> None:
        verify(("key",), PATH, "", sign("key", PATH).upper(), 0)

    def test_none_is_unauthorized(self) -> None:
        with pytest.raises(Unauthorized):
            verify(("key",), PATH, "", "", 0)

    def test_one_that_has_expired_is_forbidden(self) -> None:
        with pytest.raises(Forbidden, match="expired"):
            verify(("key",), PATH, "99", sign("key", PATH, "99"), 99.5)

    @pytest.mark.parametrize("expires", ["-1", "1e9", " 5", "5 ", "\u0665", "9" * 16, "soon"])
    def test_an_invalid_expiry_is_forbidden(self, expires: str) -> None:
        with pytest.raises(Forbidden):
            verify(("key",), PATH, expires, sign("key", PATH, expires), 0)

    @pytest.mark.parametrize(
        "signature",
        [
            sign("other", PATH, "100"),
            sign("key", PATH + "x", "100"),
            sign("key", PATH, "101"),
            sign("key", PATH),
            "0",
            "é",
            "\ud800",
            "x" * 99999,
        ],
    )
    def test_a_wrong_one_is_forbidden(self, signature: str) -> None:
        with pytest.raises(Forbidden, match="wrong"):
            verify(("key",), PATH, "100", signature, 0)

    @given(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    )
    def test_whatever_is_signed_verifies_and_with_another_path_does_not(
        self, path: str, other: str
    ) -> None:
        verify(("k",), path, "5", sign("k", path, "5"), 5)
        if other.removeprefix("/") != path.removeprefix("/"):
            with pytest.raises(Forbidden):
                verify(("k",), other, "5", sign("k", path, "5"), 5)
