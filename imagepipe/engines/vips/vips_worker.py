"""The child process in which libvips runs: `python -m imagepipe.engines.vips.vips_worker DESCRIPTOR
MEMORY_BYTES TIMEOUT_SECONDS`.

It answers the requests (see `worker_messages`) that arrive on DESCRIPTOR, one after another, and
exits when that is closed. A decoder that crashes, leaks or hangs takes down only this process: its
memory is bounded, it dumps no core, and an alarm ends a job whose daemon has died.
"""

import contextlib
import errno
import mmap
import os
import resource
import signal
import socket
import sys
import traceback
from pathlib import Path

import pyvips

from imagepipe.core.rendering import formats
from imagepipe.core.rendering.plan import RenderPlan
from imagepipe.engines import process_limits
from imagepipe.engines.failure_reasons import of_kind, reason
from imagepipe.engines.files import exif_traps, heif_items
from imagepipe.engines.vips import worker_messages
from imagepipe.engines.vips.vips_header import allow_only_our_loaders, read_facts
from imagepipe.engines.vips.vips_render import render
from imagepipe.engines.vips.worker_messages import (
    Failed,
    Forget,
    Open,
    Opened,
    Render,
    Rendered,
    Reply,
)
from imagepipe.runtime.profiling import StageTimer

DESCRIPTORS_MAX = 64

_DISK = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"}


class _Job:
    """The image that was opened last, or none."""

    def __init__(self) -> None:
        self._format = formats.JPEG
        self._image: exif_traps.Buffer | None = None

    def answer(self, request: Open | Render, descriptor: int | None) -> Reply:
        """Do what `request` asks for."""
        try:
            if isinstance(request, Open):
                return self._open(request.format, descriptor)
            return self._render(request.plan, Path(request.folder), measured=request.measured)
        except pyvips.Error as error:
            return Failed(
                f"the image cannot be {'read' if isinstance(request, Open) else 'rendered'}:"
                f" {reason(str(error))}"
            )
        except exif_traps.TooManyBlocksError as error:
            return Failed(f"the image cannot be read: {error}")
        except MemoryError:
            return Failed("the image cannot be rendered: it takes too much memory")
        except OSError as error:
            why = _DISK.get(error.errno or 0)
            what = (
                "the image cannot be read"
                if isinstance(request, Open)
                else "the outputs cannot be written"
            )
            return Failed(f"{what}: {why or os.strerror(error.errno or 0)}", full=why is not None)
        except Exception:  # a bug here is reported, the worker lives on
            return Failed(traceback.format_exc(), internal=True)

    def forget(self) -> None:
        """Let go of the image."""
        self._image = None

    def _open(self, format: str, descriptor: int | None) -> Reply:
        assert descriptor is not None
        self._format = formats.named(format)
        try:
            image = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
        finally:
            os.close(descriptor)
        if why := of_kind(image[:64], self._format):
            return Failed(f"the image cannot be read: {why}")
        if self._format in (formats.AVIF, formats.HEIC) and heif_items.exif_is_scattered(image):
            return Failed("the image cannot be read: its EXIF block is in several pieces")
        self._image = exif_traps.without_traps(image, self._format)
        return Opened(read_facts(self._image, self._format))

    def _render(self, plan: RenderPlan, folder: Path, *, measured: bool) -> Reply:
        assert self._image is not None
        stages = StageTimer()
        with stages.on_this_thread() if measured else contextlib.nullcontext():
            render(self._image, plan, folder)
        return Rendered(stages.seconds)


def main(descriptor: int, memory_bytes: int, timeout_seconds: float) -> None:
    """Answer requests until the daemon closes its end."""
    process_limits.lower(resource.RLIMIT_CORE, 0)
    process_limits.lower(resource.RLIMIT_AS, memory_bytes)
    process_limits.lower(resource.RLIMIT_NOFILE, DESCRIPTORS_MAX)
    # The daemon's terminal is not ours: Ctrl-C there drains, and closes this link.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    pyvips.cache_set_max(0)
    allow_only_our_loaders()
    link = socket.socket(fileno=descriptor)
    with contextlib.suppress(ConnectionError):  # the daemon has closed its end, perhaps by dying
        _serve(link, timeout_seconds)


def _serve(link: socket.socket, timeout_seconds: float) -> None:
    job = _Job()
    worker_messages.send(link, worker_messages.Started())
    while received := worker_messages.receive_request(link):
        if isinstance(received.request, Forget):
            job.forget()
            continue
        # A second more than the daemon waits, so that it is the daemon that says why.
        signal.alarm(int(timeout_seconds) + 2)
        worker_messages.send(link, job.answer(received.request, received.descriptor))
        signal.alarm(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
