"""What is wrong with the text of a file, reported all at once."""

import re
from pathlib import Path

import pytest

from tests.support.config_files import option, problem, problems


class SyntaxTests:
    """Lines that ConfigObj cannot read, or would misread in silence."""

    def test_an_option_twice(self, tmp_path: Path) -> None:
        assert problems(tmp_path, "[images]\npath = a\npath = b\n") == [
            "line 3, 'path': this option occurs twice; keep one of the two"
        ]

    def test_a_section_twice(self, tmp_path: Path) -> None:
        text = "[images]\npath = a\n[network]\nport = 1\n[images]\nquality = 1\n"
        assert problems(tmp_path, text) == [
            "line 5, '[images]': this section occurs twice; merge the two"
        ]

    def test_broken_lines_are_listed_together_with_wrong_values(self, tmp_path: Path) -> None:
        found = problems(tmp_path, "[images]\npath = 'a\nnonsense\nquality = 200\n")
        assert [each.partition(":")[0] for each in found] == [
            "line 2, 'path'",
            "line 3, 'nonsense'",
            "[images] quality = 200",
        ]

    @pytest.mark.parametrize("line", ["[[images]", "[images", "[[[images]]]"])
    def test_behind_a_broken_section_nothing_is_guessed(self, tmp_path: Path, line: str) -> None:
        [only] = problems(tmp_path, f"{line}\npath = images\n")
        assert only.startswith(f"line 1, '{line}': this is not a section")

    def test_a_broken_line_does_not_show_a_secret(self, tmp_path: Path) -> None:
        [only] = problems(tmp_path, "[images]\npath = a\n[http]\nsecrets = 'hush\n")
        assert "hush" not in only

    @pytest.mark.parametrize(
        "line",
        ["secrets = pass#word", "secrets = a, pass#word # and a comment", "'secrets' = pass#word"],
    )
    def test_an_unquoted_hash_inside_a_value_is_a_problem(self, tmp_path: Path, line: str) -> None:
        assert (
            problem(tmp_path, "http", line)
            == "line 4, 'secrets': the value is cut off at the `#`; quote it, or put a space"
            " before a"
            " comment"
        )

    @pytest.mark.parametrize(
        ("line", "secrets"),
        [
            ("secrets = 'pass#word'", ("pass#word",)),
            ('secrets = "pass#word" # with a comment', ("pass#word",)),
            ("secrets = 'pass#word'#comment", ("pass#word",)),
            ("secrets = password #comment", ("password",)),
            ("secrets = password\t# comment #2", ("password",)),
            ("secrets = a, 'b#c',#comment", ("a", "b#c")),
            ("#secrets = pass#word", ()),
        ],
    )
    def test_a_quoted_hash_or_a_comment_is_none(
        self, tmp_path: Path, line: str, secrets: tuple[str, ...]
    ) -> None:
        assert option(tmp_path, "http", line).http.secrets == secrets

    def test_nothing_is_interpolated(self, tmp_path: Path) -> None:
        assert option(tmp_path, "http", "secrets = %(path)s$HOME").http.secrets == (
            "%(path)s$HOME",
        )


class UnknownTests:
    """What does not exist is an error, with a word on what was perhaps meant."""

    def test_an_option(self, tmp_path: Path) -> None:
        assert (
            problem(tmp_path, "images", "max_pixel = 5")
            == "[images] max_pixel: there is no such option; did you mean max_pixels?"
        )

    def test_an_option_of_another_section(self, tmp_path: Path) -> None:
        assert (
            problem(tmp_path, "images", "users = a")
            == "[images] users: there is no such option; it belongs to [network]"
        )

    def test_a_section(self, tmp_path: Path) -> None:
        assert (
            problem(tmp_path, "Networks", "port = 1")
            == "[Networks]: there is no such section; did you mean network?"
        )

    def test_nothing_is_suggested_where_nothing_is_near(self, tmp_path: Path) -> None:
        assert problem(tmp_path, "xyzzy", "port = 1") == "[xyzzy]: there is no such section"

    def test_the_section_that_configobj_itself_overlooks(self, tmp_path: Path) -> None:
        assert problem(tmp_path, "DEFAULT", "port = 1") == "[DEFAULT]: there is no such section"

    def test_an_option_before_any_section(self, tmp_path: Path) -> None:
        assert problems(tmp_path, "port = 1\n[images]\npath = a") == [
            "port: is not in any section; it comes before the first one"
        ]

    def test_a_section_where_an_option_should_be(self, tmp_path: Path) -> None:
        assert (
            problem(tmp_path, "network", "[[port]]")
            == "[network] [[port]]: there is no such section; port is an option"
        )

    def test_an_option_where_a_section_should_be(self, tmp_path: Path) -> None:
        assert (
            problem(tmp_path, "imagemagick", "env = A")
            == "[imagemagick] env: there is no such option; write a section [[env]]"
        )

    def test_a_section_within_a_section(self, tmp_path: Path) -> None:
        assert (
            problem(tmp_path, "imagemagick", "[[evn]]")
            == "[imagemagick] [[evn]]: there is no such section; did you mean env?"
        )
        assert (
            problem(tmp_path, "imagemagick", "[[env]]\n[[[a]]]")
            == "[imagemagick] [[env]] [[[a]]]: there is no such section"
        )


class AllAtOnceTests:
    """An operator mends a file in one go."""

    def test_every_problem_is_reported(self, tmp_path: Path) -> None:
        text = """
            [network]
            interface = localhost
            port = 99999
            max_request = 64 MB
            users = nobody
            endpoint = nonsense
            tls_key = imagepipe.ini
            colour = red
            [http]
            default_quality = 0
            secrets = a#b
            [replication]
            publish = tcp://0.0.0.0
            ack_timeout = never
            [images]
            umask = 22
            io_threads = 0
            engine = magic
            strip = perhaps
            timeout = 0
            [imagemagick]
            convert = convert
            [graphite]
            host = a b
            [imags]
            """
        found = problems(tmp_path, text)
        assert {re.split(" = |: ", each)[0] for each in found} == {
            "[network] interface",
            "[network] port",
            "[network] max_request",
            "[network] users",
            "[network] endpoint",
            "[network] tls_key",
            "[network] colour",
            "[http] default_quality",
            "line 12, 'secrets'",
            "[replication] publish",
            "[replication] ack_timeout",
            "[images] path",
            "[images] umask",
            "[images] io_threads",
            "[images] engine",
            "[images] strip",
            "[images] timeout",
            "[imagemagick] convert",
            "[graphite] host",
            "[imags]",
        }

    def test_each_says_where_it_is_what_it_is_and_what_would_be_right(self, tmp_path: Path) -> None:
        assert (
            problem(tmp_path, "network", "port = 99999")
            == "[network] port = 99999: must be a whole number from 0 to 65535"
        )

    def test_a_secret_is_not_shown(self, tmp_path: Path) -> None:
        assert problem(tmp_path, "http", "secrets = hush, ''").startswith(
            "[http] secrets = (not shown): is empty"
        )

    def test_a_password_in_a_url_is_not_shown(self, tmp_path: Path) -> None:
        assert "hush" not in problem(tmp_path, "http", "source_base = http://me:hush@example.org/")

    def test_a_value_is_shown_on_one_line(self, tmp_path: Path) -> None:
        assert "\n" not in problem(tmp_path, "network", "interface = '''a\nb'''")
