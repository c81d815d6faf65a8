"""A stand-in for a daemon, with moods: full exactly so often, gone in the middle of a call, or
silent until it is told to go on.

No real one can be made to do these things at a certain call, and the command line has to live with
all of them.
"""

import socket
import threading
import xmlrpc.client
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer

PATIENCE_SECONDS = 60
Mood = Callable[[str, int], Any]
"""Path, or the method if it takes none, and number of the call for it, from 1 -> None to let it
succeed, HANG_UP, a fault, or another answer.
"""

HANG_UP = object()


class _HungUp(BaseException):
    """No Exception: of these the handler makes an answer."""


class _Handler(SimpleXMLRPCRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept

    def do_POST(self) -> None:  # the base class's name
        try:
            super().do_POST()
        except _HungUp:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)


class _Server(SimpleXMLRPCServer):
    daemon_threads = True

    def __init__(self, mood: Mood) -> None:
        self.calls: Counter[str] = Counter()
        self.counted = threading.Condition()
        self._mood = mood
        super().__init__(("127.0.0.1", 0), _Handler, logRequests=False, allow_none=True)

    def process_request(self, request: Any, client_address: Any) -> None:
        threading.Thread(target=self._serve, args=(request, client_address), daemon=True).start()

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError:
            pass  # the client is gone
        finally:
            self.shutdown_request(request)

    def _marshaled_dispatch(self, data: Any, dispatch_method: Any = None, path: Any = None) -> Any:
        arguments, method = xmlrpc.client.loads(data)
        call: Any = arguments
        if method == "admin.check_outputs":
            return xmlrpc.client.dumps(("OK",), methodresponse=True).encode()
        image = call[0] if call and isinstance(call[0], str) else str(method)
        with self.counted:
            self.calls[image] += 1
            number = self.calls[image]
            self.counted.notify_all()
        mood = self._mood(image, number)
        if mood is HANG_UP:
            raise _HungUp
        if isinstance(mood, xmlrpc.client.Fault):
            return xmlrpc.client.dumps(mood, allow_none=True).encode()
        answer: Any = mood
        if mood is None and method == "admin.render_outputs":
            answer = [{"output": output, "result": "rendered", "error": ""} for output in call[1]]
        elif mood is None:
            answer = {"fetched": True, "path": f"{image}/original"}
        return xmlrpc.client.dumps((answer,), methodresponse=True, allow_none=True).encode()


class ScriptedDaemon:
    """Public: `port`; `calls`, how often it was asked for each path. It makes every rendition, and
    does not count being asked about that.
    """

    def __init__(self, mood: Mood) -> None:
        self._server = _Server(mood)
        self.port = str(self._server.server_address[1])

    @property
    def calls(self) -> Counter[str]:
        """So far."""
        with self._server.counted:
            return Counter(self._server.calls)

    def wait_for(self, count: int) -> None:
        """Wait until it was called so often."""
        with self._server.counted:
            assert self._server.counted.wait_for(
                lambda: self._server.calls.total() >= count, PATIENCE_SECONDS
            )

    @contextmanager
    def serving(self) -> "Iterator[ScriptedDaemon]":
        """Serve while the context lasts."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join(PATIENCE_SECONDS)


def full(times: int) -> Mood:
    """Its queue is full the first times that it is asked for a path."""
    return lambda _path, number: (
        xmlrpc.client.Fault(1004, "[1004] overloaded") if number <= times else None
    )
