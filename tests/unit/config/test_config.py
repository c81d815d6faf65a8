"""imagepipe.ini: what is accepted, what it means, and that everything wrong with it is said at
once.
"""

import re
from pathlib import Path

import pytest
from configobj import ConfigObj
from hypothesis import given
from hypothesis import strategies as st

from imagepipe.config import EngineChoice, Peer, Settings, load
from imagepipe.config.quantities import size, time, umask
from imagepipe.config.spec import CONFIGSPEC
from imagepipe.core.rendering.plan import RenderSettings
from imagepipe.errors import ConfigError
from tests.support.repository import ROOT

DIST = ROOT / "imagepipe.ini.dist"

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


def write(folder: Path, text: str | bytes) -> Path:
    """A configuration file in `folder`."""
    file = folder / "imagepipe.ini"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def settings(folder: Path, text: str = "") -> Settings:
    """The settings of a file that says `text`, and a path for the images unless `text` has one."""
    return load(write(folder, text if "[images]" in text else f"{text}\n[images]\npath = images\n"))


def option(folder: Path, section: str, line: str) -> Settings:
    """The settings of a file with `line` in `section`."""
    lines = (
        {section: line}
        if section == "images" and line.startswith("path")
        else {"images": "path = images", section: line}
    )
    if section == "images" and not line.startswith("path"):
        lines = {"images": f"path = images\n{line}"}
    return load(write(folder, "".join(f"[{name}]\n{text}\n" for name, text in lines.items())))


def problems(folder: Path, text: str | bytes) -> list[str]:
    """Everything that is wrong with a file that says `text`."""
    with pytest.raises(ConfigError) as caught:
        load(write(folder, text))
    return list(caught.value.problems)


def problem(folder: Path, section: str, line: str) -> str:
    """The one thing that is wrong with `line` in `section`."""
    with pytest.raises(ConfigError) as caught:
        option(folder, section, line)
    [only] = caught.value.problems
    return only


def uncommented(dist: str) -> str:
    """The text of imagepipe.ini.dist with every option of it in force."""
    return re.sub(r"^#(?=[a-z_]+ = )", "", dist, flags=re.MULTILINE)


def options(config: ConfigObj) -> set[tuple[str, str]]:
    """(section, option) of everything in a file."""
    found = {(section, name) for section in config.sections for name in config[section].scalars}
    return found | {("env", name) for name in config["imagemagick"]["env"] if name != "__many__"}


class DistTests:
    """imagepipe.ini.dist and the code say the same."""

    def test_it_has_every_option_and_no_other(self) -> None:
        specification = ConfigObj(
            CONFIGSPEC.split("\n"), interpolation=False, list_values=False, _inspec=True
        )
        dist = ConfigObj(uncommented(DIST.read_text()).split("\n"), interpolation=False)
        assert options(dist) == options(specification)

    def test_it_keeps_both_ports_to_this_machine_and_every_other_value_in_it_but_two_is_the_default(
        self, tmp_path: Path
    ) -> None:
        said = settings(tmp_path, uncommented(DIST.read_text()))
        loopback = "interface = 127.0.0.1\n"
        assumed = settings(
            tmp_path,
            f"[network]\n{loopback}[http]\n{loopback}port = 7000\n[images]\npath = images\n",
        )
        assert said == assumed

    def test_it_loads_as_it_is_without_a_warning(self, tmp_path: Path) -> None:
        # ImageMagick need not be there
        loaded = settings(tmp_path, DIST.read_text().replace("/usr/bin/convert", "/bin/sh"))
        assert loaded.http.port == 7000
        assert loaded.images.path == tmp_path / "images"
        assert loaded.warnings == ()

    def test_every_option_in_it_is_explained(self) -> None:
        for block in DIST.read_text().split("\n\n"):
            first = next(line for line in block.strip().splitlines() if not re.match(r"\[\w", line))
            assert first.startswith("# "), block


class DefaultTests:
    """What holds where the file says nothing: the table of the options."""

    def test_network(self, tmp_path: Path) -> None:
        network = settings(tmp_path).network
        assert (network.interface, network.port, network.endpoint) == ("0.0.0.0", 8085, None)
        assert (
            network.users,
            network.tls_certificate,
            network.tls_key,
            network.request_bytes_max,
        ) == (None, None, None, 64 << 20)

    def test_http(self, tmp_path: Path) -> None:
        http = settings(tmp_path).http
        assert (http.interface, http.port, http.endpoint) == ("0.0.0.0", None, None)
        assert http.extensions == ("jpg", "jpeg", "png", "gif", "webp", "avif")
        assert (http.width_max, http.quality_default, http.cache_bytes_max, http.status_users) == (
            1000,
            75,
            1 << 30,
            None,
        )
        assert (
            http.source_base,
            http.sources,
            http.allow_private_sources,
            http.outputs,
            http.secrets,
        ) == (None, (), False, (), ())

    def test_replication(self, tmp_path: Path) -> None:
        replication = settings(tmp_path).replication
        assert (replication.publish, replication.sync, replication.subscribe) == (None, None, ())
        assert (
            replication.acks_min,
            replication.ack_timeout_seconds,
            replication.keys,
            replication.cluster,
        ) == (0, 5.0, None, "imagepipe")

    def test_images(self, tmp_path: Path) -> None:
        images = settings(tmp_path).images
        assert (images.umask, images.io_threads, images.engine, images.queue) == (
            0o022,
            1,
            EngineChoice.AUTO,
            64,
        )
        assert (images.timeout_seconds, images.bytes_max, images.size_max) == (60.0, 32 << 20, 8192)

    def test_what_is_rendered_is_what_the_plan_assumes_too(self, tmp_path: Path) -> None:
        assert (
            settings(tmp_path).images.render
            == RenderSettings(pixels_max=100_000_000, strip=True, auto_orient=True, quality=85)
            == RenderSettings()
        )

    def test_imagemagick_and_graphite(self, tmp_path: Path) -> None:
        loaded = settings(tmp_path)
        assert loaded.imagemagick.convert == Path("/usr/bin/convert")
        assert loaded.imagemagick.env == {"MAGICK_THREAD_LIMIT": "1", "MAGICK_TIME_LIMIT": "60"}
        assert (loaded.graphite.host, loaded.graphite.port, loaded.graphite.prefix) == (
            None,
            2003,
            "stats.image_server",
        )


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


class QuantityTests:
    """Sizes, times, numbers, switches, the umask."""

    @given(st.integers(0, 4095), st.sampled_from(["KiB", "MiB", "GiB"]), st.sampled_from(["", " "]))
    def test_a_size_is_its_number_times_its_unit(self, number: int, unit: str, space: str) -> None:
        factor = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}[unit]
        for spelled in (unit, unit.lower(), unit.upper()):
            assert size(f"{number}{space}{spelled}", "0", "1024 TiB") == number * factor

    @given(st.integers(0, 2**40))
    def test_a_plain_number_is_bytes(self, number: int) -> None:
        assert size(str(number), "0", "1024 TiB") == number

    @given(
        st.integers(1, 100_000),
        st.sampled_from(["", "s", "m", "h", "d"]),
        st.sampled_from(["", " "]),
    )
    def test_a_time_is_its_number_times_its_unit(self, number: int, unit: str, space: str) -> None:
        factor = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
        assert time(f"{number}{space}{unit}".strip(), "200000 d") == number * factor

    @given(st.integers(0, 0o077))
    def test_a_umask_in_octal_is_what_it_says_however_it_is_written(self, mask: int) -> None:
        for text in (f"0{mask:o}", f"0{mask:03o}", f"0o{mask:o}", f"0o{mask:03o}"):
            assert umask(text) == mask

    @pytest.mark.parametrize(
        ("text", "mask"),
        [
            ("18", 0o022),
            ("022", 0o022),
            ("0022", 0o022),
            ("0o022", 0o022),
            ("0", 0),
            ("7", 7),
            ("00", 0),
        ],
    )
    def test_umasks(self, tmp_path: Path, text: str, mask: int) -> None:
        assert option(tmp_path, "images", f"umask = {text}").images.umask == mask

    @pytest.mark.parametrize(
        ("text", "octal", "decimal"),
        [("22", "022", "026"), ("77", "077", "0115"), ("10", "010", "012")],
    )
    def test_a_umask_that_could_be_either_is_refused(
        self, tmp_path: Path, text: str, octal: str, decimal: str
    ) -> None:
        found = problem(tmp_path, "images", f"umask = {text}")
        assert (
            found
            == f"[images] umask = {text}: is ambiguous: write {octal} if it is octal, {decimal} if"
            " it is decimal"
        )

    @pytest.mark.parametrize("text", ["0x12", "-1", "08", "0o9", "u=rwx", "1e1", "99999"])
    def test_what_is_no_umask(self, tmp_path: Path, text: str) -> None:
        assert "is not a umask" in problem(tmp_path, "images", f"umask = {text}")

    @pytest.mark.parametrize("text", ["0700", "0o777", "0100", "0200", "999"])
    def test_a_umask_that_locks_imagepipe_itself_out_is_refused(
        self, tmp_path: Path, text: str
    ) -> None:
        assert "must leave the owner all rights" in problem(tmp_path, "images", f"umask = {text}")

    @pytest.mark.parametrize(
        "text",
        ["64 MB", "64M", "MiB", "-1", "1,5 MiB", "1.5", "64  MiB", "0x10", "\u0661 MiB", "1e3"],
    )
    def test_what_is_no_size(self, tmp_path: Path, text: str) -> None:
        assert re.search(
            "is not a size|must be a single value",
            problem(tmp_path, "images", f"max_bytes = {text}"),
        )

    @pytest.mark.parametrize("text", ["5 sec", "1M", "-5", "1:30", "5 ms", "", "inf", "nan"])
    def test_what_is_no_time(self, tmp_path: Path, text: str) -> None:
        assert re.search("is not a time|is empty", problem(tmp_path, "images", f"timeout = {text}"))

    @pytest.mark.parametrize("text", ["0", "0 s", "0.0", "2 d"])
    def test_a_time_out_of_bounds(self, tmp_path: Path, text: str) -> None:
        assert (
            problem(tmp_path, "images", f"timeout = {text}")
            == f"[images] timeout = {text}: must be more than 0 and at most 1 d"
        )

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [("5 s", 5), ("1m", 60), ("60", 60), ("0.5 s", 0.5), ("1.5 m", 90), ("1 d", 86400)],
    )
    def test_times(self, tmp_path: Path, text: str, seconds: float) -> None:
        assert option(tmp_path, "images", f"timeout = {text}").images.timeout_seconds == seconds

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            (text, index == 0)
            for index, texts in enumerate(("yes true on 1 YES True", "no false off 0 NO Off"))
            for text in texts.split()
        ],
    )
    def test_switches(self, tmp_path: Path, text: str, value: bool) -> None:
        assert option(tmp_path, "images", f"strip = {text}").images.strip is value

    def test_what_is_no_switch(self, tmp_path: Path) -> None:
        assert (
            problem(tmp_path, "images", "strip = 2")
            == "[images] strip = 2: must be yes or no (or true, false, on, off, 1, 0)"
        )

    @pytest.mark.parametrize("text", ["100000000", "100 000 000", "100_000_000"])
    def test_digits_may_stand_in_groups(self, tmp_path: Path, text: str) -> None:
        assert option(tmp_path, "images", f"max_pixels = {text}").images.pixels_max == 100_000_000

    @pytest.mark.parametrize(
        ("section", "name", "least", "most"),
        [
            ("network", "port", 0, 65535),
            ("http", "port", 0, 65535),
            ("http", "maximum_width", 1, 65535),
            ("http", "default_quality", 1, 100),
            ("replication", "publish = tcp://a:1\nmin_acks", 0, 100),
            ("images", "io_threads", 1, 64),
            ("images", "queue", 0, 100_000),
            ("images", "max_pixels", 1, 10**10),
            ("images", "max_size", 1, 65535),
            ("images", "quality", 1, 100),
            ("graphite", "port", 1, 65535),
        ],
    )
    def test_whole_numbers_have_bounds(
        self, tmp_path: Path, section: str, name: str, least: int, most: int
    ) -> None:
        for number in (least, most):
            assert option(tmp_path, section, f"{name} = {number}")
        for text in (least - 1, most + 1, "many", "1.0", "0x1"):
            assert problem(tmp_path, section, f"{name} = {text}").endswith(
                f"must be a whole number from {least} to {most}"
            )

    @pytest.mark.parametrize(
        ("section", "name", "text"),
        [
            ("network", "max_request", "1000"),
            ("network", "max_request", "5 GiB"),
            ("images", "max_bytes", "0"),
            ("http", "cache_size", "1025 TiB"),
        ],
    )
    def test_sizes_have_bounds(self, tmp_path: Path, section: str, name: str, text: str) -> None:
        assert "must be at least " in problem(tmp_path, section, f"{name} = {text}")


class ValueTests:
    """Names, addresses, endpoints, URLs and lists."""

    @pytest.mark.parametrize("text", ["127.0.0.1", "::", "::1", "fe80::1%eth0"])
    def test_interfaces(self, tmp_path: Path, text: str) -> None:
        assert option(tmp_path, "network", f"interface = {text}").network.interface == text

    @pytest.mark.parametrize("text", ["localhost", "127.0.0.1:80", "1.2.3", "*", "256.0.0.1"])
    def test_what_is_no_interface(self, tmp_path: Path, text: str) -> None:
        assert "is not an IP address" in problem(tmp_path, "network", f"interface = {text}")

    @pytest.mark.parametrize("section", ["network", "http"])
    def test_hosts_are_kept_as_they_are_compared(self, tmp_path: Path, section: str) -> None:
        def hosts(line: str) -> tuple[str, ...]:
            found: tuple[str, ...] = getattr(option(tmp_path, section, line), section).hosts
            return found

        assert hosts("") == ()
        assert hosts("hosts = none") == ()
        assert hosts("hosts = Images.Example.org.") == ("images.example.org",)
        assert hosts("hosts = a.example, b.example, A.example") == ("a.example", "b.example")
        for wrong in (
            "https://a.example",
            "a.example:8085",
            "a.example/x",
            "*.example",
            "bücher.example",
            "a..b",
            "user@a.example",
        ):
            assert "is not a host" in problem(tmp_path, section, f"hosts = b.example, {wrong}")
        assert "is empty" in problem(tmp_path, section, 'hosts = ""')

    @pytest.mark.parametrize(
        "text",
        [
            "unix:/run/imagepipe.sock:mode=660",
            "systemd:domain=INET:index=0",
            r"tcp:8085:interface=127.0.0.1",
            "tcp6:80",
        ],
    )
    def test_endpoints(self, tmp_path: Path, text: str) -> None:
        assert option(tmp_path, "network", f"endpoint = {text}").network.endpoint == text
        assert option(tmp_path, "http", f"endpoint = {text}").http.endpoint == text

    @pytest.mark.parametrize(
        "text",
        ["localhost:80", "8085", "unix", "unix:", "http://localhost", "tcp://0.0.0.0:1", "stdio:"],
    )
    def test_what_is_no_endpoint(self, tmp_path: Path, text: str) -> None:
        assert "is not a server endpoint" in problem(tmp_path, "network", f"endpoint = {text}")

    @pytest.mark.parametrize(
        "text", ["graphite", "graphite.example.org", "10.0.0.1", "::1", "a-b_c.d."]
    )
    def test_hosts(self, tmp_path: Path, text: str) -> None:
        assert option(tmp_path, "graphite", f"host = {text}").graphite.host == text

    @pytest.mark.parametrize(
        "text",
        [
            "graphite:2003",
            "http://graphite",
            "a b",
            "a..b",
            "-a",
            "a" * 64,
            ".".join(["a" * 60] * 5),
        ],
    )
    def test_what_is_no_host(self, tmp_path: Path, text: str) -> None:
        assert "is not a host" in problem(tmp_path, "graphite", f"host = {text}")

    @pytest.mark.parametrize("text", ["a b", ".a", "a.", "a..b", "a/b"])
    def test_what_is_no_prefix(self, tmp_path: Path, text: str) -> None:
        assert "must consist of" in problem(tmp_path, "graphite", f"prefix = {text}")

    @pytest.mark.parametrize("text", ["two words", "-a", "a" * 65, "a/b"])
    def test_what_is_no_cluster(self, tmp_path: Path, text: str) -> None:
        assert "at most 64 letters" in problem(tmp_path, "replication", f"cluster = {text}")

    @pytest.mark.parametrize("name", ["auto", "vips", "imagemagick"])
    def test_engines(self, tmp_path: Path, name: str) -> None:
        text = f"[images]\npath = images\nengine = {name}\n[imagemagick]\nconvert = /bin/sh\n"
        assert settings(tmp_path, text).images.engine is EngineChoice(name)

    def test_what_is_no_engine(self, tmp_path: Path) -> None:
        assert (
            problem(tmp_path, "images", "engine = magick")
            == "[images] engine = magick: must be one of auto, vips, imagemagick"
        )

    @pytest.mark.parametrize(
        ("publish", "sync"),
        [
            ("tcp://0.0.0.0:8086", "tcp://0.0.0.0:8087"),
            ("tcp://*:8086", "tcp://*:8087"),
            ("tcp://[::1]:8086", "tcp://[::1]:8087"),
            ("tcp://eth0:1", "tcp://eth0:2"),
            ("tcp://127.0.0.1:0", "tcp://127.0.0.1:0"),
            ("ipc:///run/imagepipe.sock", "ipc:///run/imagepipe.sock.sync"),
        ],
    )
    def test_sync_is_beside_publish(self, tmp_path: Path, publish: str, sync: str) -> None:
        replication = option(tmp_path, "replication", f"publish = {publish}").replication
        assert (replication.publish, replication.sync) == (publish, sync)

    def test_sync_may_be_elsewhere(self, tmp_path: Path) -> None:
        assert (
            option(
                tmp_path, "replication", "publish = tcp://*:65535\nsync = tcp://*:1"
            ).replication.sync
            == "tcp://*:1"
        )

    @pytest.mark.parametrize(
        "text",
        [
            "tcp://0.0.0.0",
            "tcp://0.0.0.0:00",
            "tcp://0.0.0.0:65536",
            "0.0.0.0:8086",
            "tcp://:1",
            "ipc://run/a",
            "ipc:///",
            "ipc:///a/",
            "inproc://a",
        ],
    )
    def test_what_is_no_zeromq_endpoint(self, tmp_path: Path, text: str) -> None:
        assert "write tcp://HOST:PORT or ipc:///path/to/socket" in problem(
            tmp_path, "replication", f"publish = {text}"
        )

    def test_a_socket_path_that_the_system_would_cut(self, tmp_path: Path) -> None:
        assert "at most 102 bytes" in problem(
            tmp_path, "replication", f"publish = ipc:///{'a' * 102}"
        )
        assert option(tmp_path, "replication", f"publish = ipc:///{'a' * 101}")

    def test_one_peer_is_a_list_too(self, tmp_path: Path) -> None:
        assert option(tmp_path, "replication", "subscribe = tcp://a:1").replication.subscribe == (
            Peer(None, "tcp://a:1"),
        )

    def test_peers_may_have_names(self, tmp_path: Path) -> None:
        found = option(
            tmp_path, "replication", "subscribe = north@tcp://a:1, ipc:///b"
        ).replication.subscribe
        assert found == (Peer("north", "tcp://a:1"), Peer(None, "ipc:///b"))

    @pytest.mark.parametrize("text", ["a@tcp://a:1, a@tcp://b:1", "a@tcp://a:1, b@tcp://a:1"])
    def test_a_peer_twice(self, tmp_path: Path, text: str) -> None:
        assert (
            problem(tmp_path, "replication", f"subscribe = {text}")
            == f"[replication] subscribe = {text}: names a peer twice"
        )

    @pytest.mark.parametrize("text", ["@tcp://a:1", "a b@tcp://a:1", "a@", "a", "tcp://a:0"])
    def test_what_is_no_peer(self, tmp_path: Path, text: str) -> None:
        assert problem(tmp_path, "replication", f"subscribe = {text}").startswith(
            f"[replication] subscribe = {text}: "
        )

    @pytest.mark.parametrize(
        "text",
        [
            "http://example.org/a/",
            "https://example.org",
            "http://[::1]:8000/",
            "http://example.org/?id=",
        ],
    )
    def test_source_bases(self, tmp_path: Path, text: str) -> None:
        assert option(tmp_path, "http", f"source_base = {text}").http.source_base == text

    @pytest.mark.parametrize(
        "text",
        [
            "example.org",
            "ftp://example.org/",
            "http:///a",
            "http://a:b/",
            "http://a:0/",
            "http://[::1/",
            "http://u@a/",
            "http://a/ b",
            "'http://a/#b'",
        ],
    )
    def test_what_is_no_source_base(self, tmp_path: Path, text: str) -> None:
        assert "is not a URL to fetch from" in problem(tmp_path, "http", f"source_base = {text}")

    def test_a_comma_in_what_is_one_value_must_be_quoted(self, tmp_path: Path) -> None:
        assert problem(tmp_path, "http", "source_base = http://x/a,b").endswith(
            "must be a single value, but the comma makes it a list: quote it"
        )
        assert (
            option(tmp_path, "http", "source_base = 'http://x/a,b'").http.source_base
            == "http://x/a,b"
        )

    def test_sources_are_a_list(self, tmp_path: Path) -> None:
        assert option(tmp_path, "http", "sources = http://a/b").http.sources == ("http://a/b",)
        assert option(tmp_path, "http", "sources = http://a/b, https://c:1/").http.sources == (
            "http://a/b",
            "https://c:1/",
        )

    @pytest.mark.parametrize("text", ["http://a/?b", "http://a/%2e", "http://a/../b"])
    def test_a_source_is_a_plain_path(self, tmp_path: Path, text: str) -> None:
        assert "a source consists of a scheme, a host" in problem(
            tmp_path, "http", f"sources = {text}"
        )

    def test_extensions_are_a_list(self, tmp_path: Path) -> None:
        assert option(tmp_path, "http", "extensions = jpg").http.extensions == ("jpg",)
        assert option(tmp_path, "http", "extensions = jpg, png, jpg,").http.extensions == (
            "jpg",
            "png",
        )

    @pytest.mark.parametrize("text", ["svg", ".jpg", "JPG", "auto"])
    def test_what_is_no_extension(self, tmp_path: Path, text: str) -> None:
        assert "is not one of jpg," in problem(tmp_path, "http", f"extensions = png, {text}")

    def test_outputs_are_a_list(self, tmp_path: Path) -> None:
        names = ("w500.jpg", "x300.webp", "300x400-q60.jpg", "full_size.auto", "w1-q100.png")
        assert option(tmp_path, "http", f"outputs = {', '.join(names)}").http.outputs == names

    @pytest.mark.parametrize(
        "text",
        [
            "w0.jpg",
            "500.jpg",
            "w500",
            "w500.svg",
            "w500-q0.jpg",
            "w500-q101.jpg",
            "full_size-q.jpg",
            "a/w500.jpg",
        ],
    )
    def test_what_is_no_output(self, tmp_path: Path, text: str) -> None:
        assert "is not the name of a rendition" in problem(tmp_path, "http", f"outputs = {text}")

    def test_an_empty_value_is_a_problem_and_none_is_not(self, tmp_path: Path) -> None:
        # An empty `users` is what a template leaves behind that could not fill it in: it must not
        # mean "no password".
        assert "is empty" in problem(tmp_path, "network", "users =")
        assert "is empty" in problem(tmp_path, "network", "users = # none")
        assert "is an empty list" in problem(tmp_path, "http", "secrets = ,")
        assert option(tmp_path, "network", "users = none").network.users is None

    def test_only_what_may_be_absent_can_be_none(self, tmp_path: Path) -> None:
        assert "must be a whole number" in problem(tmp_path, "network", "port = none")
        assert option(tmp_path, "http", "port = none").http.port is None


class EnvironmentTests:
    """`[imagemagick] [[env]]` is free."""

    def test_a_variable_adds_to_the_defaults(self, tmp_path: Path) -> None:
        env = option(
            tmp_path,
            "imagemagick",
            "[[env]]\nMAGICK_TIME_LIMIT = 5\nMAGICK_MEMORY_LIMIT = 256MiB\nEMPTY = ''",
        ).imagemagick.env
        assert env == {
            "MAGICK_THREAD_LIMIT": "1",
            "MAGICK_TIME_LIMIT": "5",
            "MAGICK_MEMORY_LIMIT": "256MiB",
            "EMPTY": "",
        }

    def test_a_list_is_none_of_its_values(self, tmp_path: Path) -> None:
        found = problem(tmp_path, "imagemagick", "[[env]]\nA = b, c")
        assert (
            found
            == "[imagemagick] [[env]] A: must be a single value, but the comma makes it a list:"
            " quote it"
        )

    @pytest.mark.parametrize("name", ["A-B", "1A", "__many__", "A B"])
    def test_a_variable_has_a_name_that_can_be_one(self, tmp_path: Path, name: str) -> None:
        found = problem(tmp_path, "imagemagick", f"[[env]]\n{name} = 1")
        assert found == f"[imagemagick] [[env]] {name}: is not the name of an environment variable"


class PathTests:
    """Files and folders, and where the images may be."""

    def test_relative_paths_start_at_the_file(self, tmp_path: Path) -> None:
        for name in ("users", "cert.pem", "key.pem", "keys.txt"):
            (tmp_path / name).write_text("secret\n")
        (tmp_path / "curve").mkdir()
        loaded = settings(
            tmp_path,
            "[network]\nusers = users\ntls_certificate = ./cert.pem\ntls_key ="
            " key.pem\n[http]\nsecrets_file = keys.txt\n[replication]\nkeys = curve\n",
        )
        assert (loaded.network.users, loaded.network.tls_certificate) == (
            tmp_path / "users",
            tmp_path / "cert.pem",
        )
        assert (loaded.network.tls_key, loaded.replication.keys) == (
            tmp_path / "key.pem",
            tmp_path / "curve",
        )
        assert loaded.http.secrets == ("secret",)

    def test_a_file_that_is_not_there_or_not_one(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        assert (
            problem(tmp_path, "network", "users = nobody")
            == f"[network] users = nobody: there is no file {tmp_path}/nobody"
        )
        assert (
            problem(tmp_path, "network", "users = folder")
            == f"[network] users = folder: {tmp_path}/folder is not a file"
        )
        assert "there is no folder" in problem(tmp_path, "replication", "keys = imagepipe.ini")

    def test_the_home_is_not_known(self, tmp_path: Path) -> None:
        assert "write the full path" in problem(tmp_path, "images", "path = ~/images")

    def test_secrets_from_a_file_are_its_lines(self, tmp_path: Path) -> None:
        (tmp_path / "keys").write_bytes(b"\xef\xbb\xbf one, with # anything \r\n\n two\n")
        assert option(tmp_path, "http", "secrets_file = keys").http.secrets == (
            "one, with # anything",
            "two",
        )

    @pytest.mark.parametrize(
        ("content", "why"),
        [(b"\n \n", "is empty"), (b"\xff", "is not UTF-8"), (b"a\0b", "control characters")],
    )
    def test_a_file_without_secrets(self, tmp_path: Path, content: bytes, why: str) -> None:
        (tmp_path / "keys").write_bytes(content)
        assert why in problem(tmp_path, "http", "secrets_file = keys")

    def test_secrets_stand_in_the_file_or_beside_it_not_both(self, tmp_path: Path) -> None:
        (tmp_path / "keys").write_text("a")
        found = problem(tmp_path, "http", "secrets = b\nsecrets_file = keys")
        assert found == "[http] secrets_file: secrets is set too; keep one of the two"

    def test_secrets_are_not_in_the_representation(self, tmp_path: Path) -> None:
        assert "hush" not in repr(option(tmp_path, "http", "secrets = hush"))

    @pytest.mark.parametrize(
        "path", ["/", "/etc", "/usr/", "/var/../etc", "//", "/proc/1", "/sys/x"]
    )
    def test_a_folder_of_the_system_is_not_for_images(self, tmp_path: Path, path: str) -> None:
        assert "is a system folder" in problem(tmp_path, "images", f"path = {path}")

    @pytest.mark.parametrize("path", [".", "images/.."])
    def test_nor_is_the_folder_of_the_configuration(self, tmp_path: Path, path: str) -> None:
        assert problem(tmp_path, "images", f"path = {path}").endswith(
            "is the folder that contains imagepipe.ini; name a separate folder, such as images"
        )

    def test_nor_is_anything_in_imagepipes_own(self, tmp_path: Path) -> None:
        assert "holds imagepipe's own files" in problem(tmp_path, "images", "path = a/.imagepipe/b")

    def test_nor_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for path in ("file", "file/images"):
            assert "not a folder" in problem(tmp_path, "images", f"path = {path}")

    def test_a_link_to_a_folder_is_kept_as_it_is_written(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to("real")
        assert option(tmp_path, "images", "path = link").images.path == tmp_path / "link"

    def test_a_folder_above_the_configuration_is_warned_of(self, tmp_path: Path) -> None:
        inner = tmp_path / "etc" / "imagepipe"
        inner.mkdir(parents=True)
        [warning] = option(inner, "images", "path = ../..").warnings
        assert warning.endswith("so a web server that serves the images also serves that file")

    @pytest.mark.parametrize("name", ["users", "tls_key", "tls_certificate"])
    def test_what_must_stay_secret_does_not_lie_among_the_images(
        self, tmp_path: Path, name: str
    ) -> None:
        (tmp_path / "images").mkdir()
        (tmp_path / "images" / "file").touch()
        with pytest.raises(
            ConfigError,
            match=(
                rf"\[network\] {name} = .*: lies inside \[images\] path, which is served; move it"
                r" elsewhere"
            ),
        ):
            option(tmp_path, "network", f"{name} = images/file")


class TogetherTests:
    """What options must be to each other."""

    @pytest.mark.parametrize(
        ("one", "other"), [("tls_certificate", "tls_key"), ("tls_key", "tls_certificate")]
    )
    def test_a_certificate_and_its_key_go_together(
        self, tmp_path: Path, one: str, other: str
    ) -> None:
        (tmp_path / "file").touch()
        assert (
            problem(tmp_path, "network", f"{one} = file")
            == f"[network] {one}: needs {other} as well"
        )
        assert (
            problem(tmp_path, "network", f"{one} = file\n{other} = none")
            == f"[network] {one}: needs {other} as well"
        )

    def test_there_is_one_certificate(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        lines = "endpoint = ssl:8443:privateKey=key.pem\ntls_certificate = file\ntls_key = file"
        assert "has its own certificate" in problem(tmp_path, "network", lines)

    @pytest.mark.parametrize("section", ["network", "http"])
    def test_an_endpoint_stands_in_place_of_interface_and_port(
        self, tmp_path: Path, section: str
    ) -> None:
        found = problem(tmp_path, section, "endpoint = unix:/a\nport = 1")
        assert (
            found == f"[{section}] endpoint: replaces interface and port; remove port, or endpoint"
        )

    def test_two_servers_need_two_ports(self, tmp_path: Path) -> None:
        assert (
            problem(tmp_path, "http", "port = 8085")
            == "[http] port = 8085: is also the port of [network]; use two different ports"
        )
        assert (
            settings(
                tmp_path,
                "[network]\ninterface = 127.0.0.1\n[http]\ninterface = 127.0.0.2\nport = 8085\n",
            ).http.port
            == 8085
        )
        assert settings(tmp_path, "[network]\nport = 0\n[http]\nport = 0\n").http.port == 0

    def test_replication(self, tmp_path: Path) -> None:
        assert (
            problem(tmp_path, "replication", "sync = tcp://a:1")
            == "[replication] sync: needs publish as well"
        )
        assert "use two different endpoints" in problem(
            tmp_path, "replication", "publish = tcp://a:1\nsync = tcp://a:1"
        )
        assert "there is no next port for sync" in problem(
            tmp_path, "replication", "publish = tcp://a:65535"
        )
        assert "this node's own" in problem(
            tmp_path, "replication", "publish = tcp://a:1\nsubscribe = tcp://a:1"
        )
        assert "both must be tcp, or both ipc" in problem(
            tmp_path, "replication", "publish = tcp://a:1\nsync = ipc:///a"
        )

    def test_confirmations_need_someone_who_can_confirm(self, tmp_path: Path) -> None:
        assert "min_acks: needs publish" in problem(
            tmp_path, "replication", "min_acks = 1\nsubscribe = tcp://a:1"
        )
        assert (
            option(
                tmp_path, "replication", "min_acks = 1\npublish = tcp://a:1"
            ).replication.acks_min
            == 1
        )

    def test_with_keys_every_peer_has_a_name(self, tmp_path: Path) -> None:
        (tmp_path / "curve").mkdir()
        assert "needs a name with keys" in problem(
            tmp_path, "replication", "keys = curve\nsubscribe = tcp://a:1"
        )
        assert option(
            tmp_path, "replication", "keys = curve\nsubscribe = north@tcp://a:1"
        ).replication.subscribe

    @pytest.mark.parametrize(
        ("lines", "is_exposed"),
        [
            ("publish = tcp://0.0.0.0:8086", True),
            ("publish = tcp://10.0.0.1:8086", True),
            ("publish = tcp://127.0.0.1:8086", False),
            ("publish = tcp://[::1]:8086", False),
            ("publish = ipc:///run/imagepipe", False),
            ("publish = tcp://0.0.0.0:8086\nkeys = curve", False),
            ("subscribe = tcp://10.0.0.1:8086", False),
        ],
    )
    def test_publishing_to_anyone_is_worth_a_warning(
        self, tmp_path: Path, lines: str, is_exposed: bool
    ) -> None:
        (tmp_path / "curve").mkdir()
        assert (
            any(
                "without keys, anyone" in warning
                for warning in option(tmp_path, "replication", lines).warnings
            )
            == is_exposed
        )

    def test_the_imagemagick_engine_needs_convert(self, tmp_path: Path) -> None:
        text = "[images]\npath = images\nengine = {engine}\n[imagemagick]\nconvert = {convert}\n"
        [only] = problems(tmp_path, text.format(engine="imagemagick", convert="/nowhere/convert"))
        assert only.startswith("[imagemagick] convert = /nowhere/convert: there is no such program")
        [warning] = settings(
            tmp_path, text.format(engine="auto", convert="/nowhere/convert")
        ).warnings
        assert warning.startswith(
            "[imagemagick] convert = /nowhere/convert: there is no such program"
        )
        assert (
            settings(tmp_path, text.format(engine="vips", convert="/nowhere/convert")).warnings
            == ()
        )

    def test_convert_must_be_executable(self, tmp_path: Path) -> None:
        (tmp_path / "convert").touch(0o644)
        [warning] = option(tmp_path, "imagemagick", f"convert = {tmp_path}/convert").warnings
        assert "is not executable" in warning

    def test_convert_is_a_whole_path(self, tmp_path: Path) -> None:
        assert "is not a full path" in problem(tmp_path, "imagemagick", "convert = convert")

    def test_images_that_cannot_arrive_are_warned_of(self, tmp_path: Path) -> None:
        [warning] = settings(
            tmp_path,
            "[images]\npath = images\nmax_bytes = 50 MiB\n[imagemagick]\nconvert = /bin/sh\n",
        ).warnings
        assert "more than the 67108864 bytes that [network] max_request allows" in warning
