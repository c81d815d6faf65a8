"""Clients that ask one after another, each on its own connection: so many at a time, as fast as
they are answered.
"""

import http.client
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

PATIENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask; `body` makes it a POST. An answer without `expected` in it, or with another
    status than 200, is a failure.
    """

    url: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    expected: bytes = b""


@dataclass(frozen=True, slots=True)
class Driven:
    """How long all took, and each; and how many bytes came back in all."""

    seconds: float
    latencies: Sequence[float]
    received_bytes: int

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds


def drive(requests: Sequence[Request], clients: int) -> Driven:
    """Have `clients` share the requests. Raises RuntimeError for the first that is not answered as
    it should be.
    """
    latencies: list[float] = []
    received: list[int] = []
    wrong: list[str] = []
    left = iter(requests)
    lock = threading.Lock()

    def client() -> None:
        connections: dict[str, http.client.HTTPConnection] = {}
        try:
            for request in _shared(left, lock):
                started = time.perf_counter()
                received.append(len(_ask(connections, request)))
                latencies.append(time.perf_counter() - started)
                if wrong:
                    return
        except Exception as error:  # told to whoever measures
            wrong.append(f"{error!r}")
        finally:
            for connection in connections.values():
                connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    if wrong:
        raise RuntimeError(wrong[0])
    return Driven(seconds, latencies, sum(received))


def _shared(left: Iterator[Request], lock: threading.Lock) -> Iterator[Request]:
    while True:
        with lock:
            request = next(left, None)
        if request is None:
            return
        yield request


def _ask(connections: dict[str, http.client.HTTPConnection], request: Request) -> bytes:
    parts = urlsplit(request.url)
    if parts.netloc not in connections:
        connections[parts.netloc] = http.client.HTTPConnection(
            parts.netloc, timeout=PATIENCE_SECONDS
        )
    connection = connections[parts.netloc]
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    connection.request(
        "POST" if request.body is not None else "GET", target, request.body, dict(request.headers)
    )
    response = connection.getresponse()
    answer = response.read()
    if response.status != 200 or request.expected not in answer:
        raise RuntimeError(f"{request.url}: {response.status} {answer[:200]!r}")
    return answer
