"""twistd with a libvips worker that does not render: `python stubbed_renders.py TWISTD ARGUMENTS`.

Everything but the work of libvips stays: the worker process, its messages, and output files of the
usual size. What is left is the daemon's own cost, and the rate at which it would feed any number
of cores. Run as the worker: `python stubbed_renders.py worker DESCRIPTOR MEMORY_BYTES TIMEOUT`.
"""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

WORKER = "imagepipe.engines.vips.vips_worker"
BYTES_PER_PIXEL = 0.25
"""About what a JPEG of quality 85 takes."""


def _worker(arguments: list[str]) -> None:
    from imagepipe.engines.vips import vips_worker

    vips_worker.render = _write  # type: ignore[assignment, attr-defined]
    vips_worker.main(int(arguments[0]), int(arguments[1]), float(arguments[2]))


def _write(_: object, plan: Any, folder: Path) -> None:
    for at, output in enumerate(plan.outputs):
        size = int(output.size.width * output.size.height * BYTES_PER_PIXEL)
        (folder / str(at)).write_bytes(os.urandom(16) + bytes(size))


class _Popen(subprocess.Popen):  # type: ignore[type-arg]
    """Starts this file where the worker would be started."""

    def __init__(self, command: list[str], *rest: Any, **options: Any) -> None:
        if WORKER in command:
            after = command[command.index(WORKER) + 1 :]
            command = [sys.executable, "-P", __file__, "worker", *after]
        super().__init__(command, *rest, **options)


def _twistd(arguments: list[str]) -> None:
    subprocess.Popen = _Popen  # type: ignore[assignment, misc]
    sys.argv = arguments
    runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        _worker(sys.argv[2:])
    else:
        _twistd(sys.argv[1:])
