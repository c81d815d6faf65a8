"""What the settings of encoders and decoders cost and give: why imagepipe has those that it has.
There is no goal: these are choices.

All by libvips, in a process of its own with one thread, as a worker has it.
"""

import importlib
import multiprocessing
import os
from pathlib import Path

from benchmarks import decoder_settings, encoder_settings
from benchmarks.results import Section, Table


def measure(folder: Path, *, quick: bool) -> Section:  # no file is written
    """All tables."""
    # Started anew, not forked: libvips reads its environment once.
    with multiprocessing.get_context("spawn").Pool(1, _begin) as pool:
        return Section(pool.apply(_tables, (), {"quick": quick}))


def _begin() -> None:
    os.environ |= {"VIPS_CONCURRENCY": "1", "VIPS_WARNING": "0"}
    importlib.import_module("pyvips").cache_set_max(0)


def _tables(*, quick: bool) -> list[Table]:
    return [*encoder_settings.tables(quick=quick), decoder_settings.table(quick=quick)]
