"""Stored paths that XML cannot carry, and the form in which clients see and name them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imagepipe.core.path_escaping import escaped, needs_escaping, stored_path, unescaped
from imagepipe.core.paths import clean
from imagepipe.errors import BadRequest

STORED_BEFORE = st.text("ab/.%\ufffe\uffff\u20ac\\", min_size=1, max_size=12).filter(needs_escaping)
"""Paths that an earlier release may have stored, and this one does not."""


class EscapedTests:
    """The escaped form stands for exactly one path."""

    @pytest.mark.parametrize(
        ("path", "form"),
        [
            ("bad\uffff/original", ".escaped/bad%EF%BF%BF/original"),
            ("100%\ufffe.jpg", ".escaped/100%25%EF%BF%BE.jpg"),
            ("\u20ac\\\uffff", ".escaped/\u20ac\\%EF%BF%BF"),
        ],
    )
    def test_only_what_xml_cannot_carry_is_written_out(self, path: str, form: str) -> None:
        assert escaped(path) == form
        assert stored_path(form) == unescaped(form) == path

    @pytest.mark.parametrize(
        "path", ["a/b.jpg", "100%EF%BF%BF.jpg", "a\\uffff", "\U0001fffe\ufdd0\ufffd"]
    )
    def test_any_other_path_is_shown_as_it_is(self, path: str) -> None:
        assert escaped(path) == stored_path(path) == path
        assert not needs_escaping(path)

    @given(STORED_BEFORE)
    @example("/".join(["\ufffe" * 85] * 4))
    def test_every_path_that_may_be_stored_can_be_named(self, path: str) -> None:
        form = escaped(path)
        assert stored_path(form, "path") == path
        with pytest.raises(BadRequest):
            clean(form)

    @pytest.mark.parametrize(
        "text",
        [
            ".escaped/",
            ".escaped/a.jpg",
            ".escaped/a%2Ejpg",
            ".escaped/a\uffff",
            ".escaped/a%ef%bf%bf",
            ".escaped/a%FF",
            ".escaped/../%EF%BF%BF",
            ".escaped/.hidden%EF%BF%BF",
            ".escaped//a%EF%BF%BF",
            ".escaped/a%00%EF%BF%BF",
            ".escaped/a/%EF%BF%BF/info.json",
            ".escaped/" + "a" * 5000 + "%EF%BF%BF",
            ".escaped/" + "a" * 256 + "%EF%BF%BF",
        ],
    )
    def test_a_form_that_stands_for_no_such_path_is_refused(self, text: str) -> None:
        assert unescaped(text) is None
        with pytest.raises(
            BadRequest, match=r"^src_path: is not an escaped path as list_images returns it: "
        ):
            stored_path(text, "src_path")

    def test_without_the_form_the_character_is_refused(self) -> None:
        with pytest.raises(BadRequest, match="XML"):
            stored_path("bad\uffff")
