"""Numbers as people read them."""

import pytest

from imagepipe.core.units import format_bytes, format_seconds, plural


class UnitsTests:
    """Short, and with a unit."""

    @pytest.mark.parametrize(
        ("count", "shown"),
        [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1 << 20, "1.0 MiB"),
            (5 << 40, "5.0 TiB"),
            (2 << 60, "2048.0 PiB"),
        ],
    )
    def test_bytes_are_short(self, count: int, shown: str) -> None:
        assert format_bytes(count) == shown

    @pytest.mark.parametrize(
        ("seconds", "shown"),
        [
            (0.04, "0.0 s"),
            (9.9, "9.9 s"),
            (10, "10 s"),
            (59.9, "59 s"),
            (60, "1 min 0 s"),
            (3599, "59 min 59 s"),
            (3600, "1 h 0 min"),
            (90000, "1 d 1 h"),
        ],
    )
    def test_durations_are_short(self, seconds: float, shown: str) -> None:
        assert format_seconds(seconds) == shown

    def test_one_is_not_many(self) -> None:
        assert [plural(count, "change") for count in (0, 1, 12)] == [
            "0 changes",
            "1 change",
            "12 changes",
        ]
