"""Several calls in one request, against methods in memory."""

from types import SimpleNamespace
from typing import Any, cast
from xmlrpc.client import Fault

import pytest
from twisted.internet.defer import Deferred

from imagepipe.errors import BadRequest
from imagepipe.runtime.profiling import StageTimer
from imagepipe.web.http.request_record import RequestRecord
from imagepipe.web.xmlrpc.call import Call
from imagepipe.web.xmlrpc.system_methods import CALLS_MAX, LISTED_MAX, SystemMethods


class Methods:
    """`list(n)` returns n values, `fail()` a fault, and `crash()` what should not happen."""

    def __init__(self) -> None:
        self.called: list[Call] = []
        self.turns: Deferred[None] | None = None  # what each call waits for, if anything

    async def wait_a_turn(self) -> None:
        """As ImageMethods does."""
        if self.turns:
            self.turns = Deferred()
            await self.turns

    async def run(self, part: Any, call: Call) -> object:
        """As ImageMethods does."""
        self.called.append(call)
        part.record.call, part.record.outputs, part.record.ran_seconds = repr(call.method), 1, 0.5
        if call.method == "list":
            return ["x"] * cast(int, call.parameters[0])
        if call.method == "fail":
            raise BadRequest("path", "is bad")
        if call.method == "crash":
            raise ZeroDivisionError
        return "OK"

    def fault(self, error: Exception, name: str) -> Fault:
        """The name is part of it, for the tests to see."""
        return Fault(getattr(error, "fault_code", 1002), f"{name}: {error}")


def called(calls: object, methods: Methods | None = None) -> tuple[list[Any], RequestRecord]:
    """The results of a request, and what is noted of it."""
    request: Any = SimpleNamespace(
        record=RequestRecord("'system.multicall'", stages=StageTimer()),
        shows_stages=False,
        client_host="-",
    )
    system = SystemMethods(cast(Any, methods or Methods()))
    results: list[Any] = []
    failures: list[Any] = []
    Deferred.fromCoroutine(system.xmlrpc_multicall(request, calls)).addCallbacks(
        results.append, failures.append
    )
    if failures:
        failures[0].raiseException()
    return results[0], request.record


def entry(name: object, *parameters: object) -> dict[str, object]:
    """One call."""
    return {"methodName": name, "params": list(parameters)}


class MulticallTests:
    def test_each_call_has_a_turn_of_the_reactor(self) -> None:
        methods = Methods()
        methods.turns = Deferred()
        request: Any = SimpleNamespace(
            record=RequestRecord("'system.multicall'", stages=StageTimer()),
            shows_stages=False,
            client_host="-",
        )
        answered = Deferred.fromCoroutine(
            SystemMethods(cast(Any, methods)).xmlrpc_multicall(request, [entry("a"), entry("b")])
        )
        counts = []
        for _ in range(2):
            counts.append(len(methods.called))
            methods.turns.callback(None)
        assert (counts, answered.result) == ([0, 1], [["OK"], ["OK"]])

    def test_each_call_has_its_own_result_or_fault_in_order(self) -> None:
        methods = Methods()
        results, record = called(
            [entry("a", 1, [2]), entry("fail"), entry("crash"), {"methodName": "b"}], methods
        )
        assert results == [
            ["OK"],
            {"faultCode": 1000, "faultString": "'fail': path: is bad"},
            {"faultCode": 1002, "faultString": "'crash': "},
            ["OK"],
        ]
        assert methods.called == [
            Call("a", [1, [2]]),
            Call("fail", []),
            Call("crash", []),
            Call("b", []),
        ]
        assert (record.path, record.outputs, record.ran_seconds) == ("4 calls, 2 failed", 4, 2.0)

    def test_none_is_not_a_call(self) -> None:
        assert called([])[0] == []

    @pytest.mark.parametrize("calls", [None, "", {}, entry("a"), 5])
    def test_it_takes_a_list(self, calls: object) -> None:
        with pytest.raises(BadRequest, match=r"^calls: must be a list"):
            called(calls)

    def test_there_are_no_more_than_a_hundred(self) -> None:
        methods = Methods()
        assert len(called([entry("a")] * CALLS_MAX, methods)[0]) == CALLS_MAX == len(methods.called)
        with pytest.raises(
            BadRequest, match=r"^calls: has 101 calls; at most 100 are allowed in one request$"
        ):
            called([entry("a")] * (CALLS_MAX + 1), methods)
        assert len(methods.called) == CALLS_MAX

    @pytest.mark.parametrize(
        ("wrong", "why"),
        [
            (5, "calls: every entry must be"),
            ([], "calls: every entry must be"),
            ({}, "methodName: is not a string but nil"),
            (entry(5), "methodName: "),
            ({"methodName": "a", "params": {}}, "params: must be a list"),
            (entry("system.multicall", []), "methodName: system.multicall cannot call itself"),
        ],
    )
    def test_a_malformed_one_is_its_own_fault(self, wrong: object, why: str) -> None:
        methods = Methods()
        results, _ = called([entry("a"), wrong, entry("b")], methods)
        assert [results[0], results[2]] == [["OK"], ["OK"]]
        assert results[1]["faultCode"] == 1000
        assert results[1]["faultString"].startswith(f"'system.multicall': {why}")
        assert [call.method for call in methods.called] == ["a", "b"]

    def test_the_answers_together_have_a_bound(self) -> None:
        methods = Methods()
        results, _ = called(
            [entry("list", LISTED_MAX - 1), entry("list", 5), entry("list", 5), entry("a")], methods
        )
        assert [len(result[0]) for result in results[:2]] == [LISTED_MAX - 1, 5]
        assert [result["faultCode"] for result in results[2:]] == [1000, 1000]
        assert "send it in another request" in results[2]["faultString"]
        assert len(methods.called) == 2
