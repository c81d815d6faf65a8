"""Renders renditions for an operator before any client asks for them.

look up the image, as a GET does
  -> skip what is in the cache already
  -> decode once and cache all the rest; if that fails, one by one, to find which of them fail
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from imagepipe.core.rendering import renditions
from imagepipe.core.rendering.renditions import RenditionLimits
from imagepipe.errors import ImagepipeError, InternalError, NotFound, Overloaded, quoted
from imagepipe.monitoring.counters import Counters, note_failure
from imagepipe.usecases.lookup import LOOKS_MAX, Lookup
from imagepipe.usecases.originals import checked_names
from imagepipe.usecases.promised_outputs import FAILURES_MAX
from imagepipe.usecases.render_on_demand import (
    RenditionRequest,
    Renditions,
    SourceVanished,
    all_requests_of,
)

OnThread = Callable[[Callable[[], Any]], Deferred[Any]]

_log = Logger()


class OutcomeKind(StrEnum):
    """CACHED: it was in the cache already. FAILED: it cannot be rendered, at least not now."""

    RENDERED = "rendered"
    CACHED = "cached"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome for the rendition `name`; error: why it failed."""

    name: str
    result: OutcomeKind
    error: ImagepipeError | None = None


@dataclass(slots=True)
class PrerenderReport:
    """The outcomes by name, in the order of the request, and how long it waited and ran."""

    outcomes: dict[str, Outcome]
    waited_seconds: float = 0.0
    ran_seconds: float = 0.0


class Prerenderer:
    """Renders on request. Runs on the reactor's thread; `on_thread` runs a short blocking call on
    a thread of its own pool.
    """

    def __init__(
        self,
        on_thread: OnThread,
        lookup: Lookup,
        renditions: Renditions,
        limits: RenditionLimits,
        counters: Counters,
    ) -> None:
        self._on_thread = on_thread
        self._lookup = lookup
        self._renditions = renditions
        self._limits = limits
        self._counters = counters

    def check(self, names: Sequence[str]) -> None:
        """Raise BadRequest, NotFound or NotAcceptable if one of `names` is never made here."""
        checked_names(names, self._limits)

    async def render(self, image: str, names: Sequence[str]) -> PrerenderReport:
        """Cache renditions of the image at a clean path; for `.auto`, one in each possible format.

        Raises BadRequest if a GET would refuse one of `names`, NotFound or a subclass if there is
        no image at the path, and Overloaded if nothing was done and the call may succeed later.
        """
        named = {name: _requests(name) for name in checked_names(names, self._limits)}
        for _ in range(LOOKS_MAX):
            try:
                content = await self._lookup.source(image)
            except NotFound:  # here or at its source
                raise NotFound("path", f"there is no image {quoted(image, 200)}") from None
            try:
                return await self._render(quoted(image, 200), content.digest, named)
            except SourceVanished:
                continue
        raise InternalError  # a row without its bytes: verify will report it

    async def _render(
        self, path: str, digest: str, named: dict[str, tuple[RenditionRequest, ...]]
    ) -> PrerenderReport:
        missing: list[str] = await self._on_thread(
            lambda: [
                name
                for name, requests in named.items()
                if not all(self._is_cached(digest, request) for request in requests)
            ]
        )
        report = PrerenderReport({name: Outcome(name, OutcomeKind.CACHED) for name in named})
        if not missing:
            return report
        error = await self._make(report, digest, {name: named[name] for name in missing})
        if isinstance(error, Overloaded):
            raise error
        if error and len(missing) > 1:
            errors: list[ImagepipeError] = []
            for name in missing:
                if len(errors) < FAILURES_MAX:
                    error = await self._make(report, digest, {name: named[name]})
                    errors += [error] if error else []
                else:  # the image itself is to blame
                    report.outcomes[name] = Outcome(name, OutcomeKind.FAILED, errors[-1])
            error = errors[-1] if errors else None
        if error:
            note_failure(self._counters, "render_outputs", error)
            failed = [name for name, outcome in report.outcomes.items() if outcome.error]
            _log.warn(
                "cannot render {count} outputs of {path}, such as {name}: {error}",
                count=len(failed),
                path=path,
                name=failed[-1],
                error=error,
            )
        return report

    async def _make(
        self, report: PrerenderReport, digest: str, named: dict[str, tuple[RenditionRequest, ...]]
    ) -> ImagepipeError | None:
        """Render these, record the outcomes, return the error if any. Raises SourceVanished."""
        try:
            job = await self._renditions.make_all(
                digest, [request for requests in named.values() for request in requests]
            )
        except SourceVanished:
            raise
        except ImagepipeError as error:
            report.outcomes |= {name: Outcome(name, OutcomeKind.FAILED, error) for name in named}
            return error
        report.waited_seconds += job.waited_seconds
        report.ran_seconds += job.ran_seconds
        made = iter(job.made)
        for name, requests in named.items():
            was_rendered = [next(made).was_rendered for _ in requests]
            report.outcomes[name] = Outcome(
                name, OutcomeKind.RENDERED if any(was_rendered) else OutcomeKind.CACHED
            )
        return None

    def _is_cached(self, digest: str, request: RenditionRequest) -> bool:
        image = self._renditions.cached(digest, request)
        if image:
            image.file.close()
        return image is not None


def _requests(name: str) -> tuple[RenditionRequest, ...]:
    rendition = renditions.parse(name)
    assert rendition, "it was checked"
    return all_requests_of(rendition)
