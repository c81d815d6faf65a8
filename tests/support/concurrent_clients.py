"""Many clients at once, for tests: each asks, checks the answer, and asks again; whatever is not a
right answer is noted.
"""

import asyncio
import itertools
import threading
import xmlrpc.client
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

PATIENCE_SECONDS = 15
WRONG_MAX = 20


@dataclass(frozen=True)
class Ask:
    """A request to the server at `url`; its body by its number, and whether the body of an answer
    is right.
    """

    url: str
    method: str
    path: str
    body: Callable[[int], bytes]
    is_right: Callable[[bytes], bool]


def get(url: str, path: str, is_right: Callable[[bytes], bool]) -> Ask:
    """A GET of this path."""
    return Ask(url, "GET", path, lambda _: b"", is_right)


def store(url: str, image: bytes, path: Callable[[int], str], *arguments: Any) -> Ask:
    """A store of this image, at a path for each number."""

    def body(number: int) -> bytes:
        return xmlrpc.client.dumps(
            (xmlrpc.client.Binary(image), path(number), *arguments), "store_image", allow_none=True
        ).encode()

    return Ask(url, "POST", "/", body, lambda body: b"<string>OK</string>" in body)


class ConcurrentClients:
    """So many clients, who ask in turn what there is to ask, every second one over a connection
    that it keeps while it asks the same server; on a thread of their own.

    As a context they end when each has its last answer. `asked` and `answered` count, `wrong` says
    what went wrong.
    """

    def __init__(self, asks: Sequence[Ask], clients: int) -> None:
        self.asked = 0
        self.answered = 0
        self.wrong: list[str] = []
        self._numbers = itertools.count()
        self._asks = itertools.cycle(asks)
        self._clients = clients
        self._ending = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Ask nothing more, and wait for the answers; the end of the context does it."""
        self._ending = True
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive(), "some clients wait without end"

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until it holds; it is looked at whenever somebody has asked or been answered."""
        with self._changed:
            assert self._changed.wait_for(
                lambda: condition() or len(self.wrong) >= WRONG_MAX, PATIENCE_SECONDS
            ), f"{self.asked}, {self.answered}"

    def wait_for(self, answers: int) -> None:
        """Wait until so many more have been answered."""
        enough = self.answered + answers
        self.wait_until(lambda: self.answered >= enough)

    async def _run(self) -> None:
        await asyncio.gather(
            *(self._client(keeps=number % 2 == 0) for number in range(self._clients))
        )

    async def _client(self, *, keeps: bool) -> None:
        link: _Link | None = None
        while not self._ending and len(self.wrong) < WRONG_MAX:
            ask, number = next(self._asks), next(self._numbers)
            try:
                if link and link.url != ask.url:
                    # an idle connection may be closed by the server at any time, and that is no
                    # fault
                    link.close()
                    link = None
                link = link or await _Link.make(ask.url)
                await link.send(ask, number, keeps=keeps)
                self._note(asked=1)
                status, headers, body = await asyncio.wait_for(link.receive(), PATIENCE_SECONDS)
                if status != 200 or not ask.is_right(body):
                    self.wrong.append(f"{ask.method} {ask.path}: {status} {body[:300]!r}")
                is_kept = headers.get("connection") != "close"
            except (OSError, EOFError, asyncio.IncompleteReadError) as error:
                self.wrong.append(f"{ask.method} {ask.path}: {error!r}")
                is_kept = False
            if link and not is_kept:
                link.close()
                link = None
            self._note(answered=1)
        if link:
            link.close()

    def _note(self, *, asked: int = 0, answered: int = 0) -> None:
        with self._changed:
            self.asked += asked
            self.answered += answered
            self._changed.notify_all()


class _Link:
    """A connection to the server at `url`."""

    def __init__(
        self, url: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.url = url
        self._reader = reader
        self._writer = writer

    @classmethod
    async def make(cls, url: str) -> Self:
        parts = urlsplit(url)
        return cls(url, *await asyncio.open_connection(parts.hostname, parts.port))

    async def send(self, ask: Ask, number: int, *, keeps: bool) -> None:
        body = ask.body(number)
        connection = "keep-alive" if keeps else "close"
        head = (
            f"{ask.method} {ask.path} HTTP/1.1\r\nHost: x\r\nConnection:"
            f" {connection}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        await self._writer.drain()

    async def receive(self) -> tuple[int, Mapping[str, str], bytes]:
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines[1:])
        }
        return (
            int(lines[0].split()[1]),
            headers,
            await self._reader.readexactly(int(headers["content-length"])),
        )

    def close(self) -> None:
        self._writer.close()
