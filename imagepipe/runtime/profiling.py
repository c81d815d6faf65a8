"""Where the time of one call goes, a stage at a time; `twistd imagepipe --profile` has it logged.

    stages = StageTimer()
    with stages.on_this_thread():      what the code below does on this thread belongs to the call
        with measured("hash"):         anywhere below; nothing, where no call is measured
            ...

A stage that is entered within another is taken out of the other: the sum of all is the time that
was measured.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar

STORE_STAGES = (
    "receive",
    "parse",
    "queue",
    "base64",
    "open",
    "decode",
    "resize",
    "encode",
    "render",
    "hash",
    "flush",
    "commit",
    "confirm",
    "answer",
)
"""Those of a store, in the order in which they come; `render` is what cannot be told apart, as with
ImageMagick.
"""

_current: "ContextVar[StageTimer | None]" = ContextVar("stages", default=None)


class StageTimer:
    """The stages of one call. One thread at a time."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def add(self, stage: str, seconds: float) -> None:
        """Add to the time of a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    @contextlib.contextmanager
    def measured(self, stage: str) -> Iterator[None]:
        """Count what is done here, or awaited, as `stage`."""
        before = sum(self.seconds.values())
        started = time.perf_counter()
        try:
            yield
        finally:
            within = sum(self.seconds.values()) - before
            self.add(stage, time.perf_counter() - started - within)

    @contextlib.contextmanager
    def on_this_thread(self) -> Iterator[None]:
        """Let what is done now on this thread count for this call."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def text(self, total_seconds: float) -> str:
        """`parse 1.0, base64 0.9, ..., else 0.3`, in milliseconds; else: what is in none of
        them.
        """
        parts = [(stage, self.seconds[stage]) for stage in STORE_STAGES if stage in self.seconds]
        parts.append(("else", max(0.0, total_seconds - sum(self.seconds.values()))))
        return ", ".join(f"{stage} {1000 * seconds:.1f}" for stage, seconds in parts)


@contextlib.contextmanager
def measured(stage: str) -> Iterator[None]:
    """Count what is done here as `stage`, if the call on this thread is measured."""
    stages = _current.get()
    with stages.measured(stage) if stages else contextlib.nullcontext():
        yield


def is_profiled() -> bool:
    """Whether the stages of the call on this thread are; then what overlaps otherwise is done one
    after the other.
    """
    return _current.get() is not None


def add(seconds: Mapping[str, float]) -> None:
    """Count what was measured elsewhere, in a worker process."""
    if stages := _current.get():
        for stage, spent_there in seconds.items():
            stages.add(stage, spent_there)
