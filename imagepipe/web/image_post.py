"""POST of originals: credentials -> body, form or URL -> Originals -> the facts as JSON."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from imagepipe.core.paths import clean
from imagepipe.core.requests.conditional import OK
from imagepipe.core.requests.targets import parse_target
from imagepipe.errors import quoted
from imagepipe.usecases.originals import Originals
from imagepipe.web.http.request import BoundedRequest
from imagepipe.web.image_access import Access
from imagepipe.web.image_requests import query_value, query_values, raw_path, send_json
from imagepipe.web.public_facts import public_facts
from imagepipe.web.upload_forms import image_in

OnThread = Callable[[Callable[[], Any]], Deferred[Any]]


class ImagePost:
    """Answers POST, for clients that may."""

    def __init__(self, on_thread: OnThread, originals: Originals, access: Access) -> None:
        self._on_thread = on_thread
        self._originals = originals
        self._access = access

    async def answer(self, request: BoundedRequest) -> None:
        request.record.call = "post"
        body = request.take_body()
        try:
            target = parse_target(raw_path(request))
            request.record.path = quoted(target.text, 200)
            await self._access.check_post(request)
            path = target.path or clean(target.text)  # raises the reason
            source = query_value(request, b"source") or None
            names = [
                name
                for value in query_values(request, b"outputs")
                for name in value.split(",")
                if name
            ]
            image = (
                None
                if source is not None
                else await self._on_thread(
                    lambda: image_in(body, request.getHeader(b"content-type"))
                )
            )
            try:
                info, timed = await self._originals.post(path, image, source, names)
            finally:
                if image:
                    image.close()
        finally:
            body.close()
        request.record.outputs = len(names)
        request.record.waited_seconds, request.record.ran_seconds = (
            timed.waited_seconds,
            timed.ran_seconds,
        )
        request.record.result = "OK"
        send_json(request, OK, public_facts(info))
