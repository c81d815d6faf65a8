"""`--profile`: where the time of each call goes, in the log."""

import re
from pathlib import Path

import pytest

from imagepipe.runtime.profiling import STORE_STAGES
from tests.support.daemon_process import running, text

RENDERED_BY = {"vips": {"decode", "resize", "encode"}, "imagemagick": {"render"}}


class ProfileTests:
    """A line for each call, behind that of its request."""

    @pytest.mark.parametrize("engine", RENDERED_BY)
    def test_a_store_has_a_line_with_its_stages_which_add_up(
        self, tmp_path: Path, picture: bytes, engine: str
    ) -> None:
        with running(tmp_path, {"images": {"engine": engine}}, arguments=("--profile",)) as daemon:
            daemon.proxy.store_image(text(picture), "a.jpg", None, {"": [20, 20], "_s": [10, 10]})
            daemon.stop()
        (line,) = [line for line in daemon.log if "a.jpg' took" in line]
        milliseconds = {
            name: float(value)
            for name, value in re.findall(r"(\w+) (\d+\.\d)", line.split(" took ")[1])
        }
        ours = {
            "receive",
            "parse",
            "queue",
            "base64",
            "open",
            "hash",
            "flush",
            "commit",
            "confirm",
            "answer",
            "else",
        }
        assert milliseconds.keys() >= ours | RENDERED_BY[engine]
        assert milliseconds.keys() <= {*STORE_STAGES, "else"}
        total = re.search(
            r"(\d+) ms in all",
            next(line for line in daemon.log if "ms in all" in line and "store_image" in line),
        )
        assert total
        assert sum(milliseconds.values()) == pytest.approx(int(total[1]), abs=2.0)

    def test_without_it_there_is_none(self, tmp_path: Path, picture: bytes) -> None:
        with running(tmp_path) as daemon:
            daemon.proxy.store_image(text(picture), "a.jpg", None, [10, 10])
            daemon.stop()
        assert not [line for line in daemon.log if " took " in line]
