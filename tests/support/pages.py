"""Pages for the tests of a site."""

from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

PAGE = b"a page"


class CountingPage(Resource):
    """A page that counts who asks for it."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.asked = 0

    def render(self, request: Any) -> bytes:
        self.asked += 1
        return PAGE


class WaitingPage(Resource):
    """A page whose answer the test gives."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._requests: list[Any] = []

    def render(self, request: Any) -> int:
        request.setHeader(b"content-length", b"%d" % len(PAGE))
        self._requests.append(request)
        return NOT_DONE_YET

    def begin(self) -> None:
        """Send the headers."""
        self._requests[0].write(b"")

    def answer(self) -> None:
        """Answer the request that waits."""
        request = self._requests.pop()
        request.write(PAGE)
        request.finish()
