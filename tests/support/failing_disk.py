"""What fills a disk, and a disk that fails."""

import contextlib
import subprocess
from collections.abc import Iterator

import numpy as np
from PIL import Image

from tests.support.daemon_process import DaemonProcess
from tests.support.gradients import encoded


@contextlib.contextmanager
def failing_flushes(daemon: DaemonProcess) -> Iterator[None]:
    """From now on every flush that the daemon asks for fails with EIO."""
    command = [
        "strace",
        "-f",
        "-e",
        "trace=fsync,fdatasync",
        "-e",
        "inject=fsync,fdatasync:error=EIO",
        "-p",
        str(daemon.process.pid),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr
        assert "attached" in strace.stderr.readline()
        yield
        strace.stderr.read()


def noise(seed: int) -> bytes:
    """Some 600 KB of PNG that nothing else equals."""
    values = np.random.default_rng(seed).integers(0, 256, (450, 450, 3), dtype=np.uint8)
    return encoded(Image.fromarray(values), "PNG")
