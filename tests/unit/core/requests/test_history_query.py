"""Which lost images an operator means."""

import pytest

from imagepipe.core.requests.history_query import (
    HistoryPage,
    cursor,
    parse_beginning,
    parse_history_page,
    version_text,
)
from imagepipe.core.rows.stamp import STAMP_MAX, Version
from imagepipe.errors import BadRequest

NODE = "9f86d081884c7d659a2feaa0c55ad015"
VERSION = Version(0x01937F3AD4C00000, NODE)
TEXT = f"01937f3ad4c00000-{NODE}"


class VersionTextTests:
    def test_a_version_is_its_stamp_and_its_node(self) -> None:
        assert version_text(VERSION) == TEXT
        assert parse_beginning(TEXT.upper()) == TEXT

    @pytest.mark.parametrize(
        "beginning", ["0", "01937f3ad4c00000", "01937f3ad4c00000-", "01937f3ad4c00000-9f"]
    )
    def test_a_beginning_of_it_will_do(self, beginning: str) -> None:
        assert parse_beginning(beginning) == beginning

    @pytest.mark.parametrize(
        "value",
        [None, 5, [], "", "x", "01937-", "%", "_", TEXT + "0", "0" * 17, "0" * 10_000, " 0", "0\n"],
    )
    def test_an_invalid_one_is_refused(self, value: object) -> None:
        with pytest.raises(BadRequest, match=r"^version: "):
            parse_beginning(value)


class LostPageTests:
    def test_the_range_has_what_is_asked_for_and_nothing_else(self) -> None:
        some = ["a", "a b", "a-", "a.jpg", "a/b", "a/b.jpg", "a/b/c", "a0", "ab", "b"]

        def within(path: str | None) -> list[str]:
            page = parse_history_page(path, "", 5)
            return [
                each
                for each in some
                if each >= page.begin and (page.end is None or each < page.end)
            ]

        assert within("") == within("/") == within(None) == some
        assert within("a") == within("/a") == ["a"]
        assert within("a/") == within("//a//") == ["a/b", "a/b.jpg", "a/b/c"]
        assert within("a/b") == ["a/b"]

    def test_the_cursor_of_a_row_is_where_the_next_page_begins(self) -> None:
        assert parse_history_page("", cursor("a b/c", VERSION), "7") == HistoryPage(
            "", None, ("a b/c", VERSION), 7
        )
        assert parse_history_page(None, None, 1).after is None

    def test_a_path_that_xml_cannot_carry_is_escaped(self) -> None:
        form = ".escaped/bad%EF%BF%BF"
        assert cursor("bad\uffff", VERSION) == f"{form} {TEXT}"
        page = parse_history_page(form, f"{form} {TEXT}", 1)
        assert (page.begin, page.after) == ("bad\uffff", ("bad\uffff", VERSION))

    @pytest.mark.parametrize(
        ("arguments", "argument"),
        [
            ((5, "", 1), "path"),
            (("..", "", 1), "path"),
            (("../", "", 1), "path"),
            (("a" * 5000 + "/", "", 1), "path"),
            (("", 5, 1), "after"),
            (("", "a", 1), "after"),
            (("", TEXT, 1), "after"),
            (("", f"../a {TEXT}", 1), "after"),
            (("", cursor("a", Version(STAMP_MAX + 1, NODE)), 1), "after"),
            (("", f"a {'f' * 16}-{NODE}", 1), "after"),
            (("", "", 0), "limit"),
            (("", "", 1001), "limit"),
            (("", "", True), "limit"),
            (("", "", []), "limit"),
        ],
    )
    def test_what_is_wrong_is_named(
        self, arguments: tuple[object, object, object], argument: str
    ) -> None:
        with pytest.raises(BadRequest, match=f"^{argument}: "):
            parse_history_page(*arguments)
