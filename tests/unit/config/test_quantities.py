"""Sizes, times, numbers, switches and the umask."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipe.config.quantities import size, time, umask
from tests.support.config_files import option, problem


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
    def test_an_invalid_umask_is_refused(self, tmp_path: Path, text: str) -> None:
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
    def test_an_invalid_size_is_refused(self, tmp_path: Path, text: str) -> None:
        assert re.search(
            "is not a size|must be a single value",
            problem(tmp_path, "images", f"max_bytes = {text}"),
        )

    @pytest.mark.parametrize("text", ["5 sec", "1M", "-5", "1:30", "5 ms", "", "inf", "nan"])
    def test_an_invalid_time_is_refused(self, tmp_path: Path, text: str) -> None:
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

    def test_an_invalid_switch_is_refused(self, tmp_path: Path) -> None:
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
