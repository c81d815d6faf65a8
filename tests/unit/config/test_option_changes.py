"""What a reload says of two configurations."""

from dataclasses import fields
from pathlib import Path

import pytest
from configobj import ConfigObj

from imagepipe.config import Settings, load
from imagepipe.config.option_changes import OPTIONS, RESTART_ONLY, OptionChange, applicable, changes
from imagepipe.config.spec import CONFIGSPEC

SECTIONS = ("network", "http", "replication", "images", "imagemagick", "graphite")


def settings(folder: Path, text: str = "") -> Settings:
    """The settings of a file that says `text`, and a path for the images."""
    file = folder / "imagepipe.ini"
    file.write_text(text if "[images]" in text else f"{text}\n[images]\npath = images\n")
    return load(file)


def difference(folder: Path, before: str, after: str) -> list[str]:
    """The lines about what differs."""
    return [change.text for change in changes(settings(folder, before), settings(folder, after))]


class ChangesTests:
    def test_of_equal_ones_there_is_nothing_to_say(self, tmp_path: Path) -> None:
        assert (
            difference(tmp_path, "[http]\nport = 7000", "[http]\nport = 7_000".replace("_", ""))
            == []
        )

    def test_options_are_called_as_in_the_file_in_its_order(self, tmp_path: Path) -> None:
        before = "[images]\npath = a\nio_threads = 1\nmax_bytes = 1 MiB"
        after = (
            "[http]\nport = 80\n[images]\npath = a\nio_threads = 2\nmax_bytes = 2 MiB\nstrip ="
            " no\nengine = vips"
        )
        assert difference(tmp_path, before, after) == [
            "[http] port: none -> 80",
            "[images] io_threads: 1 -> 2",
            "[images] engine: auto -> vips",
            "[images] max_bytes: 1048576 -> 2097152",
            "[images] strip: yes -> no",
        ]

    def test_peers_and_lists_are_shown_as_they_are_written(self, tmp_path: Path) -> None:
        before = "[replication]\nsubscribe = tcp://10.0.0.2:1"
        after = (
            "[replication]\nsubscribe = tcp://10.0.0.2:1, north@tcp://10.0.0.3:1\n[http]\noutputs ="
            " w500.jpg"
        )
        assert difference(tmp_path, before, after) == [
            "[http] outputs: none -> w500.jpg",
            "[replication] subscribe: tcp://10.0.0.2:1 -> tcp://10.0.0.2:1, north@tcp://10.0.0.3:1",
        ]

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("[http]\nsecrets = oldkey", "[http]\nsecrets = oldkey, newkey"),
            ("[imagemagick]\n[[env]]\nA = oldkey", "[imagemagick]\n[[env]]\nA = newkey"),
            ("[http]\nsource_base = http://a/?oldkey=", "[http]\nsource_base = http://a/b?newkey="),
        ],
    )
    def test_what_is_secret_is_not_shown(self, tmp_path: Path, before: str, after: str) -> None:
        [line] = difference(tmp_path, before, after)
        assert "oldkey" not in line
        assert "newkey" not in line

    def test_what_an_open_store_cannot_change_waits(self, tmp_path: Path) -> None:
        running = settings(tmp_path, "[images]\npath = a\numask = 0022")
        wanted = settings(tmp_path, "[images]\npath = b\numask = 0077\nquality = 9")
        assert [(change.option, change.needs_restart) for change in changes(running, wanted)] == [
            ("path", True),
            ("umask", True),
            ("quality", False),
        ]
        assert "[images] umask: 0o22 -> 0o77" in [
            change.text for change in changes(running, wanted)
        ]
        used = applicable(running, wanted)
        assert changes(running, used) == (
            OptionChange("images", "quality", "[images] quality: 85 -> 9", needs_restart=False),
        )
        assert [change.option for change in changes(used, wanted)] == ["path", "umask"]

    def test_every_field_is_an_option_of_the_file(self, tmp_path: Path) -> None:
        spec = ConfigObj(
            CONFIGSPEC.splitlines(), interpolation=False, list_values=False, _inspec=True
        )
        some = settings(tmp_path)
        named = {
            (section, OPTIONS.get(field.name, field.name))
            for section in SECTIONS
            for field in fields(getattr(some, section))
        }
        assert named == {(section, option) for section in spec for option in spec[section]} - {
            ("http", "secrets_file")
        }
        assert set(RESTART_ONLY) <= named
