"""A server of originals that answers each path as a test likes."""

import threading
from collections.abc import Callable

from tests.support.hostile_server import Exchange, HostileServer

Answer = Callable[[Exchange], None]


class SourceServer:
    """A server that answers each path as it is told to, and with 404 where it is told nothing."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.server = HostileServer(
            lambda exchange: self.answers.get(exchange.path, send(404))(exchange)
        )

    @property
    def url(self) -> str:
        """Its root, without a slash at the end."""
        return f"http://{self.server.netloc}"

    def asked_for(self, path: str) -> int:
        """How often it was asked for a path."""
        return [request.split(b" ")[1].decode() for request in self.server.requests].count(path)


def send(code: int, body: bytes = b"", *headers: str) -> Answer:
    """Answers with a status, a body of declared length and headers."""
    head = "\r\n".join(
        [f"HTTP/1.1 {code} Whatever", f"Content-Length: {len(body)}", *headers, "", ""]
    ).encode()
    return lambda exchange: exchange.send(head + body)


def send_raw(*pieces: bytes) -> Answer:
    """Answers with these bytes and hangs up."""
    return lambda exchange: exchange.send(*pieces)


def send_and_hold(begin: bytes) -> Answer:
    """Sends these bytes, and no more."""

    def answer(exchange: Exchange) -> None:
        exchange.send(begin)
        exchange.hold()

    return answer


def send_for_ever(begin: bytes, piece: bytes) -> Answer:
    """Sends these bytes, and then the same until the client hangs up."""

    def answer(exchange: Exchange) -> None:
        exchange.send(begin)
        exchange.send_for_ever(piece)

    return answer


class HeldAnswer:
    """An answer that waits until it is let go; `asked` once it is waited for."""

    def __init__(self, answer: Answer) -> None:
        self.asked = threading.Event()
        self.released = threading.Event()
        self._answer = answer

    def __call__(self, exchange: Exchange) -> None:
        self.asked.set()
        assert self.released.wait(60)
        self._answer(exchange)

    def wait(self) -> None:
        """Until the server was asked."""
        assert self.asked.wait(60)
