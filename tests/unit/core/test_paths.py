"""Which paths an image may have, and what suffixes and formats make of one."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipe.core.paths import ancestors, clean, has_control, output_path, split_extension
from imagepipe.errors import BadRequest

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=60)
PATH_LIKE = st.lists(
    st.one_of(
        st.sampled_from(
            ["a", "b.jpg", "..", ".", "", "x.php", "é", "e\u0301", "status", "\0", " "]
        ),
        ANY_TEXT,
    ),
    max_size=5,
).map("/".join)


def refused(path: str) -> str:
    """Why `path` is refused."""
    with pytest.raises(BadRequest) as caught:
        clean(path)
    assert caught.value.fault_string.startswith("[1000] path: ")
    return str(caught.value)


class CleanTests:
    """The legal form of a path, or why there is none."""

    @pytest.mark.parametrize(
        ("path", "cleaned"),
        [
            ("a/b.jpg", "a/b.jpg"),
            ("/a//./b.jpg", "a/b.jpg"),
            ("///a", "a"),
            ("a b/ c.jpg ", "a b/ c.jpg "),
            ("e\u0301.jpg", "\xe9.jpg"),
            ("\u212b.jpg", "\xc5.jpg"),
            ("a..jpg", "a..jpg"),
            ("a.", "a."),
            ("\U0001f600.png", "\U0001f600.png"),
            ("a\\..\\b.jpg", "a\\..\\b.jpg"),
            ("~/%2e%2e/%00.jpg", "~/%2e%2e/%00.jpg"),
        ],
    )
    def test_a_legal_path_has_one_form(self, path: str, cleaned: str) -> None:
        assert clean(path) == cleaned

    @pytest.mark.parametrize("path", ["", "/", "//", ".", "/./."])
    def test_an_empty_path_is_refused(self, path: str) -> None:
        assert "is empty" in refused(path)

    @pytest.mark.parametrize("path", ["..", "../a", "a/../b", "a/..", "/..", "a/./../../b"])
    def test_there_is_no_way_up(self, path: str) -> None:
        assert "may not contain '..'" in refused(path)

    @pytest.mark.parametrize(
        "path", [".a", "a/.b.jpg", ".imagepipe/x", "...", "a/..b", ".htaccess"]
    )
    def test_nothing_is_hidden(self, path: str) -> None:
        assert "no component may begin with a dot" in refused(path)

    @pytest.mark.parametrize("character", ["\ufffe", "\uffff"])
    def test_xml_can_carry_every_character(self, character: str) -> None:
        for path in (f"a{character}", f"{character}/b.jpg", f"a/{character}.jpg"):
            assert "XML cannot carry" in refused(path)
            assert refused(path).isascii()
        with pytest.raises(BadRequest, match=r"^size: .*XML"):
            output_path("a.jpg", f"_{character}")

    @pytest.mark.parametrize(
        "character", ["\0", "\n", "\r", "\t", "\x1b", "\x1f", "\x7f", "\x80", "\x85", "\x9f"]
    )
    def test_control_characters_are_refused(self, character: str) -> None:
        assert "control character" in refused(f"a{character}b.jpg")

    @pytest.mark.parametrize("path", ["a/", "a.jpg/", "a//", "a/.", "./a/."])
    def test_a_folder_is_not_an_image(self, path: str) -> None:
        assert "names a folder" in refused(path)

    @pytest.mark.parametrize("path", ["\ud800.jpg", "a/\udfff"])
    def test_half_a_character_is_refused(self, path: str) -> None:
        assert "is not valid Unicode" in refused(path)
        with pytest.raises(BadRequest, match=r"^size: is not valid Unicode"):
            output_path("a.jpg", "_\ud800")

    def test_a_suffix_is_no_longer_than_a_path(self) -> None:
        with pytest.raises(BadRequest, match=r"^size: a suffix is longer than 1024 bytes"):
            output_path("a.jpg", "_" * 1025)

    def test_a_component_has_at_most_255_bytes_in_its_composed_form(self) -> None:
        assert clean("a" * 255)
        assert "a component is longer than 255 bytes" in refused("a" * 256)
        assert clean("e\u0301" * 127 + "a") == "\xe9" * 127 + "a"
        assert "a component is longer" in refused("\xe9" * 128)

    def test_a_path_has_at_most_1024_bytes(self) -> None:
        longest = "/".join(["a" * 204] * 5)
        assert len(longest) == 1024
        assert clean("//" + longest) == longest
        assert "longer than 1024 bytes" in refused(longest + "a")
        assert "longer than 1024 bytes" in refused("a/" * 3000 + "a")

    @pytest.mark.parametrize(
        "path",
        [
            "status",
            "status/a.jpg",
            "status.json",
            "healthz",
            "readyz/x",
            "metrics",
            "//metrics",
            "info.json",
            "a/info.json",
            "./status",
        ],
    )
    def test_the_servers_own_pages_are_reserved(self, path: str) -> None:
        assert "is reserved for the server's own pages" in refused(path)

    @pytest.mark.parametrize(
        "path", ["a/status", "a/metrics", "info.json/a", "status.jpg", "Status", "infojson"]
    )
    def test_and_nothing_but_these(self, path: str) -> None:
        assert clean(path) == path

    @pytest.mark.parametrize(
        "extension", "html htm xhtml xml svg svgz js css shtml mjs pdf".split()
    )
    def test_what_a_browser_shows_as_a_page_is_refused(self, extension: str) -> None:
        for path in (
            f"a.{extension}",
            f"a.{extension.upper()}",
            f"a.jpg.{extension}",
            f"a.{extension}.",
            f"a.{extension} ",
        ):
            assert "as a page" in refused(path)

    @pytest.mark.parametrize("last", ["foo", "bak", "1", "en", "gz"])
    def test_a_page_hides_behind_no_extension_that_a_server_does_not_know(self, last: str) -> None:
        # Apache's mod_mime skips extensions that it has no type for, and then takes the type of the
        # one before.
        assert "as a page" in refused(f"a.html.{last}")

    @pytest.mark.parametrize(
        "extension", "php php3 php5 php8 phps phtml pht phar cgi py pl sh asp aspx jsp".split()
    )
    def test_what_a_server_could_run_is_refused_anywhere_among_the_extensions(
        self, extension: str
    ) -> None:
        for path in (
            f"a.{extension}",
            f"a.{extension.upper()}",
            f"a.{extension}.jpg",
            f"b/a.x.{extension}.",
            f"a.{extension} ",
            f"a. {extension}.jpg",
        ):
            assert "could run" in refused(path)

    @pytest.mark.parametrize(
        "path",
        [
            "php",
            "a/html",
            "a.html.jpg",
            "a.php/b.jpg",
            "aphp.jpg",
            "a.htmlx",
            "a.2024.jpg",
            "svg.png",
            "example.com.jpg",
            "what.to.do.png",
        ],
    )
    def test_what_only_looks_like_one_is_not(self, path: str) -> None:
        assert clean(path) == path

    def test_the_argument_is_named(self) -> None:
        with pytest.raises(BadRequest, match=r"^dst_path: is empty") as caught:
            clean("", "dst_path")
        assert caught.value.argument == "dst_path"

    @given(st.one_of(PATH_LIKE, ANY_TEXT))
    def test_what_comes_out_keeps_every_rule_and_comes_out_again(self, path: str) -> None:
        try:
            cleaned = clean(path)
        except BadRequest as refusal:
            # either outcome is fine, and has its promise
            assert str(refusal).isascii() and str(refusal).isprintable()
            return
        assert clean(cleaned) == cleaned
        assert unicodedata.is_normalized("NFC", cleaned)
        assert len(cleaned.encode()) <= 1024
        for component in cleaned.split("/"):
            assert component
            assert not component.startswith(".")
            assert len(component.encode()) <= 255
            assert not has_control(component)


class OutputPathTests:
    """The suffix goes before the extension; a format replaces it, or adds one."""

    @pytest.mark.parametrize(
        ("path", "suffix", "extension", "output"),
        [
            ("a/b.jpg", "_s", "png", "a/b_s.png"),
            ("a/b.jpg", "_s", None, "a/b_s.jpg"),
            ("a/b.jpg", "", None, "a/b.jpg"),
            ("a/b", "_s", None, "a/b_s"),
            ("a/b", "_s", "png", "a/b_s.png"),
            ("a.b/c", "_s", None, "a.b/c_s"),
            ("a.b/c", "", "png", "a.b/c.png"),
            ("a/b.tar.gz", "_s", "png", "a/b.tar_s.png"),
            ("a/b.", "_s", None, "a/b_s."),
            ("a/b.jpg", ".", None, "a/b..jpg"),
            ("a/e.jpg", "\u0301", None, "a/\xe9.jpg"),
        ],
    )
    def test_outputs(self, path: str, suffix: str, extension: str | None, output: str) -> None:
        assert output_path(path, suffix, extension) == output

    @pytest.mark.parametrize(
        ("suffix", "why"),
        [
            ("/b", "a slash"),
            ("\n", "a control character"),
            (".php", "could run"),
            ("s" * 255, "255 bytes"),
        ],
    )
    def test_what_a_suffix_may_not_do(self, suffix: str, why: str) -> None:
        with pytest.raises(BadRequest, match=f"^size: .*{why}"):
            output_path("a/b.jpg", suffix)

    @given(st.text("ab._", max_size=8), st.text("ab._-é", max_size=4))
    def test_a_suffix_changes_the_last_component_alone(self, name: str, suffix: str) -> None:
        path = f"folder.x/a{name}"
        output = output_path(path, suffix)
        assert output.startswith("folder.x/a")
        assert len(output.split("/")) == 2
        assert output == clean(output)


class PartTests:
    """Taking paths apart."""

    @given(st.text("ab./", max_size=12))
    def test_stem_and_extension_make_the_path(self, path: str) -> None:
        stem, extension = split_extension(path)
        assert stem + extension == path
        assert extension == "" or (
            extension[0] == "." and "/" not in extension and extension.count(".") == 1
        )

    @pytest.mark.parametrize(
        ("path", "parts"),
        [
            ("a/b.jpg", ("a/b", ".jpg")),
            ("a.b/c", ("a.b/c", "")),
            ("a/.b", ("a/.b", "")),
            (".b", (".b", "")),
            ("a", ("a", "")),
        ],
    )
    def test_extensions(self, path: str, parts: tuple[str, str]) -> None:
        assert split_extension(path) == parts

    def test_the_folders_above_come_nearest_first(self) -> None:
        assert list(ancestors("a/b/c")) == ["a/b", "a"]
        assert list(ancestors("a")) == []
