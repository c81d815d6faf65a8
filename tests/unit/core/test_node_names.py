"""What nodes call themselves."""

import pytest

from imagepipe.core.node_names import NAME_LENGTH_MAX, clean_name, displayed_name, labels


class NameTests:
    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ("img-1", "img-1"),
            ("", ""),
            (" a b ", "a b"),
            ("a\nforged line\x1b[2J", "a\\nforged line\\x1b[2J"),
            ("é" * 300, "é" * NAME_LENGTH_MAX),
            ("\x00" * 300, "\\x00" * (NAME_LENGTH_MAX // 4)),
        ],
    )
    def test_a_name_is_short_and_safe_to_print(self, text: str, name: str) -> None:
        assert clean_name(text) == name

    @pytest.mark.parametrize(
        ("own", "known", "shown"),
        [("img-1", "north", "img-1 (north)"), ("north", "north", "north"), ("", "north", "north")],
    )
    def test_both_are_shown_where_they_differ(self, own: str, known: str, shown: str) -> None:
        assert displayed_name(own, known) == shown

    def test_two_peers_of_one_name_have_two_labels(self) -> None:
        peers = [
            ("img", "north"),
            ("img", "south"),
            ("", "east"),
            ("east", "west"),
            ("img-2", "tcp://x:1"),
        ]
        assert labels(peers) == ["img (north)", "img (south)", "east", "east (west)", "img-2"]
