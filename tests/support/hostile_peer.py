"""An upstream that lies: it answers Hello, Changes and Get over real sockets, with whatever rows
and bytes it was given.
"""

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import zmq
from msgspec import structs

from imagepipe.core.replication import messages
from imagepipe.core.replication.messages import (
    Batch,
    Changes,
    Get,
    Head,
    Hello,
    Pieces,
    Range,
    Reply,
    Request,
    WireRow,
)

NODE, EPOCH, ORIGIN = "ab" * 16, "cd" * 16, "ee" * 16
CLUSTER = "imagepipe"


def forged(
    path: str,
    *,
    data: bytes | None = None,
    digest: str = "aa" * 32,
    size: int = 1,
    format: str | None = None,
    width: int = 0,
    height: int = 0,
    stamp: int = 0,
) -> WireRow:
    """A row that claims these things; digest and size are those of `data`, if there is any. It is
    numbered when it is sent.
    """
    if data is not None:
        digest, size = hashlib.sha256(data).hexdigest(), len(data)
    stamp = stamp or int(time.time() * 1000) << 16
    return WireRow(path, stamp, ORIGIN, None, None, digest, size, 0, format, width, height)


class HostilePeer:
    """rows: what it announces. objects: its bytes by digest. bytes_of: what it sends for a range
    instead. reply: tried before it answers as a node would.

    sent_bytes: how many bytes of objects it has sent. requests: all requests it has received.
    """

    def __init__(
        self,
        folder: Path,
        rows: Sequence[WireRow],
        objects: Sequence[bytes] = (),
        *,
        bytes_of: Callable[[Range], bytes] | None = None,
        reply: Callable[[Request], Sequence[bytes]] = lambda _: (),
    ) -> None:
        self.endpoint = f"ipc://{folder}/hostile"
        self.sent_bytes = 0
        self.requests: list[Request] = []
        self._rows = [_numbered(row, seq) for seq, row in enumerate(rows, 1)]
        self._objects: Mapping[str, bytes] = {
            hashlib.sha256(one).hexdigest(): one for one in objects
        }
        self._bytes_of = bytes_of
        self._reply = reply
        self._ends = threading.Event()

    @contextlib.contextmanager
    def at_work(self) -> Iterator["HostilePeer"]:
        """Publish and answer until the context ends."""
        context = zmq.Context()
        publisher, server = context.socket(zmq.PUB), context.socket(zmq.ROUTER)
        publisher.bind(self.endpoint)
        server.bind(f"{self.endpoint}.sync")
        thread = threading.Thread(target=self._run, args=(publisher, server), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._ends.set()
            thread.join()
            context.destroy(linger=0)

    def head(self) -> Head:
        """The Head that it publishes."""
        return Head(NODE, EPOCH, len(self._rows), "", int(time.time() * 1000), "hostile\n")

    def _run(self, publisher: "zmq.Socket[bytes]", server: "zmq.Socket[bytes]") -> None:
        while not self._ends.is_set():
            publisher.send(messages.encode(CLUSTER, self.head()))
            while server.poll(100):
                client, data = server.recv_multipart()
                request = messages.decode_request(CLUSTER, data)
                self.requests.append(request)
                for answer in (
                    *self._reply(request),
                    messages.encode(CLUSTER, self._answer(request)),
                ):
                    server.send_multipart([client, answer])

    def _answer(self, request: Request) -> Reply:
        match request:
            case Hello():
                return self.head()
            case Changes(rid, _, epoch, after):
                after = after if epoch == EPOCH else 0
                rows = self._rows[after : after + messages.ROWS_MAX]
                return Batch(
                    rid, NODE, EPOCH, after, after + len(rows), len(self._rows), tuple(rows)
                )
            case Get(rid, ranges):
                return Pieces(rid, tuple(self._piece(one) for one in ranges))

    def _piece(self, wanted: Range) -> bytes | None:
        data = self._objects.get(wanted.digest)
        if self._bytes_of:
            piece = self._bytes_of(wanted)
        elif data is None:
            return None
        else:
            piece = data[wanted.offset : wanted.offset + wanted.length]
        self.sent_bytes += len(piece)
        return piece


def _numbered(row: WireRow, seq: int) -> WireRow:
    return structs.replace(row, seq=seq)
