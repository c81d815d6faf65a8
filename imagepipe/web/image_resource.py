"""The image server: GET and HEAD of stored files, renditions and facts, POST of originals
(docs/design/contract.md, "Images over HTTP").

Every error is a short JSON object {"error": ...} with its status.
"""

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.web.resource import Resource

from imagepipe.core.rendering.renditions import RenditionLimits
from imagepipe.errors import ImagepipeError, InternalError, Unauthorized, quoted
from imagepipe.monitoring.counters import Counters, note_failure
from imagepipe.usecases.lookup import Lookup
from imagepipe.usecases.originals import Originals
from imagepipe.web.http.refusal import Refusal
from imagepipe.web.http.request import BoundedRequest
from imagepipe.web.image_access import Access
from imagepipe.web.image_get import ImageGet
from imagepipe.web.image_post import ImagePost
from imagepipe.web.image_requests import NOSNIFF, raw_path, send_error

OnThread = Callable[[Callable[[], Any]], Deferred[Any]]

JSON_REFUSAL = Refusal(b"application/json", b'{"error": "%b"}\n')

METHODS = (b"GET", b"HEAD", b"POST")

_log = Logger()


class ImageResource(Resource):
    """All paths except the server's own pages. `now` is the Unix time."""

    isLeaf = True

    def __init__(
        self,
        on_thread: OnThread,
        lookup: Lookup,
        originals: Originals,
        access: Access,
        limits: RenditionLimits,
        counters: Counters,
        now: Callable[[], float],
    ) -> None:
        super().__init__()
        self._counters = counters
        self._get = ImageGet(on_thread, lookup, access.secrets, limits, now)
        self._post = ImagePost(on_thread, originals, access)
        self.fast_path = self._get.fast_path

    def render(self, request: Any) -> int:
        """Answer one request."""
        return cast(BoundedRequest, request).answer_with(self._answer(request))

    async def _answer(self, request: BoundedRequest) -> None:
        request.setHeader(*NOSNIFF)
        try:
            if request.method in (b"GET", b"HEAD"):
                await self._get.answer(request)
            elif request.method == b"POST":
                await self._post.answer(request)
            else:
                request.record.path, request.record.result = (
                    quoted(raw_path(request).decode("latin-1"), 200),
                    "no such method",
                )
                request.setHeader(b"allow", b", ".join(METHODS))
                send_error(
                    request,
                    405,
                    f"method {quoted(request.method.decode('ascii', 'replace'))} is not allowed;"
                    " use GET, HEAD or POST",
                )
        except ImagepipeError as error:
            self._refuse(request, error)
        except CancelledError:
            pass  # the client disconnected while its password was checked
        # the last resort: the client gets an answer, and the log the detail
        except Exception:
            _log.failure("a request failed")
            self._refuse(request, InternalError())
        if request.is_gone:
            request.record.result += " (client disconnected)"
            request.log()
        else:
            request.finish()

    def _refuse(self, request: BoundedRequest, error: ImagepipeError) -> None:
        request.record.result = str(error)
        if request.method == b"GET":
            self._counters.image_request_fail()
        note_failure(self._counters, request.record.call, error)
        if isinstance(error, Unauthorized):
            scheme = b"Basic" if request.method == b"POST" else b"Signature"
            request.setHeader(b"www-authenticate", scheme + b' realm="imagepipe"')
        if error.http_status in (429, 503):
            request.setHeader(b"retry-after", b"1")
        send_error(request, error.http_status, str(error))
