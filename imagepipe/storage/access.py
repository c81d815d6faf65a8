"""How a call gets from its own thread to the disk and to the writer: counted until it returns,
checked before and after, with the errors of the disk translated.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import TypeVar

from imagepipe.errors import DiskFull, FlushError, ImagepipeError
from imagepipe.runtime.events import Event
from imagepipe.storage.disk import has_space, refusal
from imagepipe.storage.image_info import Commit
from imagepipe.storage.in_flight import InFlight
from imagepipe.storage.parts import Parts
from imagepipe.storage.writer.calls import WriteCall, WriterTask

T = TypeVar("T")


class Access:
    """For any thread. `full` fires when the disk is nearly full; its listeners may free space."""

    def __init__(self, parts: Parts, full: Event[[]]) -> None:
        self._catalogue = parts.catalogue
        self._pins = parts.pins
        self._health = parts.health
        self._writer = parts.writer
        self._private = parts.layout.private
        self._full = full
        self.in_flight = InFlight()

    @contextlib.contextmanager
    def writing(self, path: str | None = None) -> Iterator[None]:
        """A call that writes on its own thread: an error of the disk becomes one of ours."""
        self._health.check()
        try:
            with self.in_flight.one():
                self._health.check_places()
                yield
        except FlushError as error:
            self._health.fail(error)
            raise
        except OSError as error:
            raise refusal(error, path) from error

    def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, on the writer's thread."""
        result = self.queue(work).result()
        self._health.check_places()  # what was written may be lost if it is another folder by now
        return result

    def queue(self, work: Callable[[], T]) -> "Future[T]":
        """Have `work` done on the writer's thread."""
        task = WriterTask(work)
        self._writer.submit(task)
        return task.future

    def submit(self, call: WriteCall) -> "Future[Commit]":
        """Hand a call to the writer; a refusal comes through the future as well."""
        try:
            self._health.check()
            self._writer.submit(call)
        except ImagepipeError as error:
            call.future.set_exception(error)
        return call.future

    def abandon(self, digests: Sequence[str]) -> None:
        """Have those of `digests` removed that nothing names and nobody holds."""
        if unnamed := self._catalogue.unnamed(digests):
            self._pins.abandon(unnamed)
            self.wake_for_suspects()

    def wake_for_suspects(self) -> None:
        """Have the writer look at the objects that may have to go."""
        if self._pins.has_suspects:
            self._writer.wake()

    def free_space(self) -> bool:
        """If the disk is nearly full, ask for space; whether that helped."""
        try:
            if has_space(self._private):
                return False
            self._full.fire()
            return has_space(self._private)
        except OSError:  # the folder is not there
            return False

    @contextlib.contextmanager
    def freeing_space(self) -> Iterator[None]:
        """A call that does not fit frees space before it fails: a later attempt may succeed."""
        try:
            yield
        except DiskFull:
            self.free_space()
            raise
