"""Which files are accepted, and that the file of the first imagepipe is."""

import re
from pathlib import Path

import pytest

from imagepipe.config import load
from imagepipe.errors import ConfigError
from tests.support.config_files import problems, write

FIRST_IMAGEPIPE = """\
[network]
# The network interface and port to listen on for XML-RPC calls
interface = 0.0.0.0
port = 8085

[replication]
# Where should other instances connect to replicate data from this one
publish = tcp://0.0.0.0:8086
# publish = ipc:///tmp/imagepipe.sock

# Where should this instance connect to replicate data from another one
# subscribe = tcp://127.0.0.1:9086
\t
[images]
# The root path for stored images
path = /tmp
\t
# Umask applied on the created images and intermediate directories
umask = 18 #0022
\t
# Number of threads performing image manipulations (convert instances)
io_threads = 1
\t
[imagemagick]
convert = /usr/bin/convert
# See http://www.imagemagick.org/script/resources.php#environment
[[env]]
MAGICK_THREAD_LIMIT = 1
MAGICK_TIME_LIMIT = 60
"""


class SeedTests:
    """The configuration file of the first imagepipe is valid here."""

    def test_it_loads_unchanged(self, tmp_path: Path) -> None:
        loaded = load(write(tmp_path, FIRST_IMAGEPIPE))
        assert (loaded.network.interface, loaded.network.port) == ("0.0.0.0", 8085)
        assert (loaded.replication.publish, loaded.replication.sync) == (
            "tcp://0.0.0.0:8086",
            "tcp://0.0.0.0:8087",
        )
        assert (loaded.images.path, loaded.images.umask, loaded.images.io_threads) == (
            Path("/tmp"),
            0o022,
            1,
        )
        assert dict(loaded.imagemagick.env) == {
            "MAGICK_THREAD_LIMIT": "1",
            "MAGICK_TIME_LIMIT": "60",
        }

    def test_it_loads_indented_as_its_readme_shows_it(self, tmp_path: Path) -> None:
        assert load(
            write(tmp_path, re.sub("^", "    ", FIRST_IMAGEPIPE, flags=re.MULTILINE))
        ) == load(write(tmp_path, FIRST_IMAGEPIPE))


class FileTests:
    """What is not a configuration file at all."""

    def test_a_missing_one_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(
            ConfigError,
            match=r"there is no file .*nothing.ini; start with a copy of imagepipe.ini.dist",
        ):
            load(tmp_path / "nothing.ini")

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="is a folder, not a configuration file"):
            load(tmp_path)

    def test_what_the_system_refuses_to_open(self, tmp_path: Path) -> None:
        loop = tmp_path / "loop.ini"
        loop.symlink_to(loop)
        with pytest.raises(ConfigError, match=r"loop\.ini cannot be read: Too many levels"):
            load(loop)

    def test_what_is_not_utf8_is_named_with_its_line(self, tmp_path: Path) -> None:
        [only] = problems(tmp_path, b"[images]\n# caf\xe9\npath = images\n")
        assert only.endswith("is not UTF-8: see line 2")

    def test_a_byte_order_mark_and_dos_line_ends_do_no_harm(self, tmp_path: Path) -> None:
        assert (
            load(write(tmp_path, b"\xef\xbb\xbf[images]\r\npath = images\r\n")).images.path
            == tmp_path / "images"
        )

    def test_a_huge_file_is_not_read_on(self, tmp_path: Path) -> None:
        [only] = problems(tmp_path, b"# \n" * 400_000)
        assert "larger than 1048576 bytes" in only

    def test_a_relative_path_of_the_file_itself(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path, "[images]\npath = images")
        monkeypatch.chdir(tmp_path)
        assert load(Path("imagepipe.ini")).images.path == tmp_path / "images"

    def test_an_empty_one_lacks_the_path(self, tmp_path: Path) -> None:
        assert problems(tmp_path, "") == [
            "[images] path: is missing; name a folder that is used for the images alone"
        ]
