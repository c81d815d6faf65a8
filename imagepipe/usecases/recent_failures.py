"""What recently failed to render, so that asking for it again costs nothing.

A rendition that runs into its timeout takes an engine for a minute. Its failure is kept in memory
for FAILED_SECONDS and given to all who ask meanwhile. What passes by itself (a full queue, a full
disk, a stop, a decoder that cannot be started) is no such failure.
"""

import contextlib
from collections.abc import Callable, Hashable, Iterable, Iterator

from imagepipe.errors import NotStored
from imagepipe.storage.memory import LruMemory

FAILED_SECONDS = 300.0
"""How long a failure counts; not for ever, since the machine may have been overloaded."""

FAILURES_MAX = 10_000


class Unrenderable(NotStored):
    """An engine cannot read or render this; `about` says what: a source, or a rendition of it."""

    def __init__(self, error: NotStored, about: Hashable) -> None:
        super().__init__(str(error))
        self.about = about


class RecentFailures:
    """For any thread. `seconds` is a monotonic clock."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._noted: LruMemory[Hashable, tuple[float, str]] = LruMemory(FAILURES_MAX)

    def note(self, failure: Unrenderable) -> None:
        """Let `check` raise it for a while."""
        self._noted.put(failure.about, (self._seconds() + FAILED_SECONDS, str(failure)))

    def check(self, about: Iterable[Hashable]) -> None:
        """Raise NotStored if one of these failed recently."""
        for one in about:
            noted = self._noted.get(one)
            if noted and self._seconds() < noted[0]:
                raise NotStored(noted[1])


@contextlib.contextmanager
def attribute_failure(about: Hashable) -> Iterator[None]:
    """Turn an engine's refusal into Unrenderable; temporary errors pass unchanged."""
    try:
        yield
    except NotStored as error:
        if type(error) is NotStored:
            raise Unrenderable(error, about) from error
        raise
