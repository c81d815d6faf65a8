"""The XML-RPC methods for operators: admin.status and its kin, beside those for images and on the same port (docs/administration.md).

Here arguments become values, and results what a client gets; what is done is done by operations and ondemand.
"""

from collections.abc import Callable

import msgspec
from twisted.web.xmlrpc import XMLRPC

from imagepipe.core.request import parse_names, parse_path
from imagepipe.errors import BadRequest, shown
from imagepipe.monitoring.node_status import NodeStatus
from imagepipe.ondemand.ahead import Ahead
from imagepipe.web.site import BoundedRequest
from imagepipe.web.xmlrpc import method

_HTTP_IS_OFF = "there is no image server here: [http] port is not set"


class AdminMethods(XMLRPC):
    """The sub-handler `admin` of ImageMethods, which answers for it: faults, log lines and counters are the same.

    ahead: None where [http] is off.
    """

    def __init__(self, read_status: Callable[[], NodeStatus], ahead: Ahead | None) -> None:
        super().__init__(allowNone=True)
        self._read_status = read_status
        self._ahead = ahead

    @method("string")
    async def xmlrpc_status(self, request: BoundedRequest) -> str:  # noqa: ARG002
        """status() -> JSON

        How the node stands, as the text of /status.json.
        """
        return msgspec.json.encode(self._read_status()).decode()

    @method("array string array", "array string string")
    async def xmlrpc_render_outputs(self, request: BoundedRequest, path: object, outputs: object) -> list[dict[str, str]]:
        """render_outputs(path, outputs) -> [{output, result, error}, ...]

        Have renditions of an image, or of its original, in the render cache. The image is fetched first, as for a GET, if it is not there.

        outputs  names of renditions: w500.jpg, x300.webp, 300x400-q60.jpg, full_size.auto, ...

        result is "rendered", "cached" (it was there) or "failed"; then error says why, in the words of a fault.
        """
        cleaned, names = parse_path(path), parse_names(outputs)
        request.record.path, request.record.outputs = shown(cleaned, 200), len(names)
        if self._ahead is None:
            raise BadRequest("path", _HTTP_IS_OFF)
        work = await self._ahead.render(cleaned, names)
        request.record.waited_seconds, request.record.ran_seconds = work.waited_seconds, work.ran_seconds
        return [
            {"output": one.name, "result": one.result.value, "error": one.error.fault_string if one.error else ""} for one in work.outcomes.values()
        ]
