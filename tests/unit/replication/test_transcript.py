"""The exchange that docs/design/replication.md shows, made by two state machines that talk to each
other.
"""

import hashlib
import re

from imagepipe.core.replication import actions
from imagepipe.core.replication.fetches import ReceiveResult
from imagepipe.core.replication.messages import (
    Reply,
    Request,
    WireRow,
    decode_head,
    decode_reply,
    decode_request,
    encode,
)
from imagepipe.core.replication.replica import Replica
from imagepipe.core.rows.entries import Content, Entry, ImageFacts, Row
from imagepipe.core.rows.epochs import Epoch
from imagepipe.core.rows.join import JoinResult
from imagepipe.core.rows.stamp import Version
from tests.support.repository import ROOT

DOCUMENT = ROOT / "docs" / "design" / "replication.md"
NORTH, SOUTH = "6e6f" * 8, "736f" * 8
IMAGE = b"an image"
CONTENT = Content(hashlib.sha256(IMAGE).hexdigest(), len(IMAGE))
ROW = Row(
    Entry("x/y.jpg", Version(117440512 << 16, NORTH), None, CONTENT, 1),
    ImageFacts("jpeg", 500, 375),
)


class TranscriptTests:
    def test_the_exchange_in_the_documentation_is_what_happens(self) -> None:
        [block] = re.findall(r"<!-- transcript -->\n```\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
        assert block == transcript()


def transcript() -> str:
    """North stores an image; south, which has subscribed to it, comes to have it."""
    lines: list[str] = []
    north = Replica(NORTH, [Epoch("a1", 1)], 0, {}, [], lambda: 117440512, name="north")
    south = Replica(
        SOUTH, [Epoch("b2", 1)], 0, {}, [], lambda: 117440512, publishes=False, name="south"
    )
    south.add_link("north", 0.0)
    run(north, south, lines, 0.0)
    lines.append("      north stores x/y.jpg: durable and visible")
    north.committed(1, 0.5)
    run(north, south, lines, 0.5)
    return "".join(line + "\n" for line in lines)


def run(north: Replica, south: Replica, lines: list[str], now: float) -> None:
    """Until nobody has anything to do."""
    while todo := [(north, action) for action in north.take_actions()] + [
        (south, action) for action in south.take_actions()
    ]:
        for node, action in todo:
            perform(node, action, north, south, lines, now)


def perform(
    node: Replica,
    action: actions.Action,
    north: Replica,
    south: Replica,
    lines: list[str],
    now: float,
) -> None:
    """What the sockets, the threads and the disk would do."""
    match action:
        case actions.Notify(head):
            lines.append(f"PUB   {shown(head)}")
            south.heard_head("north", decode_head("c", encode("c", head)), now)
        case actions.SendRequest(_, request):
            lines.append(f" ->   {shown(request)}")
            north.asked(b"south", decode_request("c", encode("c", request)), now)
        case actions.SendReply(_, reply):
            lines.append(f" <-   {shown(reply)}")
            south.answered("north", decode_reply("c", encode("c", reply)), now)
        case actions.ReadChanges(client, rid, after):
            rows = [ROW] if after < node.subscribers.last_seq else []
            node.changes_read(client, rid, after, node.subscribers.last_seq, rows)
        case actions.ReadPieces(client, rid, ranges):
            node.pieces_read(client, rid, [IMAGE[one.offset :][: one.length] for one in ranges])
        case actions.Examine(pull, rows):
            node.examined(pull, [CONTENT] if rows else [], now)
        case actions.StorePieces(link, rid, parts):
            lines.append("      south verifies the bytes against the digest and flushes them")
            node.pieces_stored(
                link, rid, [(part.transfer, ReceiveResult.COMPLETE) for part in parts], now
            )
        case actions.Join(pull, rows):
            if rows:
                lines.append(
                    "      south commits the row, under its own number, together with the cursor;"
                    " visible"
                )
                node.committed(1, now)
            node.joined(pull, JoinResult(len(rows), (), ()), now)
        case _:
            raise AssertionError(action)


def shown(message: Request | Reply) -> str:
    """A message on one line, with long numbers cut."""
    fields = [(name, getattr(message, name)) for name in message.__struct_fields__]
    return " ".join(
        [type(message).__name__.ljust(8), *(f"{name}={short(value)}" for name, value in fields)]
    )


def short(value: object) -> str:
    """A value of a message."""
    if isinstance(value, tuple):
        return "[" + " ".join(short(one) for one in value) + "]"
    if isinstance(value, WireRow):
        return (
            f"({value.path} {value.stamp >> 16}@{short(value.origin)} {short(value.digest)}"
            f" {value.size} seq={value.seq} {value.format})"
        )
    if hasattr(value, "__struct_fields__"):
        return "(" + " ".join(short(getattr(value, name)) for name in value.__struct_fields__) + ")"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    text = str(value)
    return repr(text) if not text else text[:4] + ".." if len(text) > 24 else text
