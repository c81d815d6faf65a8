"""Verifies a node: one verification at a time, on a thread of its own, at the requested rate. It
reports its progress and what it finds.

    start ---> thread: Store.verify, which asks this module when to wait and when to stop
                 |   missing bytes
                 +----> reactor: replication fetches them

It stops at once when asked to, whatever it is waiting for, and leaves nothing half done: repairs
made so far stay.
"""

import threading
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger

from imagepipe.core.rate_limit import RateLimit
from imagepipe.core.rows.entries import Content
from imagepipe.errors import BadRequest, quoted
from imagepipe.storage.store import Store
from imagepipe.storage.verify.findings import Extent, Finding, ImageProblem

PROBLEMS_KEPT = 1000
PROBLEMS_LOGGED = 100
"""How many problems of a verification are logged."""

REST_SECONDS = 0.1

_KIND_OF = {
    ImageProblem.MISSING: "missing",
    ImageProblem.NOT_SHOWN: "missing",
    ImageProblem.CORRUPT: "rotten",
    ImageProblem.CHANGED: "changed",
    ImageProblem.FOREIGN: "strangers",
    ImageProblem.UNKNOWN: "strangers",
}

_log = Logger()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a verification has got: `checked` of `total` images, `bytes` of `bytes_total`.
    Times are in ms since 1970.

    unrepaired: problems that `repair` could not fix; 0 without it. problems: the most recent ones,
    oldest first. finished_ms: when it completed; None if it is running, was stopped, or failed
    (`error` then gives the reason).
    """

    running: bool
    repair: bool
    started_ms: int
    seconds: float = 0.0
    checked: int = 0
    total: int = 0
    bytes: int = 0
    bytes_total: int = 0
    missing: int = 0
    rotten: int = 0
    changed: int = 0
    strangers: int = 0
    repaired: int = 0
    unrepaired: int = 0
    finished_ms: int | None = None
    error: str = ""
    problems: tuple[Finding, ...] = ()
    more_problems: int = 0

    @property
    def problems_count(self) -> int:
        """The number of all problems."""
        return self.missing + self.rotten + self.changed + self.strangers


class _StopRequested(Exception):
    """The verification was asked to stop."""


class Verification:
    """Starts and stops verifications. Runs on the reactor's thread, except for `close`.

    refetch: fetches bytes from peers (Replication.refetch). seconds: a monotonic clock.
    """

    def __init__(
        self,
        reactor: IReactorFromThreads,
        store: Store,
        refetch: Callable[[Sequence[Content]], Coroutine[Any, Any, None]],
        *,
        seconds: Callable[[], float],
        wall_ms: Callable[[], int],
    ) -> None:
        self._reactor = reactor
        self._store = store
        self._refetch = refetch
        self._seconds = seconds
        self._wall_ms = wall_ms
        self._run: _VerificationRun | None = None
        self._closing = False

    def start(self, rate: float, *, repair: bool) -> None:
        """Start, reading `rate` bytes per second. Raises BadRequest while one is running."""
        if self._run and self._run.is_alive:
            raise BadRequest(
                "verify", "a verification is already running: see admin.verify_progress, or stop it"
            )
        if self._closing:
            raise BadRequest("verify", "the daemon is stopping")
        self._run = _VerificationRun(
            self._reactor,
            self._store,
            self._refetch,
            RateLimit(rate),
            self._seconds,
            self._wall_ms,
            repair=repair,
        )
        self._run.start()

    def progress(self) -> Progress | None:
        """The progress of the current or last one; None if none has run since the start."""
        return self._run.progress() if self._run else None

    def stop(self) -> None:
        """Ask the running verification, if any, to stop."""
        if self._run:
            self._run.stop()

    def abandon(self) -> None:
        """Stop, and refuse to start another."""
        self._closing = True
        self.stop()

    def close(self) -> None:
        """Wait until none is running. Call `abandon` first. Runs on any thread."""
        if self._run:
            self._run.join()


class _VerificationRun:
    """One verification: a storage.verify.VerifyObserver."""

    def __init__(
        self,
        reactor: IReactorFromThreads,
        store: Store,
        refetch: Callable[[Sequence[Content]], Coroutine[Any, Any, None]],
        pace: RateLimit,
        seconds: Callable[[], float],
        wall_ms: Callable[[], int],
        *,
        repair: bool,
    ) -> None:
        self._reactor = reactor
        self._store = store
        self._refetch = refetch
        self._pace = pace
        self._seconds = seconds
        self._wall_ms = wall_ms
        self._began = seconds()
        self._lock = threading.Lock()
        self._progress = Progress(running=True, repair=repair, started_ms=wall_ms())
        self._problems: deque[Finding] = deque(maxlen=PROBLEMS_KEPT)
        self._stopping = threading.Event()
        self._arrived: threading.Event | None = None  # what `fetch` waits for
        self._thread = threading.Thread(target=self._verify, name="verify")

    @property
    def is_alive(self) -> bool:
        return self._progress.running

    def start(self) -> None:
        _log.info(
            "verify: started{repair}",
            repair=", with repair" if self._progress.repair else "",
        )
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if arrived := self._arrived:
            arrived.set()

    def join(self) -> None:
        self._thread.join()

    def progress(self) -> Progress:
        with self._lock:
            now, problems = self._progress, tuple(self._problems)
        seconds = self._seconds() - self._began if now.running else now.seconds
        return replace(
            now,
            seconds=seconds,
            problems=problems,
            more_problems=now.problems_count - len(problems),
        )

    # On its own thread:

    def _verify(self) -> None:
        finished, error = False, ""
        try:
            self._store.verify(self, repair=self._progress.repair)
            finished = True
        except _StopRequested:
            pass
        except Exception as caught:  # any failure is reported
            error = str(caught)
            _log.failure("verify: failed")
        seconds = self._seconds() - self._began
        self._note(
            running=False,
            seconds=seconds,
            finished_ms=self._wall_ms() if finished else None,
            error=error,
        )
        now = self._progress
        _log.info(
            "verify: {how} after {seconds:.1f} s: {checked} of {total} images checked, {problems}"
            " problems, {repaired} repaired",
            how="finished" if finished else "stopped early",
            seconds=seconds,
            checked=now.checked,
            total=now.total,
            problems=now.problems_count,
            repaired=now.repaired,
        )

    def begin(self, extent: Extent) -> None:
        """See VerifyObserver."""
        self._note(total=extent.rows, bytes_total=extent.bytes)

    def read(self, count: int) -> None:
        """See VerifyObserver."""
        self._wait(self._pace.wait(count, self._seconds()))

    def pause(self) -> None:
        """See VerifyObserver."""
        self._wait(REST_SECONDS)

    def checked(self, rows: int, size: int) -> None:
        """See VerifyObserver."""
        self._note(checked=self._progress.checked + rows, bytes=self._progress.bytes + size)
        self._wait(0)

    def found(self, finding: Finding) -> None:
        """See VerifyObserver."""
        now, kind = self._progress, _KIND_OF[finding.problem]
        changes = {kind: getattr(now, kind) + 1}
        if finding.repaired:
            changes["repaired"] = now.repaired + 1
        elif now.repair:
            changes["unrepaired"] = now.unrepaired + 1
        with self._lock:
            self._problems.append(finding)
            self._progress = replace(now, **changes)
        count = self._progress.problems_count
        if count <= PROBLEMS_LOGGED:
            _log.warn(
                "verify: {path}: {problem}: {outcome}",
                path=quoted(finding.path, 400),
                problem=finding.problem.value,
                outcome=finding.outcome,
            )
        if count == PROBLEMS_LOGGED:
            _log.warn("verify: further problems are counted but not logged")

    def fetch(self, contents: Sequence[Content]) -> None:
        """See VerifyObserver."""
        arrived = self._arrived = threading.Event()
        self._wait(0)  # `stop` sets its flag first and then looks at `_arrived`
        self._reactor.callFromThread(self._ask_peers, contents, arrived)
        arrived.wait()
        self._arrived = None
        self._wait(0)

    def _wait(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise _StopRequested

    def _note(self, **changes: Any) -> None:
        with self._lock:
            self._progress = replace(self._progress, **changes)

    # On the reactor's thread:

    def _ask_peers(self, contents: Sequence[Content], arrived: threading.Event) -> None:
        def failed(failure: Any) -> None:
            _log.failure("verify: cannot ask peers for missing bytes", failure)

        Deferred.fromCoroutine(self._refetch(contents)).addErrback(failed).addBoth(
            lambda _: arrived.set()
        )
