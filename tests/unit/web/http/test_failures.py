"""Code that fails at any moment of a request: its client gets an answer, or its connection is
closed.
"""

from collections.abc import Callable, Coroutine
from io import BytesIO
from typing import Any
from xmlrpc.client import Fault, dumps, loads

import pytest
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.web.resource import Resource

from imagepipe.core.rendering.renditions import RenditionLimits
from imagepipe.monitoring.counters import Counters
from imagepipe.web.http.request import BoundedRequest
from imagepipe.web.image_access import Access
from imagepipe.web.image_resource import JSON_REFUSAL, ImageResource
from imagepipe.web.xmlrpc.image_methods import ImageMethods, method
from tests.support.browser import Browser
from tests.support.http_responses import answer
from tests.support.pages import PAGE, CountingPage, WaitingPage

POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%b"


class BugError(Exception):
    """What nobody expects."""


class Failing(Resource):
    """A page that answers with the coroutine function `run`."""

    isLeaf = True

    def __init__(self, run: Callable[[BoundedRequest], Coroutine[Any, Any, None]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._run = run

    def render(self, request: BoundedRequest) -> int:
        return request.answer_with(self._run(request))


class StageTests:
    """A resource that fails before, during or after its answer."""

    def test_before_the_answer_it_is_500(self) -> None:
        async def run(request: Any) -> None:
            request.setHeader(b"x-half", b"done")
            raise BugError

        lines: list[tuple[int, str]] = []
        browser = Browser(
            Failing(run), on_answered=lambda one: lines.append((one.code, one.record.result))
        )
        browser.ask()
        got = answer(browser.heard)
        assert (got.status, b"internal error" in got.body, "x-half" in got.headers) == (
            500,
            True,
            False,
        )
        assert [code for code, _ in lines] == [500]
        assert not browser.is_closed

    def test_later_too(self) -> None:
        waiting: Deferred[None] = Deferred()

        async def run(request: Any) -> None:
            await waiting

        browser = Browser(Failing(run), refusal=JSON_REFUSAL)
        browser.ask()
        assert browser.heard == b""
        waiting.errback(BugError())
        got = answer(browser.heard)
        assert (got.status, got.json) == (
            500,
            {"error": "internal error: see the server's log for details"},
        )

    def test_a_head_request_gets_no_body(self) -> None:
        async def run(request: Any) -> None:
            raise BugError

        browser = Browser(Failing(run))
        browser.send(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer(browser.heard, "HEAD").status == 500

    def test_a_header_that_cannot_be_sent_closes_the_connection(self) -> None:
        async def run(request: Any) -> None:
            request.setResponseCode(200, "not bytes")
            request.finish()

        assert _ask(run).transport.disconnected

    def test_in_the_middle_of_the_answer_the_connection_is_closed(self) -> None:
        async def run(request: Any) -> None:
            request.setHeader(b"content-length", b"10")
            request.write(b"12345")
            raise BugError

        lines: list[tuple[int, str]] = []
        browser = _ask(run, on_answered=lambda one: lines.append((one.code, one.record.result)))
        assert browser.transport.disconnected
        assert browser.heard.endswith(b"12345")
        assert [code for code, _ in lines] == [500]

    def test_after_the_answer_nothing_is_added(self) -> None:
        async def run(request: Any) -> None:
            request.setHeader(b"content-length", b"2")
            request.write(b"ok")
            request.finish()
            raise BugError

        browser = _ask(run)
        assert answer(browser.heard).body == b"ok"
        assert not browser.is_closed

    def test_after_the_client_has_gone_nothing_is_waited_for(self) -> None:
        waiting: Deferred[None] = Deferred()

        async def run(request: Any) -> None:
            await waiting

        browser = _ask(run)
        browser.leave()
        waiting.errback(BugError())
        assert (browser.heard, browser.site.content.unanswered) == (b"", 0)

    def test_code_that_forgets_to_answer_is_500(self) -> None:
        async def run(request: Any) -> None:
            pass

        assert answer(_ask(run).heard).status == 500

    def test_a_log_that_fails_does_not_keep_the_client_waiting(self) -> None:
        def fail(_: Any) -> None:
            raise BugError

        browser = Browser(CountingPage(), on_answered=fail)
        browser.ask()
        assert browser.transport.disconnected

    def test_an_exception_in_render_is_500(self) -> None:
        class Page(CountingPage):
            def render(self, request: Any) -> bytes:
                raise BugError

        browser = Browser(Page(), refusal=JSON_REFUSAL)
        browser.ask()
        assert answer(browser.heard).status == 500
        assert answer(browser.heard).headers["content-type"] == "application/json"

    def test_the_next_request_that_fails_before_any_page_closes_the_connection(self) -> None:
        def fail(_: Any) -> None:
            raise BugError

        page = WaitingPage()
        browser = Browser(page, admit=fail)
        browser.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + POST % (1, b"x"))
        page.answer()
        assert answer(browser.heard).body == PAGE
        assert browser.transport.disconnected


class Methods(ImageMethods):
    """XML-RPC methods that fail."""

    @method("int")
    async def xmlrpc_value(self, request: BoundedRequest, name: str) -> object:
        """Return what XML-RPC has no form for."""
        return {"set": {1}, "object": object(), "key": {1: 2}, "surrogate": "\ud800"}[name]

    @method("int")
    async def xmlrpc_bug(self, request: BoundedRequest) -> object:
        """Fail."""
        raise BugError


class MethodTests:
    """A call of a method that fails gets fault 1002."""

    @pytest.mark.parametrize("name", ["set", "object", "key"])
    def test_a_value_that_xml_rpc_cannot_carry(self, name: str) -> None:
        assert _fault("value", name).faultCode == 1002

    def test_one_that_xml_cannot_carry_is_replaced(self) -> None:
        heard = _call(_methods(_at_once), "value", "surrogate").heard
        assert loads(answer(heard).body)[0][0] == "\ufffd"

    def test_an_exception(self) -> None:
        assert _fault("bug").faultCode == 1002

    def test_it_is_counted_and_logged_as_one(self) -> None:
        lines: list[Any] = []
        methods = _methods(_at_once)
        _call(methods, "value", "set", on_answered=lines.append)
        assert [line.record.result for line in lines] == [
            "[1002] internal error: see the server's log for details"
        ]

    def test_threads_that_fail(self) -> None:
        def on_thread(call: Callable[[], Any]) -> "Deferred[Any]":
            raise BugError

        assert answer(_call(_methods(on_thread), "bug").heard).status == 500

    def test_a_body_that_cannot_be_closed(self) -> None:
        class Body(BytesIO):
            def close(self) -> None:
                super().close()  # or the garbage collector would try it again
                raise OSError

        class Closing(Methods):
            def render_POST(self, request: Any) -> int:
                request.content = Body(request.content.read())
                return super().render_POST(request)

        assert answer(_call(_methods(_at_once, Closing), "bug").heard).status == 500


class ImagePagesTests:
    """A GET or POST that fails gets 500 and a JSON object."""

    @pytest.mark.parametrize(
        "asked",
        [
            b"GET /a.jpg HTTP/1.1\r\nHost: x\r\n\r\n",
            POST.replace(b"/ ", b"/a.jpg ").replace(
                b"Content-Type: text/xml", b"Authorization: Basic YTpi"
            )
            % (1, b"x"),
        ],
    )
    def test_an_exception_below(self, asked: bytes) -> None:
        nothing: Any = object()
        limits = RenditionLimits((), 100, 80, (), 1000)
        pages = ImageResource(
            _at_once,
            nothing,
            nothing,
            Access((), nothing),
            limits,
            Counters(lambda: 0.0),
            lambda: 0.0,
        )
        browser = Browser(pages, refusal=JSON_REFUSAL)
        browser.send(asked)
        got = answer(browser.heard, asked[:4].decode().strip())
        assert (got.status, got.json) == (
            500,
            {"error": "internal error: see the server's log for details"},
        )


def _at_once(call: Callable[[], Any]) -> "Deferred[Any]":
    return maybeDeferred(call)


def _methods(
    on_thread: Callable[[Callable[[], Any]], "Deferred[Any]"], kind: type[Methods] = Methods
) -> Methods:
    nothing: Any = object()
    return kind(
        nothing, nothing, nothing, on_thread, Counters(lambda: 0.0), bytes_max=1000, size_max=1000
    )


def _call(page: Any, name: str, *arguments: Any, **options: Any) -> Browser:
    browser = Browser(page, **options)
    body = dumps(arguments, name).encode()
    browser.send(POST % (len(body), body))
    return browser


def _fault(name: str, *arguments: Any) -> Fault:
    with pytest.raises(Fault) as caught:
        loads(answer(_call(_methods(_at_once), name, *arguments).heard).body)
    return caught.value


def _ask(run: Callable[[BoundedRequest], Coroutine[Any, Any, None]], **options: Any) -> Browser:
    browser = Browser(Failing(run), **options)
    browser.ask()
    return browser
