"""The fast engine: libvips, in worker processes of its own (docs/design/architecture.md,
"Rendering").

A job takes an idle worker, or starts one, and has it for itself from `open` until its end: so there
are never more workers than threads that render. Afterwards the worker is idle again, unless

    the job failed in a way that leaves it unknown (it died, it hung: killed)      that job alone
        fails, the next starts another
    it has done `jobs_max` jobs, or its memory grew over `memory_kept_bytes`       it is told to end
"""

import contextlib
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from imagepipe.core.rendering.formats import AVIF, GIF, HEIC, JPEG, PNG, TIFF, WEBP, Format
from imagepipe.core.rendering.plan import RenderPlan, SourceFacts
from imagepipe.engines.memory_file import Image, descriptor_of
from imagepipe.engines.vips import worker_messages
from imagepipe.engines.vips.vips_process import UnreadableByVips, Worker
from imagepipe.errors import NotStored
from imagepipe.runtime.profiling import add, is_profiled, measured

FORMATS = (JPEG, PNG, GIF, WEBP, AVIF, TIFF, HEIC)
"""What this engine reads."""


class VipsEngine:
    """An Engine; see `engine`.

    `timeout_seconds` bounds a job from its opening to its last output. `pixels_max` is
    `max_pixels`: a worker's address space is bounded to what so many may take, or to
    `memory_bytes`. Any thread may call anything.
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
        # Measured: an idle worker maps 70 to 190 MiB; decoding takes 4 bytes a pixel, progressive
        # JPEG 9, AVIF to read or write up to 24.
        self._memory_bytes = memory_bytes or (1 << 30) + 24 * pixels_max
        self._jobs_max = jobs_max
        self._memory_kept_bytes = memory_kept_bytes
        # appended and popped at the right: what has just worked is warm
        self._idle: deque[Worker] = deque()
        self._workers: set[Worker] = set()  # all that were started and not yet ended
        self._aborted = self._closed = False

    @property
    def workers(self) -> tuple[int, ...]:
        """The process ids of its workers, idle and at work."""
        return tuple(sorted(worker.process_id for worker in self._workers.copy()))

    def start(self, count: int) -> None:
        """Start `count` workers, without waiting until they are ready."""
        for _ in range(count):
            self._idle.append(self._start_worker())

    @contextlib.contextmanager
    def open(self, image: Image, format: Format) -> Iterator["VipsSource"]:
        """See Engine. Raises UnreadableByVips where libvips cannot read what it recognises."""
        if format not in FORMATS:
            raise UnreadableByVips(f"a {format} image needs ImageMagick (engine = auto)")
        worker = self._take()
        worker.deadline = time.monotonic() + self._timeout_seconds
        try:
            with measured("open"), descriptor_of(image) as descriptor:
                opened = worker.ask(
                    worker_messages.Open(format.name), worker_messages.Opened, descriptor
                )
            # The format came back as a copy; there is one object for each.
            yield VipsSource(replace(opened.facts, format=format), worker)
        finally:
            self._put_back(worker)

    def abort(self) -> None:
        """See Engine."""
        self._aborted = True
        for worker in self._workers.copy():
            worker.abort()

    def close(self) -> None:
        """See Engine."""
        self._closed = True
        with contextlib.suppress(IndexError):  # another thread may do the same
            while True:
                self._end(self._idle.pop())

    def _take(self) -> Worker:
        while True:
            try:
                worker = self._idle.pop()
            except IndexError:
                return self._start_worker()
            if worker.alive:
                return worker
            self._end(worker)

    def _put_back(self, worker: Worker) -> None:
        worker.forget()
        if (
            worker.alive
            and worker.jobs < self._jobs_max
            and worker.memory_bytes <= self._memory_kept_bytes
        ):
            self._idle.append(worker)
            if self._closed:
                self.close()
        else:
            self._end(worker)

    def _start_worker(self) -> Worker:
        self._refuse_if_aborted()
        worker = Worker(self._memory_bytes, self._timeout_seconds)
        self._workers.add(worker)
        if self._aborted:  # by one who looked at the workers before it was there
            worker.abort()
        return worker

    def _refuse_if_aborted(self) -> None:
        if self._aborted:
            raise NotStored("rendering was aborted")

    def _end(self, worker: Worker) -> None:
        worker.end()
        self._workers.discard(worker)


class VipsSource:
    """A Source; see `engine`."""

    def __init__(self, facts: SourceFacts, worker: Worker) -> None:
        self.facts = facts
        self._worker = worker

    def render(self, plan: RenderPlan, folder: Path) -> None:
        """See Source."""
        rendered = self._worker.ask(
            worker_messages.Render(plan, str(folder.absolute()), is_profiled()),
            worker_messages.Rendered,
        )
        add(rendered.stages)
