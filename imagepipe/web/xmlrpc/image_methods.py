"""The XML-RPC methods (docs/design/contract.md, "XML-RPC"). Bodies are parsed on threads; the
reactor's thread only passes results on.

    complete request -> parse_call (thread) -> xmlrpc_<method>: arguments checked (thread) ->
    Operations -> "OK", a value, or a fault

Faults are ImagepipeError's 1000 to 1004, and Twisted's own: 8001 for an unknown method, 8002 for
a malformed call.
"""

import inspect
from collections.abc import Callable, Coroutine, Sequence
from typing import IO, Any, TypeVar
from xmlrpc.client import Fault

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.web.error import UnsupportedMethod
from twisted.web.server import NOT_DONE_YET
from twisted.web.xmlrpc import XMLRPC, NoSuchFunction, withRequest

from imagepipe.core.path_escaping import escaped
from imagepipe.core.requests.call_arguments import (
    StoreRequest,
    parse_moves,
    parse_page,
    parse_paths,
    parse_store,
    parse_stored_path,
)
from imagepipe.errors import ImagepipeError, InternalError, quoted
from imagepipe.monitoring.counters import Counters, note_failure
from imagepipe.usecases.change_operations import ChangeOperations
from imagepipe.usecases.query_operations import QueryOperations
from imagepipe.usecases.store_operation import StoreOperation
from imagepipe.web.http.request import BoundedRequest
from imagepipe.web.public_facts import public_facts
from imagepipe.web.xmlrpc.answers import encode_answer
from imagepipe.web.xmlrpc.base64_images import decode_image
from imagepipe.web.xmlrpc.call import Call, parse_call
from imagepipe.web.xmlrpc.unmarshal import METHOD_LENGTH_MAX, MalformedCallError

T = TypeVar("T")
OnThread = Callable[[Callable[[], Any]], Deferred[Any]]

_log = Logger()


def method(*signatures: str) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Marks an XML-RPC method whose first argument is the request. `signatures` are what
    system.methodSignature returns: types, beginning with that of the result.
    """

    def mark(function: Callable[..., T]) -> Callable[..., T]:
        described: Any = function
        described.signature = [signature.split() for signature in signatures]
        return withRequest(function)  # type: ignore[no-any-return]

    return mark


class ImageMethods(XMLRPC):
    """The methods of docs/design/contract.md, "XML-RPC". `on_thread` runs a blocking call on a
    thread of its own pool; sizes are bounded by the `*_max` given.
    """

    isLeaf = True  # calls may be sent to any path, as they always could

    def __init__(
        self,
        store_operation: StoreOperation,
        changes: ChangeOperations,
        queries: QueryOperations,
        on_thread: OnThread,
        counters: Counters,
        *,
        bytes_max: int,
        size_max: int,
    ) -> None:
        super().__init__(allowNone=True)
        self._store_operation = store_operation
        self._changes = changes
        self._queries = queries
        self._on_thread = on_thread
        self._counters = counters
        self._bytes_max = bytes_max
        self._size_max = size_max

    @method(
        "string base64 string", "string string string", "string base64 string string struct int int"
    )
    async def xmlrpc_store_image(
        self,
        request: BoundedRequest,
        image: object,
        path: object,
        fmt: object = None,
        size: object = None,
        composite: object = 0,
        crop: object = 0,
    ) -> str:
        """store_image(image, path, fmt=None, size=None, composite=0, crop=0) -> "OK"

        Store an image unchanged, or rendered to one or more sizes. Either all outputs are stored
        or none.

        image      base64, as a string or a base64 value
        path       where to store it, relative to images.path
        fmt        format and extension of the outputs: jpg, png, gif, webp, avif, tiff, ...; by
                   default, the extension of path decides
        size       [width, height], or {suffix: [width, height]} for several outputs; the suffix
                   goes before the extension
        composite  1: centre the image on a canvas of exactly this size
        crop       1: fill exactly this size, cropping the excess

        fmt, composite and crop take one value, or {suffix: value}.
        """
        wanted: StoreRequest = await self._on_thread(
            lambda: parse_store(path, fmt, size, composite, crop, self._size_max)
        )
        record = request.record
        record.path = quoted(wanted.paths[0], 200)
        record.outputs = len(wanted.paths)
        stages = record.stages if request.shows_stages else None
        timed = await self._store_operation.store(
            lambda: decode_image(image, self._bytes_max), wanted, stages=stages
        )
        record.waited_seconds, record.ran_seconds = timed.waited_seconds, timed.ran_seconds
        return "OK"

    @method("string string", "string array")
    async def xmlrpc_delete_image(self, request: BoundedRequest, path: object) -> str:
        """delete_image(path) -> "OK"

        Delete an image, or all images of a list in one step. A path without an image is not an
        error.
        """
        paths: tuple[str, ...] = await self._on_thread(lambda: parse_paths(path))
        request.record.path = _summary(paths)
        await self._changes.delete(paths)
        return "OK"

    @method("string string string", "string array array")
    async def xmlrpc_move_image(
        self, request: BoundedRequest, src_path: object, dst_path: object
    ) -> str:
        """move_image(src_path, dst_path) -> "OK"

        Move an image, or a list of images to a list of paths of the same length: in order, and
        either all or none. An image at a destination is replaced.
        """
        pairs: tuple[tuple[str, str], ...] = await self._on_thread(
            lambda: parse_moves(src_path, dst_path)
        )
        request.record.path = _summary([" -> ".join(pair) for pair in pairs[:1]], len(pairs))
        await self._changes.move(pairs)
        return "OK"

    @method("struct string")
    async def xmlrpc_image_info(self, request: BoundedRequest, path: object) -> dict[str, Any]:
        """image_info(path) -> {path, size, digest, width, height, format, modified}

        Information about a stored image: size in bytes, SHA-256, width and height in pixels,
        format, and when it was stored (ISO 8601, UTC).
        """
        cleaned = parse_stored_path(path)
        request.record.path = quoted(cleaned, 200)
        return public_facts(await self._queries.info(cleaned))

    @method("array", "array string string int")
    async def xmlrpc_list_images(
        self, request: BoundedRequest, prefix: object = "", after: object = "", limit: object = 1000
    ) -> list[str]:
        """list_images(prefix="", after="", limit=1000) -> [path, ...]

        The paths of the stored images that begin with prefix and come after `after` in byte order;
        at most `limit` of them (up to 100000). For the next page, pass the last path as `after`.
        """
        page = parse_page(prefix, after, limit)
        request.record.path = quoted(page.prefix, 200)
        return [
            escaped(path) for path in await self._queries.list(page.prefix, page.after, page.limit)
        ]

    def render_HEAD(self, request: BoundedRequest) -> int:
        """Refused: Twisted would call render_GET, which does not exist."""
        raise UnsupportedMethod((b"POST",))

    def render_POST(self, request: BoundedRequest) -> int:
        """Answer one call."""
        channel: Any = request.channel
        if channel is None:
            return NOT_DONE_YET  # the client disconnected while its password was checked
        return request.answer_with(self._answer(request))

    async def _answer(self, request: BoundedRequest) -> None:
        body = request.take_body()
        gone: list[object] = []
        request.notifyFinish().addErrback(gone.append)
        try:
            response, request.record.result = await self._response(request, body)
        finally:
            body.close()
        if gone:
            request.record.result += " (client disconnected)"
            request.log()
            return
        request.setHeader(b"content-type", b"text/xml; charset=utf-8")
        request.setHeader(b"content-length", b"%d" % len(response))
        request.write(response)
        request.finish()

    async def _response(self, request: BoundedRequest, body: IO[bytes]) -> tuple[bytes, str]:
        """The answer to the call in `body`, and its result for the log: OK, or the fault's text."""
        try:
            return await self._encoded(request, await self._called(request, body)), "OK"
        except Exception as error:  # the client always gets an answer
            fault = self.fault(error, request.record.call)
        return await self._encoded(request, fault), fault.faultString

    async def _called(self, request: BoundedRequest, body: IO[bytes]) -> object:
        """What the method that `body` calls returns."""
        with request.record.stages.measured("parse"):
            call: Call = await self._on_thread(lambda: parse_call(body))
        return await self.run(request, call)

    async def run(self, request: BoundedRequest, call: Call) -> object:
        """What a method returns. Raises Fault, ImagepipeError or anything else: see `fault`."""
        request.record.call = quoted(call.method)
        procedure = self.lookupProcedure(call.method)
        arguments = _bound(procedure, request, call)
        result: object = await maybeDeferred(procedure, *arguments)
        return result

    async def wait_a_turn(self) -> None:
        """Let the reactor do something else."""
        await self._on_thread(lambda: None)

    def fault(self, error: Exception, name: str) -> Fault:
        """The fault for the exception being handled, which a call of `name` raised; if it is an
        error of ours, the detail is logged.
        """
        if isinstance(error, Fault):
            return error
        if isinstance(error, MalformedCallError):
            return Fault(self.FAILURE, f"Can't deserialize input: {error}")
        if not isinstance(error, ImagepipeError):
            _log.failure("a call failed")
            error = InternalError()
        # The name is one of ours, and not made up by the client: only our methods raise these
        # errors.
        note_failure(self._counters, name.strip("'"), error)
        return Fault(error.fault_code, error.fault_string)

    def lookupProcedure(self, procedurePath: object) -> Any:
        """The method of this name, which may be any value from a client. Raises NoSuchFunction."""
        if isinstance(procedurePath, str) and len(procedurePath) <= METHOD_LENGTH_MAX:
            try:
                return super().lookupProcedure(procedurePath)
            except NoSuchFunction:
                pass
        why = (
            f"there is no method {quoted(procedurePath)}"
            if isinstance(procedurePath, str)
            else "the method name must be a string"
        )
        raise NoSuchFunction(self.NOT_FOUND, why)

    async def _encoded(self, request: BoundedRequest, result: object) -> bytes:
        """`result` as XML. Raises if XML-RPC cannot represent it, such as very long integers."""
        with request.record.stages.measured("answer"):
            response: bytes = await self._on_thread(lambda: encode_answer(result))
        return response


def _bound(
    procedure: Callable[..., Coroutine[Any, Any, Any]], request: BoundedRequest, call: Call
) -> list[object]:
    """The arguments of `procedure`; a Fault if their number is wrong."""
    own = [request] if getattr(procedure, "withRequest", False) else []
    arguments = [*own, *call.parameters]
    try:
        inspect.signature(procedure).bind(*arguments)
    except TypeError:
        raise Fault(ImageMethods.FAILURE, f"{call.method}: wrong number of arguments") from None
    return arguments


def _summary(some: Sequence[str], count: int | None = None) -> str:
    """The first of `some`, and how many more there are."""
    more = (len(some) if count is None else count) - 1
    return (quoted(some[0], 200) if some else "nothing") + (f" and {more} more" if more > 0 else "")
