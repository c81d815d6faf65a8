"""The messages between the daemon and a libvips worker, over a Unix socket pair.

    daemon                                   worker
                                         <-  Started            once, when it can decode
      Open(format)  + the image's memfd  ->
                                         <-  Opened(facts)      or Failed
      Render(plan, folder)               ->
                                         <-  Rendered           or Failed
      Forget                             ->

A message is its length in four bytes, big-endian, and msgpack. The image never goes through the
socket: its descriptor is passed (SCM_RIGHTS) with the length of Open, and the worker maps it until
Forget. The worker exits when the daemon closes its end.
"""

import socket
import struct
from dataclasses import dataclass

import msgspec

from imagepipe.core.rendering.plan import RenderPlan, SourceFacts

_LENGTH = struct.Struct(">I")

REPLY_BYTES_MAX = 64 << 10
"""Of a reply: a worker in which a decoder was taken over must not fill the daemon's memory."""

SIDE_MAX = 1 << 31
"""Pixels of a side, and frames, in the facts that a worker may report."""


class Open(msgspec.Struct, frozen=True, tag=True):
    """Read the header of the image in the descriptor that comes along; `format` is a
    Format's name.
    """

    format: str


class Render(msgspec.Struct, frozen=True, tag=True):
    """Render the image that was opened last; output n goes to `folder`/n. measured: decode, resize
    and encode one after the other, and say how long each took.
    """

    plan: RenderPlan
    folder: str
    measured: bool = False


class Forget(msgspec.Struct, frozen=True, tag=True):
    """The job is over: the image may go. There is no reply."""


class Started(msgspec.Struct, frozen=True, tag=True):
    """The worker has what it needs to decode: the memory, the descriptors, the library."""


class Opened(msgspec.Struct, frozen=True, tag=True):
    """The header was read."""

    facts: SourceFacts


class Rendered(msgspec.Struct, frozen=True, tag=True):
    """Every output is written; where the time went, if that was asked for."""

    stages: dict[str, float] = {}


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The request failed. `why` is for the client, unless `internal`: then it is a traceback, for
    the log. `full`: for want of room on the disk.
    """

    why: str
    internal: bool = False
    full: bool = False


Request = Open | Render | Forget
Reply = Started | Opened | Rendered | Failed


class MalformedReplyError(Exception):
    """A reply that no worker of ours sends: something else runs in it."""


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A request, and the descriptor that came with it, if one did; the receiver closes it."""

    request: Request
    descriptor: int | None


_requests = msgspec.msgpack.Decoder(Request)
_replies = msgspec.msgpack.Decoder(Reply)


def send(link: socket.socket, message: Request | Reply, descriptor: int | None = None) -> None:
    """Send one message; `descriptor`, if any, goes with its first byte. Raises OSError,
    TimeoutError included.
    """
    encoded = msgspec.msgpack.encode(message)
    if descriptor is None:
        link.sendall(_LENGTH.pack(len(encoded)) + encoded)
        return
    # sendmsg may send less than it is given, but never a part of so little.
    socket.send_fds(link, [_LENGTH.pack(len(encoded))], [descriptor])
    link.sendall(encoded)


def receive_request(link: socket.socket) -> ReceivedRequest | None:
    """The next request; None at the end of the stream."""
    head, descriptors, _, _ = socket.recv_fds(link, _LENGTH.size, 1)
    if not head:
        return None
    head += _receive_exactly(link, _LENGTH.size - len(head))
    return ReceivedRequest(
        _requests.decode(_receive_exactly(link, *_LENGTH.unpack(head))),
        descriptors[0] if descriptors else None,
    )


def receive_reply(link: socket.socket) -> Reply:
    """The next reply. Raises EOFError if the worker ended, TimeoutError after the socket's timeout,
    MalformedReplyError.
    """
    (length,) = _LENGTH.unpack(_receive_exactly(link, _LENGTH.size))
    if length > REPLY_BYTES_MAX:
        raise MalformedReplyError(f"a reply of {length} bytes")
    try:
        reply: Reply = _replies.decode(_receive_exactly(link, length))
    except msgspec.MsgspecError as error:
        raise MalformedReplyError(str(error)) from None
    if isinstance(reply, Opened):
        _check_facts(reply.facts)
    return reply


def _check_facts(facts: SourceFacts) -> None:
    """Raise MalformedReplyError for facts that no image can have."""
    for name, count in (
        ("width", facts.size.width),
        ("height", facts.size.height),
        ("frames", facts.frames),
    ):
        if not 1 <= count <= SIDE_MAX:
            raise MalformedReplyError(f"{name} {count}")
    if not 1 <= facts.orientation <= 8:
        raise MalformedReplyError(f"orientation {facts.orientation}")


def _receive_exactly(link: socket.socket, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        part = link.recv(count - len(received))
        if not part:
            raise EOFError
        received += part
    return bytes(received)
