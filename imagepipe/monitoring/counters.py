"""Counts what has happened since the start: each method of Counters is an event, called by the code
that saw it happen.

Pages and Graphite read `totals` and compare; nothing is ever reset. What can be read from a part at
any time (the queue's length, the cache's hits) is not counted here: see status_reader.py.
"""

import datetime as dt
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from imagepipe.core.rendering.formats import Format
from imagepipe.errors import BadRequest, ImagepipeError, NotStored, Overloaded

BOUNDS_SECONDS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
)
"""The upper bounds of a Distribution's buckets."""

ERRORS_KEPT = 20
ERROR_LENGTH_MAX = 300

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


@dataclass(frozen=True, slots=True)
class RenderCount:
    """`count` renditions of a format, named by its extension: jpg, gif, webp, png or avif."""

    format: str
    count: int


@dataclass(frozen=True, slots=True)
class FailureCount:
    """`count` failures of an operation (store, delete, ...) of one kind (DiskFull, ...)."""

    operation: str
    kind: str
    count: int


@dataclass(frozen=True, slots=True)
class RequestCount:
    """`count` HTTP requests with a method that were answered with a status."""

    method: str
    status: int
    count: int


@dataclass(frozen=True, slots=True)
class Distribution:
    """Durations in buckets: `counts[i]` were at most `BOUNDS_SECONDS[i]` and more than the bound
    before it; the last of `counts` were more than all bounds.
    """

    counts: tuple[int, ...]
    sum_seconds: float


@dataclass(frozen=True, slots=True)
class Totals:
    """Everything that has happened since the start. `requests` are those of every port; the bytes
    are those of bodies.
    """

    image_requests: tuple[RenderCount, ...]
    image_requests_failed: int
    originals_downloaded: int
    originals_unavailable: int
    images_stored: int
    images_deleted: int
    images_moved: int
    failures: tuple[FailureCount, ...]
    requests: tuple[RequestCount, ...]
    received_bytes: int
    sent_bytes: int


@dataclass(frozen=True, slots=True)
class Durations:
    """How long requests took to be answered, and how long renders waited for a thread and then ran.

    `work`: the requests other than those for the status pages, which should not show up in their
    own charts.
    """

    requests: Distribution
    work: Distribution
    render_waits: Distribution
    render_runs: Distribution


@dataclass(frozen=True, slots=True)
class LoggedError:
    """An error that an operator should know of: when (ISO 8601, UTC), what failed, and how."""

    when: str
    what: str
    text: str


class Counters:
    """Counts events; for the reactor's thread only. `wall` returns the seconds since 1970.

    Memory is bounded: formats, operations, kinds and statuses are few, and a method that HTTP does
    not define counts as OTHER.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._rendered: Counter[str] = Counter()
        self._failed: Counter[tuple[str, str]] = Counter()
        self._requests_by_status: Counter[tuple[str, int]] = Counter()
        self._image_requests_failed = 0
        self._originals_downloaded = 0
        self._originals_unavailable = 0
        self._images_stored = 0
        self._images_deleted = 0
        self._images_moved = 0
        self._received_bytes = 0
        self._sent_bytes = 0
        self._requests, self._work, self._waits, self._runs = (
            _Histogram(),
            _Histogram(),
            _Histogram(),
            _Histogram(),
        )
        self._errors: deque[LoggedError] = deque(maxlen=ERRORS_KEPT)

    # Images.

    def image_request(self, format: Format) -> None:
        """A rendition was not cached and was rendered."""
        self._rendered[format.extensions[0]] += 1

    def image_request_fail(self) -> None:
        """A GET of an image was answered with a status of 400 or more."""
        self._image_requests_failed += 1

    def original_downloaded(self) -> None:
        """An original was fetched from its source."""
        self._originals_downloaded += 1

    def original_unavailable(self) -> None:
        """The source of an original answered that it does not have it."""
        self._originals_unavailable += 1

    def stored(self, images: int) -> None:
        """A call or a POST has stored `images` images."""
        self._images_stored += images

    def deleted(self, paths: int) -> None:
        """A call has deleted `paths` paths, whether or not each had an image."""
        self._images_deleted += paths

    def moved(self, pairs: int) -> None:
        """A call has moved `pairs` images."""
        self._images_moved += pairs

    def failed(self, operation: str, kind: str) -> None:
        """An operation has failed. Both words come from the code, never from a client: `store`, for
        example, and the name of an error's class.
        """
        self._failed[operation, kind] += 1

    # Work.

    def request(
        self,
        method: str,
        status: int,
        seconds: float,
        received_bytes: int = 0,
        sent_bytes: int = 0,
        *,
        is_page: bool = False,
    ) -> None:
        """A request was answered, or its client disconnected, `seconds` after it began.

        received_bytes, sent_bytes: the lengths of the bodies. is_page: it was for a status page.
        """
        self._requests_by_status[method if method in _METHODS else "OTHER", status] += 1
        self._requests.add(seconds)
        if not is_page:
            self._work.add(seconds)
        self._received_bytes += received_bytes
        self._sent_bytes += sent_bytes

    def render(self, waited_seconds: float, ran_seconds: float) -> None:
        """A job of the render queue is done."""
        self._waits.add(waited_seconds)
        self._runs.add(ran_seconds)

    def error(self, what: str, text: str) -> None:
        """Something has failed that an operator should know of, and no client is to blame. The text
        is shortened and made printable.
        """
        when = (
            dt.datetime.fromtimestamp(self._wall(), dt.UTC)
            .isoformat(timespec="seconds")
            .replace("+00:00", "Z")
        )
        printable = "".join(
            character if character.isprintable() else " " for character in text[:ERROR_LENGTH_MAX]
        )
        self._errors.append(LoggedError(when, what, printable))

    # Results.

    def totals(self) -> Totals:
        """Everything that has been counted so far."""
        return Totals(
            image_requests=tuple(
                RenderCount(format, count) for format, count in sorted(self._rendered.items())
            ),
            image_requests_failed=self._image_requests_failed,
            originals_downloaded=self._originals_downloaded,
            originals_unavailable=self._originals_unavailable,
            images_stored=self._images_stored,
            images_deleted=self._images_deleted,
            images_moved=self._images_moved,
            failures=tuple(
                FailureCount(*key, count) for key, count in sorted(self._failed.items())
            ),
            requests=tuple(
                RequestCount(*key, count) for key, count in sorted(self._requests_by_status.items())
            ),
            received_bytes=self._received_bytes,
            sent_bytes=self._sent_bytes,
        )

    def durations(self) -> Durations:
        """All durations so far."""
        return Durations(
            self._requests.taken(), self._work.taken(), self._waits.taken(), self._runs.taken()
        )

    def last_errors(self) -> tuple[LoggedError, ...]:
        """The last ERRORS_KEPT errors, newest first."""
        return tuple(reversed(self._errors))


def note_failure(counters: Counters, operation: str, error: ImagepipeError) -> None:
    """Count a failure of `operation`. If it is not a client's mistake, it is also recorded as an
    error that an operator should know of.
    """
    counters.failed(operation, type(error).__name__)
    if not isinstance(error, BadRequest | Overloaded) and type(error) is not NotStored:
        counters.error(operation, str(error))


class _Histogram:
    """A Distribution in the making."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_SECONDS) + 1)
        self._sum_seconds = 0.0

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(BOUNDS_SECONDS, seconds)] += 1
        self._sum_seconds += seconds

    def taken(self) -> Distribution:
        return Distribution(tuple(self._counts), self._sum_seconds)
