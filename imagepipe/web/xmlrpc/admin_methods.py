"""The XML-RPC methods for operators: admin.status and its kin, beside those for images and on the
same port (docs/reference/methods.md).

Arguments become values here, and results become what a client gets; the use cases do the work.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from twisted.web.xmlrpc import XMLRPC

from imagepipe.core.path_escaping import escaped
from imagepipe.core.rate_limit import parse_rate
from imagepipe.core.requests.argument_types import optional_text, parse_flag
from imagepipe.core.requests.call_arguments import parse_names, parse_path, parse_stored_path
from imagepipe.core.requests.history_query import (
    cursor,
    parse_beginning,
    parse_history_page,
    version_text,
)
from imagepipe.errors import BadRequest, quoted
from imagepipe.monitoring.node_status import NodeStatus
from imagepipe.usecases.change_operations import ChangeOperations
from imagepipe.usecases.history_operations import HistoryOperations
from imagepipe.usecases.originals import Originals
from imagepipe.usecases.prerender import Prerenderer
from imagepipe.usecases.verification import Progress, Verification
from imagepipe.web.http.request import BoundedRequest
from imagepipe.web.public_facts import iso_time, public_facts
from imagepipe.web.xmlrpc.image_methods import method

_HTTP_IS_OFF = "the image server is off: [http] port is not set"


@dataclass(frozen=True, slots=True)
class OnDemand:
    """The parts of the image server that methods use."""

    prerenderer: Prerenderer
    originals: Originals


class AdminMethods(XMLRPC):
    """The sub-handler `admin` of ImageMethods, which encodes its faults, logs its calls and counts
    them.

    on_demand: None if [http] is off.
    """

    def __init__(
        self,
        changes: ChangeOperations,
        history: HistoryOperations,
        read_status: Callable[[], NodeStatus],
        verification: Verification,
        on_demand: OnDemand | None,
    ) -> None:
        super().__init__(allowNone=True)
        self._changes = changes
        self._history = history
        self._read_status = read_status
        self._verification = verification
        self._on_demand = on_demand

    @method("string")
    async def xmlrpc_status(self, request: BoundedRequest) -> str:
        """status() -> JSON

        The status of the node: the text of /status.json.
        """
        return msgspec.json.encode(self._read_status()).decode()

    @method("string array", "string string")
    async def xmlrpc_check_outputs(self, request: BoundedRequest, outputs: object) -> str:
        """check_outputs(outputs) -> "OK"

        Check that this server can make renditions with these names from any image. If not, a fault
        says why.

        outputs  names of renditions: w500.jpg, x300.webp, 300x400-q60.jpg, full_size.auto, ...
        """
        names = parse_names(outputs)
        request.record.outputs = len(names)
        if self._on_demand is None:
            raise BadRequest("outputs", _HTTP_IS_OFF)
        self._on_demand.prerenderer.check(names)
        return "OK"

    @method("array string array", "array string string")
    async def xmlrpc_render_outputs(
        self, request: BoundedRequest, path: object, outputs: object
    ) -> list[dict[str, str]]:
        """render_outputs(path, outputs) -> [{output, result, error}, ...]

        Render outputs of an image, or of its original, into the render cache. As for a GET, an
        image that is not stored is fetched first.

        outputs  names of renditions: w500.jpg, x300.webp, 300x400-q60.jpg, full_size.auto, ...

        result is "rendered", "cached" (it was in the cache already) or "failed"; after a failure,
        error is the text of a fault.
        """
        cleaned, names = parse_path(path), parse_names(outputs)
        request.record.path, request.record.outputs = quoted(cleaned, 200), len(names)
        if self._on_demand is None:
            raise BadRequest("path", _HTTP_IS_OFF)
        work = await self._on_demand.prerenderer.render(cleaned, names)
        request.record.waited_seconds, request.record.ran_seconds = (
            work.waited_seconds,
            work.ran_seconds,
        )
        return [
            {
                "output": one.name,
                "result": one.result.value,
                "error": one.error.fault_string if one.error else "",
            }
            for one in work.outcomes.values()
        ]

    @method("struct string", "struct string string")
    async def xmlrpc_fetch_original(
        self, request: BoundedRequest, path: object, source: object = ""
    ) -> dict[str, Any]:
        """fetch_original(path, source="") -> {fetched, path, size, digest, width, height, format,
        modified}

        Fetch the original of an image and store it at path/original, unless it is stored already or
        was deleted.

        source  a URL below one of [http] sources; by default, [http] source_base and the path

        fetched says whether it was fetched; the other values describe the original, as image_info
        does.
        """
        cleaned = parse_path(path)
        url = optional_text(source, "source")
        request.record.path = quoted(cleaned, 200)
        if self._on_demand is None:
            raise BadRequest("path", _HTTP_IS_OFF)
        pulled = await self._on_demand.originals.pull(cleaned, url or None)
        return {"fetched": pulled.was_fetched, **public_facts(pulled.info)}

    @method("array", "array string", "array string string int")
    async def xmlrpc_history(
        self, request: BoundedRequest, path: object = "", after: object = "", limit: object = 1000
    ) -> list[dict[str, Any]]:
        """history(path="", after="", limit=1000) -> [{path, version, digest, size, lost, winner,
        cursor}, ...]

        The versions of images that this node accepted and that lost a conflict. They are kept for
        30 days.

        path   only versions at this path, or below it if it ends in a slash; by default, all
        after  for the next page: the cursor of the last row
        limit  the maximum number of rows, up to 1000

        Rows are sorted by path, the newest version of a path first. lost is when the version lost,
        and winner the version that it lost to.
        """
        page = parse_history_page(path, after, limit)
        request.record.path = quoted(page.begin, 200)
        return [
            {
                "path": escaped(lost.path),
                "version": version_text(lost.version),
                "digest": lost.content.digest,
                "size": lost.content.size,
                "lost": iso_time(lost.lost_ms),
                "winner": version_text(lost.winner),
                "cursor": cursor(lost.path, lost.version),
            }
            for lost in await self._history.history(page)
        ]

    @method("struct string string", "struct string string string")
    async def xmlrpc_restore(
        self, request: BoundedRequest, path: object, version: object, to: object = ""
    ) -> dict[str, Any]:
        """restore(path, version, to="") -> {path, size, digest, width, height, format, modified}

        Store a version that lost a conflict on this node again. It becomes a new version on every
        node, like any stored image.

        version  a version from history, or as much of its beginning as is unique at path
        to       where to store it; by default, at path
        """
        cleaned, beginning = parse_stored_path(path), parse_beginning(version)
        target = parse_path(to, "to") if optional_text(to, "to") else parse_path(path)
        request.record.path = quoted(f"{cleaned} -> {target}", 200)
        timed = await self._history.restore(cleaned, beginning, target)
        request.record.outputs = 1
        request.record.waited_seconds, request.record.ran_seconds = (
            timed.waited_seconds,
            timed.ran_seconds,
        )
        return public_facts(timed.result.stored[0])

    @method("string string")
    async def xmlrpc_erase(self, request: BoundedRequest, path: object) -> str:
        """erase(path) -> "OK"

        Delete an image and every version of it that lost a conflict, on every node, including nodes
        that are offline now and come back later.
        """
        cleaned = parse_stored_path(path)
        request.record.path = quoted(cleaned, 200)
        await self._changes.erase(cleaned)
        return "OK"

    @method("struct", "struct boolean", "struct boolean string")
    async def xmlrpc_verify(
        self,
        request: BoundedRequest,
        repair: object = False,
        rate: object = "",
    ) -> dict[str, Any]:
        """verify(repair=False, rate="") -> {running, repair}

        Start reading every stored file and comparing it with its digest, in the background;
        verify_progress returns what has been found.

        repair  repair what is wrong: bytes from a copy or a peer, files in the tree from their
                bytes; anything in the way is moved aside
        rate    how many bytes to read per second, such as "10 MiB"; by default, 50 MiB
        """
        repairs, a_second = parse_flag(repair, "repair"), parse_rate(optional_text(rate, "rate"))
        self._verification.start(a_second, repair=repairs)
        return {"running": True, "repair": repairs}

    @method("string")
    async def xmlrpc_verify_progress(self, request: BoundedRequest) -> str:
        """verify_progress() -> JSON

        The progress of the running verification, or the result of the last one; null if there has
        been none since the daemon started.
        """
        progress = self._verification.progress()
        return msgspec.json.encode(_public_progress(progress) if progress else None).decode()

    @method("string")
    async def xmlrpc_verify_stop(self, request: BoundedRequest) -> str:
        """verify_stop() -> "OK"

        Stop the verification if one is running.
        """
        self._verification.stop()
        return "OK"


def _public_progress(progress: Progress) -> dict[str, Any]:
    return {
        "running": progress.running,
        "repair": progress.repair,
        "started": iso_time(progress.started_ms),
        "seconds": round(progress.seconds, 1),
        "checked": progress.checked,
        "total": progress.total,
        "bytes": progress.bytes,
        "bytes_total": progress.bytes_total,
        "missing": progress.missing,
        "rotten": progress.rotten,
        "changed": progress.changed,
        "strangers": progress.strangers,
        "repaired": progress.repaired,
        "unrepaired": progress.unrepaired,
        "finished": iso_time(progress.finished_ms) if progress.finished_ms is not None else None,
        "error": progress.error,
        "problems": [
            {"path": escaped(one.path), "problem": one.problem.value, "outcome": one.outcome}
            for one in progress.problems
        ],
        "more_problems": progress.more_problems,
    }
