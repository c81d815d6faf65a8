"""The command line as click has it: every command and option is in docs/reference/commands.md, has
its help, and costs nothing before it is used.
"""

import re
import subprocess
import sys

import click
import pytest

from imagepipe.cli.main import imagepipe
from imagepipe.cli.options import NAMES
from imagepipe.cli.store import SizeOption, SizeType
from tests.support.repository import ROOT

COMMANDS = imagepipe.commands
CHAPTERS = dict(
    re.findall(
        r"^## imagepipe ([a-z-]+)(.*?)(?=^## |\Z)",
        (ROOT / "docs/reference/commands.md").read_text(),
        flags=re.MULTILINE | re.DOTALL,
    )
)
[GENERAL] = re.findall(
    r"^## Which daemon$(.*?)(?=^## )",
    (ROOT / "docs/reference/commands.md").read_text(),
    flags=re.MULTILINE | re.DOTALL,
)


def own_options(command: click.Command) -> list[click.Option]:
    """Those that only this command has, or that mean something else to it."""
    general = type(command).__name__ == "DaemonCommand"
    return [
        one
        for one in command.params
        if isinstance(one, click.Option) and not (general and one.name in NAMES)
    ]


def in_tables(text: str) -> set[str]:
    """The options in the first column of a chapter's tables."""
    return {
        option
        for cell in re.findall(r"^\| ((?:`-[^|]*`))", text, flags=re.MULTILINE)
        for option in re.findall(r"`(--?[a-z-]+)`", cell)
    }


class DocumentationTests:
    def test_every_command_has_its_chapter_and_no_other_has_one(self) -> None:
        assert set(CHAPTERS) == set(COMMANDS)

    @pytest.mark.parametrize("name", sorted(COMMANDS))
    def test_a_chapter_has_every_option_and_no_other(self, name: str) -> None:
        assert in_tables(CHAPTERS[name]) == {
            word
            for option in own_options(COMMANDS[name])
            for word in (*option.opts, *option.secondary_opts)
        }

    @pytest.mark.parametrize("name", sorted(COMMANDS))
    def test_a_chapter_begins_with_the_arguments(self, name: str) -> None:
        arguments = [one for one in COMMANDS[name].params if isinstance(one, click.Argument)]
        heading = CHAPTERS[name].splitlines()[0].strip()
        context = click.Context(COMMANDS[name], info_name=name)
        usage = " ".join(one.make_metavar(context) for one in arguments)
        assert heading.replace("bash|zsh|fish", "{bash|zsh|fish}") == usage

    def test_the_general_options_are_there_with_their_variables(self) -> None:
        options = [
            one for one in imagepipe.params if isinstance(one, click.Option) and one.name in NAMES
        ]
        assert in_tables(GENERAL) == {
            word for option in options for word in (*option.opts, *option.secondary_opts)
        }
        assert all(
            f"`{option.opts[-1]}`" in line
            for option in options
            for line in GENERAL.splitlines()
            if f"`{option.envvar}`" in line
        )
        assert all(f"`{option.envvar}`" in GENERAL for option in options)

    def test_there_are_the_commands_of_the_design(self) -> None:
        assert set(COMMANDS) == set(
            "store delete move info list process pull sign history restore erase status"
            " check-config keygen adopt verify completion".split()
        )


class HelpTests:
    @pytest.mark.parametrize("name", sorted(COMMANDS))
    def test_it_has_a_sentence_examples_and_the_exit_status(self, name: str) -> None:
        text = click.Context(COMMANDS[name], info_name=f"imagepipe {name}").get_help()
        assert "For example:\n" in text
        assert f"\n    imagepipe {name}" in text or f"| imagepipe {name}" in text
        assert "Exit status:" in text

    @pytest.mark.parametrize("name", sorted(COMMANDS))
    def test_every_option_says_what_it_is(self, name: str) -> None:
        assert [
            one.name
            for one in COMMANDS[name].params
            if isinstance(one, click.Option) and not one.help
        ] == []

    def test_the_list_of_commands_fits_a_line_each(self) -> None:
        assert [
            name
            for name, command in COMMANDS.items()
            if command.get_short_help_str(60).endswith("...")
        ] == []

    def test_what_takes_long_to_import_is_not_imported_for_it(self) -> None:
        script = "import sys, imagepipe.cli; print(*sys.modules)"
        modules = set(
            subprocess.run(
                [sys.executable, "-c", script], capture_output=True, text=True, check=True
            ).stdout.split()
        )
        assert (
            modules
            & {
                "rich",
                "twisted",
                "ssl",
                "http.client",
                "xmlrpc.client",
                "configobj",
                "zmq",
                "sqlite3",
                "pyvips",
            }
            == set()
        )


class SizeTests:
    @pytest.mark.parametrize(
        ("text", "size"),
        [
            ("500 400", SizeOption("", 500, 400)),
            ("_s 50 60", SizeOption("_s", 50, 60)),
            ("'' 50 60", SizeOption("", 50, 60)),
            ("'a b' 50 60 png", SizeOption("a b", 50, 60, "png")),
            ("50 60 png", SizeOption("", 50, 60, "png")),
            ("1 50 60", SizeOption("1", 50, 60)),
            ("_s 50 60 webp crop", SizeOption("_s", 50, 60, "webp", "crop")),
            ("_s 50 60 composite", SizeOption("_s", 50, 60, "", "composite")),
            ("50 60 crop", SizeOption("", 50, 60, "", "crop")),
        ],
    )
    def test_a_size_is_read(self, text: str, size: SizeOption) -> None:
        assert SizeType().convert(text, None, None) == size

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "50",
            "50 x",
            "_s 50",
            "crop",
            "_s 50 60 png gif",
            "_s -5 60",
            "'50 60",
            "50x60",
            "a b c d e f",
        ],
    )
    def test_an_invalid_one_is_refused(self, text: str) -> None:
        with pytest.raises(click.BadParameter):
            SizeType().convert(text, None, None)
