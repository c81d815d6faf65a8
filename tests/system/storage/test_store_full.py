"""A disk that is really full: a small one of its own, in a mount namespace that ends with the
process that fills it. Needs no root.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.namespaces import needs_namespaces, small_disk

FILLER = ("-m", "tests.system.storage.fill_store")


@needs_namespaces
class FullDiskTests:
    @pytest.mark.parametrize("kibibytes", [7_900, 8_000, 9_137, 10_240])
    def test_every_refused_call_leaves_no_trace_and_a_delete_makes_room(
        self, tmp_path: Path, kibibytes: int
    ) -> None:
        run = subprocess.run(
            [
                *small_disk(tmp_path, f"size={kibibytes}k"),
                sys.executable,
                *FILLER,
                tmp_path / "images",
            ],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=False,
        )
        assert run.stdout == "whole\n"
