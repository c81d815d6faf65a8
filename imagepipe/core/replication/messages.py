"""The messages between nodes, and their wire format (docs/design/replication.md, "The messages").

    1 byte    PROTOCOL
    msgpack   [cluster, [type, field, field, ...]]
    4 bytes   CRC-32 of all that, big-endian: TCP's own checksum misses one damaged segment in many
              thousands, and a path with a flipped bit still looks like a path

    a puller asks (DEALER)             its upstream answers (ROUTER)
    Hello    who are you?              Head
    Changes  what is new since n?      Batch
    Get      bytes, by their digest    Pieces
                                       Refused   to any of them
    and an upstream publishes (PUB)    Head      after a commit, and every second

A message from outside is untrusted until it has been decoded: that checks types, lengths, digests
and the bounds of numbers. A message that no node would send raises Malformed. A row whose path no
image may have is left out of `Batch.rows`, and the rest of the batch is accepted.
"""

import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from imagepipe.core import paths
from imagepipe.core.path_escaping import needs_escaping
from imagepipe.core.replication.admission import plausible_facts
from imagepipe.core.rows import erasure
from imagepipe.core.rows.entries import Content, Entry, Row
from imagepipe.core.rows.stamp import STAMP_MAX, Version
from imagepipe.errors import BadRequest, quoted

T = TypeVar("T")

PROTOCOL = 1
ROWS_MAX = 256
"""The most rows in a Batch."""

RANGES_MAX = 64
"""The most pieces that a Get asks for."""

GET_BYTES_MAX = 256 * 1024
"""The most bytes that a Get asks for, in all its ranges together."""

REQUEST_BYTES_MAX = 64 * 1024
REPLY_BYTES_MAX = 1024 * 1024

CONTENT_BYTES_MAX = 1 << 40
_CRC_BYTES = 4

Id = Annotated[str, Meta(pattern="^[0-9a-f]{1,32}\\Z")]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}\\Z")]
Number = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Stamp = Annotated[int, Meta(ge=0, le=STAMP_MAX)]
Size = Annotated[int, Meta(ge=1, le=CONTENT_BYTES_MAX)]
Name = Annotated[str, Meta(max_length=255)]


class Malformed(Exception):
    """A message that no node would send. The text says what is wrong with it."""


class Foreign(Exception):
    """A message from another cluster, named `cluster`."""

    def __init__(self, cluster: str) -> None:
        super().__init__(f"it belongs to the cluster {quoted(cluster)}")
        self.cluster = cluster


class _Message(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A message."""


class Head(_Message, frozen=True, tag="head"):
    """The sender's node id, its current epoch, and its newest sequence number.

    sync: where to send requests, as a port or the path of a socket; empty if it is one port above
    the one it publishes on. clock_ms: the sender's wall clock. name (here and in other messages):
    the sender's name; empty from releases without names.
    """

    node: Id
    epoch: Id
    seq: Number
    sync: Name
    clock_ms: Number
    name: Name = ""


class Hello(_Message, frozen=True, tag="hello"):
    """Who are you? Sent by `node`."""

    rid: Number
    node: Id
    name: Name = ""


class Changes(_Message, frozen=True, tag="changes"):
    """What is new since the sequence number `after` of `epoch` (empty on first contact)?

    acked: everything from the upstream up to this number of `epoch` is durable here, including its
    bytes. end: as in Cursor.
    """

    rid: Number
    node: Id
    epoch: Annotated[str, Meta(pattern="^[0-9a-f]{0,32}\\Z")]
    after: Number
    acked: Number
    end: Number = 0
    name: Name = ""


class WireRow(msgspec.Struct, frozen=True, array_like=True):
    """A Row. It is a delete if `digest` is None."""

    path: Annotated[str, Meta(max_length=len(erasure.FOLDER) + paths.PATH_BYTES_MAX)]
    stamp: Stamp
    origin: Id
    replaced_stamp: Stamp | None
    replaced_origin: Id | None
    digest: Digest | None
    size: Size | None
    seq: Number
    format: Annotated[str, Meta(max_length=16)] | None
    width: Number
    height: Number


class Batch(_Message, frozen=True, tag="batch"):
    """The rows with numbers in (`after`, `upto`], in order; the newest number is `end`. `after` is
    0 if the upstream cannot continue from the requested number, and starts over.
    """

    rid: Number
    node: Id
    epoch: Id
    after: Number
    upto: Number
    end: Number
    wire_rows: Annotated[tuple[WireRow, ...], Meta(max_length=ROWS_MAX)]

    @property
    def rows(self) -> tuple[Row, ...]:
        """The accepted rows, built on each call."""
        return tuple(_row(one) for one in self.wire_rows if _refusal(one) is None)

    @property
    def refused(self) -> tuple[str, ...]:
        """Why the other rows are refused, one sentence each. They do not hold up later rows."""
        return tuple(why for why in map(_refusal, self.wire_rows) if why is not None)


class Range(msgspec.Struct, frozen=True, array_like=True):
    """`length` bytes from `offset` of the object with this digest."""

    digest: Digest
    offset: Number
    length: Annotated[int, Meta(ge=1, le=GET_BYTES_MAX)]


class Get(_Message, frozen=True, tag="get"):
    """Send me these bytes."""

    rid: Number
    ranges: Annotated[tuple[Range, ...], Meta(min_length=1, max_length=RANGES_MAX)]


class Pieces(_Message, frozen=True, tag="pieces"):
    """One piece for each range requested, or None where the sender does not have it."""

    rid: Number
    pieces: Annotated[tuple[bytes | None, ...], Meta(max_length=RANGES_MAX)]


class Refused(_Message, frozen=True, tag="refused"):
    """The request `rid` is refused."""

    rid: Number
    why: Name


Request = Hello | Changes | Get
Reply = Head | Batch | Pieces | Refused

_encoder = msgspec.msgpack.Encoder()
_cluster_decoder = msgspec.msgpack.Decoder(tuple[Name, msgspec.Raw])
_request_decoder = msgspec.msgpack.Decoder(Request)
_reply_decoder = msgspec.msgpack.Decoder(Reply)
_head_decoder = msgspec.msgpack.Decoder(Head)


def encode(cluster: str, message: Request | Reply) -> bytes:
    """The encoded message."""
    data = bytearray([PROTOCOL])
    _encoder.encode_into((cluster, message), data, 1)
    return sealed(data)


def sealed(data: bytes | bytearray) -> bytes:
    """`data` followed by its checksum."""
    return b"".join((data, zlib.crc32(data).to_bytes(_CRC_BYTES, "big")))


def decode_request(cluster: str, data: bytes) -> Request:
    """A request from a puller. Raises Malformed, Foreign."""
    message: Request = _decode(_request_decoder, cluster, data)
    if isinstance(message, Get) and sum(one.length for one in message.ranges) > GET_BYTES_MAX:
        raise Malformed(f"asks for more than {GET_BYTES_MAX} bytes")
    return message


def decode_reply(cluster: str, data: bytes) -> Reply:
    """An answer from an upstream. Raises Malformed, Foreign."""
    message: Reply = _decode(_reply_decoder, cluster, data)
    if isinstance(message, Batch):
        _check_batch(message)
    return message


def decode_head(cluster: str, data: bytes) -> Head:
    """A Head published by an upstream. Raises Malformed, Foreign."""
    return _decode(_head_decoder, cluster, data)


def batch(
    rid: int,
    node: str,
    epoch: str,
    after: int,
    end: int,
    rows: Sequence[Row],
    rows_max: int = ROWS_MAX,
) -> Batch:
    """The Batch of `rows`: those after the number `after`, `rows_max` at most. `end` was the newest
    number when they were read.
    """
    last = rows[-1].entry.seq if rows else after
    end = max(end, last)
    return Batch(
        rid,
        node,
        epoch,
        after,
        last if len(rows) >= rows_max else end,
        end,
        tuple(_wire(row) for row in rows),
    )


def _decode(decoder: "msgspec.msgpack.Decoder[T]", cluster: str, data: bytes) -> T:
    if not data or data[0] != PROTOCOL:
        raise Malformed("it uses another version of the protocol" if data else "it is empty")
    content = memoryview(data)[:-_CRC_BYTES]
    if zlib.crc32(content) != int.from_bytes(data[-_CRC_BYTES:], "big"):
        raise Malformed("it was damaged in transit")
    try:
        named, body = _cluster_decoder.decode(content[1:])
        if named != cluster:
            raise Foreign(named)
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(quoted(str(error), 120)) from None  # it quotes a type from outside


def _check_batch(message: Batch) -> None:
    seq = message.after
    seen: set[str] = set()
    for row in message.wire_rows:
        if not seq < row.seq <= message.upto:
            raise Malformed("its rows are not in order")
        seq = row.seq
        _check_row(row)
        seen.add(row.path)
    if len(seen) < len(message.wire_rows):
        raise Malformed("it has two rows for one path")
    if not message.after <= message.upto <= message.end:
        raise Malformed("its numbers are not in order")
    if message.upto < message.end and not message.wire_rows:
        raise Malformed("it has no rows but announces more")


def _check_row(row: WireRow) -> None:
    if erasure.erased_path(row.path) is not None and row.digest is not None:
        raise Malformed(f"the row of {quoted(row.path)} is not a delete")
    if (row.digest is None) != (row.size is None) or (row.replaced_stamp is None) != (
        row.replaced_origin is None
    ):
        raise Malformed(f"the row of {quoted(row.path)} is incomplete")


def _refusal(row: WireRow) -> str | None:
    """Why a row is refused, or None: no image may be stored at its path.

    A path that an earlier release may have stored can still be deleted.
    """
    return _path_refusal(row.path, row.digest is None)


# cached, because a batch checks its paths for `rows` and again for `refused`: 10 ms each time
@lru_cache(2 * ROWS_MAX)
def _path_refusal(whole: str, is_delete: bool) -> str | None:
    erased = erasure.erased_path(whole)
    path = whole if erased is None else erased
    try:
        clean = paths.clean(path)
    except BadRequest as error:
        return None if is_delete and needs_escaping(path) else f"{quoted(whole)}: {error}"
    return None if clean == path else f"{quoted(whole)}: path: is not in its legal form"


def _row(wire: WireRow) -> Row:
    replaced = (
        None
        if wire.replaced_stamp is None or wire.replaced_origin is None
        else Version(wire.replaced_stamp, wire.replaced_origin)
    )
    content = None if wire.digest is None or wire.size is None else Content(wire.digest, wire.size)
    facts = plausible_facts(wire.format, wire.width, wire.height)
    return Row(
        Entry(wire.path, Version(wire.stamp, wire.origin), replaced, content, wire.seq), facts
    )


def _wire(row: Row) -> WireRow:
    entry, facts = row.entry, row.facts
    return WireRow(
        entry.path,
        entry.version.stamp,
        entry.version.origin,
        entry.replaced.stamp if entry.replaced else None,
        entry.replaced.origin if entry.replaced else None,
        entry.content.digest if entry.content else None,
        entry.content.size if entry.content else None,
        entry.seq,
        facts.format if facts else None,
        facts.width if facts else 0,
        facts.height if facts else 0,
    )
