"""The methods of `system.`: introspection, and several calls in one request.

    system.multicall([{"methodName": "delete_image", "params": ["a.jpg"]}, ...])
    -> [["OK"], {"faultCode": 1000, "faultString": "[1000] path: ..."}, ...]

The calls run one after the other, each as if it had been sent by itself: a failed call does not
affect the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from twisted.logger import Logger
from twisted.web.xmlrpc import XMLRPCIntrospection

from imagepipe.core.requests.argument_types import parse_text
from imagepipe.errors import BadRequest
from imagepipe.web.http.request import BoundedRequest
from imagepipe.web.http.request_record import RequestRecord
from imagepipe.web.xmlrpc.call import Call
from imagepipe.web.xmlrpc.image_methods import ImageMethods, method

CALLS_MAX = 100
LISTED_MAX = 100_000
"""Values in all answers of a request together: as many as one call of list_images may return."""

_log = Logger()


@dataclass(frozen=True, slots=True)
class _Part:
    """One call of a request: the attributes of a request that methods use."""

    record: RequestRecord
    shows_stages: bool


class SystemMethods(XMLRPCIntrospection):
    """The sub-handler `system` of `methods`."""

    def __init__(self, methods: ImageMethods) -> None:
        super().__init__(methods)
        self._methods = methods

    @method("array array")
    async def xmlrpc_multicall(self, request: BoundedRequest, calls: object) -> list[object]:
        """multicall(calls) -> [[result], ...]

        Make several calls in one request, one after the other.

        calls  [{"methodName": name, "params": [argument, ...]}, ...], at most 100

        Returns, for each call, an array with its result or a struct with its fault: {faultCode,
        faultString}.
        """
        if not isinstance(calls, list):
            raise BadRequest("calls", "must be a list of {methodName, params}")
        if len(calls) > CALLS_MAX:
            raise BadRequest(
                "calls", f"has {len(calls)} calls; at most {CALLS_MAX} are allowed in one request"
            )
        results: list[object] = []
        failed = listed = 0
        for number, given in enumerate(calls, 1):
            await self._methods.wait_a_turn()  # a hundred quick calls together are not quick
            part = _Part(
                RequestRecord(call=request.record.call, stages=request.record.stages),
                request.shows_stages,
            )
            try:
                result = await self._result(part, given, listed)
            # any error is the fault of this call only
            except Exception as error:
                fault = self._methods.fault(error, part.record.call)
                results.append({"faultCode": fault.faultCode, "faultString": fault.faultString})
                part.record.result = fault.faultString
                failed += 1
            else:
                results.append([result])
                listed += (
                    len(result)
                    if isinstance(result, Sequence) and not isinstance(result, str)
                    else 1
                )
                part.record.result = "OK"
            _note(request, part.record, number, len(calls))
        request.record.path = f"{len(calls)} calls, {failed} failed"
        return results

    async def _result(self, part: _Part, given: object, listed: int) -> object:
        call = _call(given)
        if listed >= LISTED_MAX:
            raise BadRequest(
                "calls",
                f"the calls before this one returned {LISTED_MAX} values;"
                " send it in another request",
            )
        return await self._methods.run(cast(BoundedRequest, part), call)


def _call(given: object) -> Call:
    if not isinstance(given, dict):
        raise BadRequest("calls", "every entry must be {methodName, params}")
    entry: dict[Any, object] = given
    name, parameters = parse_text(entry.get("methodName"), "methodName"), entry.get("params", [])
    if not isinstance(parameters, list):
        raise BadRequest("params", "must be a list")
    if name == "system.multicall":
        raise BadRequest("methodName", "system.multicall cannot call itself")
    return Call(name, parameters)


def _note(request: BoundedRequest, record: RequestRecord, number: int, count: int) -> None:
    """Log one line per call; the totals are in the line of the request."""
    _log.info(
        "{client} call {number} of {count}: {call} {path}, {outputs} outputs, waited {waited} ms,"
        " ran {ran} ms: {result}",
        client=request.client_host,
        number=number,
        count=count,
        call=record.call,
        path=record.path,
        outputs=record.outputs,
        waited=round(record.waited_seconds * 1000),
        ran=round(record.ran_seconds * 1000),
        result=record.result,
    )
    request.record.outputs += record.outputs
    request.record.waited_seconds += record.waited_seconds
    request.record.ran_seconds += record.ran_seconds
