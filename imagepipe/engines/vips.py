"""The fast engine: libvips, in worker processes of its own (design.md, section 11).

A job takes an idle worker, or starts one, and has it for itself from `open` until its end: so there are never more workers than threads that
render. Afterwards the worker is idle again, unless

    the job failed in a way that leaves it unknown (it died, it hung: killed)      that job alone fails, the next starts another
    it has done `jobs_max` jobs, or its memory grew over `memory_kept_bytes`       it is told to end
"""

import os
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from twisted.logger import Logger

import imagepipe
from imagepipe.core.formats import AVIF, GIF, JPEG, PNG, TIFF, WEBP, Format
from imagepipe.core.plan import RenderPlan, SourceFacts
from imagepipe.engines import messages
from imagepipe.engines.memory_file import memory_file
from imagepipe.errors import InternalError, NotStored

FORMATS = (JPEG, PNG, GIF, WEBP, AVIF, TIFF)
"""What this engine reads."""

_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LC_ALL": "C.UTF-8",
    "PYTHONPATH": str(Path(imagepipe.__file__).parent.parent),
    "VIPS_CONCURRENCY": "1",
    "VIPS_BLOCK_UNTRUSTED": "1",
    "VIPS_WARNING": "0",  # set to anything: libvips does not print what a decoder grumbles about
    "MALLOC_ARENA_MAX": "2",  # glibc's arenas are what makes memory grow and never return
}

_log = Logger()
_Reply = TypeVar("_Reply", messages.Opened, messages.Rendered)


class NotRead(NotStored):
    """libvips does not read the header; another engine may."""


class VipsEngine:
    """An Engine; see `engine`.

    `timeout_seconds` bounds a job from its opening to its last output. `pixels_max` is `max_pixels`: a worker's address space is bounded to what so many
    may take, or to `memory_bytes`. Any thread may call anything; `close` only when no job is under way.
    """

    def __init__(
        self,
        timeout_seconds: float = 60.0,
        pixels_max: int = 100_000_000,
        jobs_max: int = 500,
        memory_kept_bytes: int = 256 << 20,
        memory_bytes: int | None = None,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        # Measured: an idle worker maps 70 to 190 MiB; decoding takes 4 bytes a pixel, progressive JPEG 9, AVIF to read or write up to 24.
        self._memory_bytes = memory_bytes or (1 << 30) + 24 * pixels_max
        self._jobs_max = jobs_max
        self._memory_kept_bytes = memory_kept_bytes
        self._idle: deque[_Worker] = deque()  # appended and popped at the right: what has just worked is warm
        self._workers: set[_Worker] = set()  # all that were started and not yet ended

    @property
    def workers(self) -> tuple[int, ...]:
        """The process ids of its workers, idle and at work."""
        return tuple(sorted(worker.process_id for worker in self._workers.copy()))

    def start(self, count: int) -> None:
        """Start `count` workers, without waiting until they are ready."""
        for _ in range(count):
            self._idle.append(self._start_worker())

    @contextmanager
    def open(self, image: bytes, format: Format) -> Iterator["VipsSource"]:
        """See Engine. Raises NotRead where libvips cannot read what it recognises."""
        if format not in FORMATS:
            raise NotRead(f"a {format} image needs ImageMagick (engine = auto)")
        worker = self._take()
        worker.deadline = time.monotonic() + self._timeout_seconds
        try:
            with memory_file(image) as descriptor:
                opened = worker.ask(messages.Open(format.name), messages.Opened, descriptor)
            # The format came back as a copy; there is one object for each.
            yield VipsSource(replace(opened.facts, format=format), worker)
        finally:
            self._put_back(worker)

    def close(self) -> None:
        """See Engine."""
        while self._idle:
            self._end(self._idle.pop())

    def _take(self) -> "_Worker":
        while True:
            try:
                worker = self._idle.pop()
            except IndexError:
                return self._start_worker()
            if worker.alive:
                return worker
            self._end(worker)

    def _put_back(self, worker: "_Worker") -> None:
        worker.forget()
        if worker.alive and worker.jobs < self._jobs_max and worker.memory_bytes <= self._memory_kept_bytes:
            self._idle.append(worker)
        else:
            self._end(worker)

    def _start_worker(self) -> "_Worker":
        worker = _Worker(self._memory_bytes, self._timeout_seconds)
        self._workers.add(worker)
        return worker

    def _end(self, worker: "_Worker") -> None:
        worker.end()
        self._workers.discard(worker)


class VipsSource:
    """A Source; see `engine`."""

    def __init__(self, facts: SourceFacts, worker: "_Worker") -> None:
        self.facts = facts
        self._worker = worker

    def render(self, plan: RenderPlan, folder: Path) -> None:
        """See Source."""
        self._worker.ask(messages.Render(plan, str(folder.absolute())), messages.Rendered)


class _Worker:
    """A worker process, and this end of the link to it. Once a request had no proper reply, it is dead."""

    def __init__(self, memory_bytes: int, timeout_seconds: float) -> None:
        self.jobs = 0
        self.deadline = 0.0
        self._timeout_seconds = timeout_seconds
        self._link, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "imagepipe.engines.vips_worker", str(theirs.fileno()), str(memory_bytes), str(timeout_seconds)],
                cwd="/",
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                # Not in the terminal's process group: what is typed there is for the daemon.
                process_group=0,
            )

    @property
    def process_id(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def memory_bytes(self) -> int:
        """What it holds, without what it shares (the image among it); 0 if it is gone."""
        try:
            fields = Path(f"/proc/{self._process.pid}/statm").read_text(encoding="ascii").split()
        except OSError:
            return 0
        return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")

    def ask(self, request: messages.Open | messages.Render, expected: type[_Reply], descriptor: int | None = None) -> _Reply:
        """The reply to `request`. Raises NotStored, or InternalError."""
        try:
            self._link.settimeout(max(self.deadline - time.monotonic(), 0.001))
            messages.send(self._link, request, descriptor)
            reply = messages.receive_reply(self._link)
        except TimeoutError:
            self._kill()
            raise NotStored(f"rendering took longer than {self._timeout_seconds:g} s (timeout)") from None
        except (OSError, EOFError):
            self._kill()
            _log.warn("a vips worker died: exit status {status}", status=self._process.returncode)
            raise NotStored("the image crashed its decoder") from None
        except BaseException:
            self._kill()
            raise
        if isinstance(reply, expected):
            return reply
        assert isinstance(reply, messages.Failed)
        if reply.internal:
            _log.error("a vips worker failed:\n{why}", why=reply.why)
            raise InternalError
        raise (NotRead if isinstance(request, messages.Open) else NotStored)(reply.why)

    def forget(self) -> None:
        """The job is over."""
        self.jobs += 1
        try:
            self._link.settimeout(1.0)
            messages.send(self._link, messages.Forget())
        except OSError:
            self._kill()

    def end(self) -> None:
        """End it, and take in its exit status; an idle worker ends by itself when its link is closed, another is killed."""
        self._link.close()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._kill()

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()
