"""The render cache on a disk that is really full: a small one of its own, in a mount namespace that
ends with the process that fills it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.namespaces import needs_namespaces, small_disk

FILLER = ("-m", "tests.system.storage.fill_cache")


@needs_namespaces
class FullDiskTests:
    @pytest.mark.parametrize("options", ["size=19000k", "size=25001k"])
    def test_the_cache_leaves_room_to_others_and_is_never_an_error(
        self, tmp_path: Path, options: str
    ) -> None:
        assert filled(tmp_path, options, "bytes") == "whole\n"

    def test_inodes_that_run_out_are_a_full_disk_too(self, tmp_path: Path) -> None:
        assert filled(tmp_path, "size=50m,nr_inodes=500", "inodes") == "whole\n"


def filled(place: Path, options: str, what: str) -> str:
    """What the filler says of a disk that is mounted at `place`."""
    run = subprocess.run(
        [*small_disk(place, options), sys.executable, *FILLER, place / "root", what],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    return run.stdout
