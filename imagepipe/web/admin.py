"""The XML-RPC methods for operators: admin.status and its kin, beside those for images and on the same port (docs/administration.md)."""

from collections.abc import Callable

import msgspec
from twisted.web.xmlrpc import XMLRPC

from imagepipe.monitoring.node_status import NodeStatus
from imagepipe.web.site import BoundedRequest
from imagepipe.web.xmlrpc import method


class AdminMethods(XMLRPC):
    """The sub-handler `admin` of ImageMethods, which answers for it: faults, log lines and counters are the same."""

    def __init__(self, read_status: Callable[[], NodeStatus]) -> None:
        super().__init__(allowNone=True)
        self._read_status = read_status

    @method("string")
    async def xmlrpc_status(self, request: BoundedRequest) -> str:  # noqa: ARG002
        """status() -> JSON

        How the node stands, as the text of /status.json.
        """
        return msgspec.json.encode(self._read_status()).decode()
