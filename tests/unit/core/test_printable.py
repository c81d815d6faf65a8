"""What is shown of a name can do nothing to a terminal."""

from hypothesis import given
from hypothesis import strategies as st

from imagepipe.core.printable import printable


class PrintableTests:
    def test_a_plain_name_stays_as_it_is(self) -> None:
        assert printable("x/y z/katze-ä-猫.jpg") == "x/y z/katze-ä-猫.jpg"
        assert printable("x/y z.jpg") == "x/y z.jpg"

    def test_control_characters_line_ends_and_directions_are_written_out(self) -> None:
        assert printable("a\x1b[2J\n\t\x9b\u202e\u2028ä") == "a\\x1b[2J\\n\\t\\x9b\\u202e\\u2028ä"

    def test_half_a_pair_is_written_out(self) -> None:
        assert printable("\udc80") == "\\udc80"

    @given(st.text())
    def test_what_is_shown_is_one_line_without_controls(self, text: str) -> None:
        shown = printable(text)
        assert len(shown.splitlines()) <= 1
        assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in shown)
