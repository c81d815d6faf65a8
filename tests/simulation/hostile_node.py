"""A hostile peer: it has a place in the cluster and a good key, and nothing that it says is to be
trusted.

    as an upstream    it rings with made-up ids, epochs and numbers; it answers with rows that it
                      made up, with bytes that
                      are not what their digest says, with answers to other questions, to questions
                      nobody asked, and noise
    as a puller       it acknowledges numbers that do not exist, asks for what there is not, and
                      asks too much

What it may do to others: change the paths that it names. It names few, so that there are others.
"""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from imagepipe.core.replication import messages
from imagepipe.core.replication.messages import (
    Batch,
    Changes,
    Get,
    Head,
    Hello,
    Pieces,
    Range,
    Refused,
    Reply,
    Request,
    WireRow,
)
from imagepipe.core.rows.erasure import erasure_path
from imagepipe.core.rows.stamp import STAMP_MAX
from tests.simulation.contents import BYTES, CONTENTS, GET_BYTES
from tests.simulation.writes import PATHS

if TYPE_CHECKING:
    from tests.simulation.world import World

NAMED = 3
"""How many of the paths that clients use it names, besides paths of its own."""

SECONDS_BETWEEN = 0.15
CLUSTER = "simulated"
NOW = 1_700_000_000_000 << 16
HOUR = 3_600_000 << 16
STAMPS = (
    0,
    1,
    NOW,
    NOW + HOUR,
    NOW + 20_000 * HOUR,
    STAMP_MAX // 2,
    STAMP_MAX - 2,
    STAMP_MAX - 1,
    STAMP_MAX,
)
MALFORMED_STAMPS = (-1, STAMP_MAX + 1, 1 << 62, (1 << 63) - 1, 1 << 63)
NUMBERS = (0, 1, 2, 7, 300, 1 << 40, (1 << 63) - 1)
UNCLEAN = ("", "/a", "../a", "a//c", "a/./c", ".imagepipe/x", "a\0", "d/")


class HostileNode:
    """`named`: the paths of its rows, whether they were taken or not."""

    def __init__(self, world: "World", name: str, seed: int) -> None:
        self.name = name
        self.boot = 0
        self.is_active = True
        self.lies_told = 0
        # the same every time is what it is for
        self._random = rng = random.Random(f"liar {seed}")
        self._world = world
        self._ids = [f"{rng.getrandbits(64):x}" for _ in range(rng.choice((1, 1, 3)))]
        if rng.random() < 0.3:
            self._ids = [rng.choice([node.disk.node for node in world.nodes.values()])]
        self._epoch = "e1"
        self._number = 0
        own = ["evil", "evil/x", "evil/y"]
        places = rng.sample(PATHS, NAMED) + own
        self.paths = tuple(places + [erasure_path(path) for path in places])
        world.at(rng.uniform(0, 3), self._go_on)

    def stop(self) -> None:
        """It is cut off."""
        self.is_active = False

    # What reaches it.

    def hear(self, lane: str, client: str, data: bytes) -> None:
        """A doorbell, an answer or a request has come; only requests are of use."""
        if not self.is_active or lane != "request":
            return
        request = messages.decode_request(CLUSTER, data)
        for _ in range(self._random.choice((0, 1, 1, 1, 1, 2))):
            self._world.network.answer(self, client, self._answer(request))

    def _answer(self, request: Request) -> bytes:
        chance = self._random.random()
        if chance < 0.15:
            return self._noise(messages.encode(CLUSTER, self._reply_to(self._any_request())))
        if chance < 0.3:
            return messages.encode(CLUSTER, self._reply_to(self._any_request()))
        return messages.encode(CLUSTER, self._reply_to(request))

    def _reply_to(self, request: Request) -> Reply:
        if self._random.random() < 0.02:
            return Refused(request.rid, "because I say so")
        if isinstance(request, Hello):
            return self._head()
        if isinstance(request, Changes):
            return self._batch(request)
        return Pieces(
            request.rid,
            tuple(
                self._piece(one) for one in request.ranges[: self._random.choice((1, 64, 64, 64))]
            ),
        )

    # What it makes up.

    def _head(self) -> Head:
        pick = self._random.choice
        if self._random.random() < 0.1:
            self._epoch = f"{self._random.getrandbits(32):x}"
        node = pick(self._node_ids())
        return Head(
            node,
            self._epoch_of(node),
            pick((self._number, *NUMBERS)),
            pick(("", "", "9", "ipc")),
            pick(NUMBERS),
        )

    def _node_ids(self) -> list[str]:
        honest = [node.disk.node for node in self._world.nodes.values()]
        return [*self._ids * 8, f"{self._random.getrandbits(64):x}", *honest, *honest]

    def _epoch_of(self, id: str) -> str:
        """An epoch: that of an honest node, where it passes for one."""
        epochs = [
            node.disk.epochs[-1].id
            for node in self._world.nodes.values()
            if node.disk.node == id and node.disk.epochs
        ]
        return epochs[0] if epochs and self._random.random() < 0.8 else self._epoch

    def _batch(self, request: Changes) -> Batch:
        pick, chance = self._random.choice, self._random.random
        after = pick((0, request.after, request.after, request.after, pick(NUMBERS)))
        rows, seq = [], after
        for path in self._random.sample(self.paths, pick((0, 1, 2, len(self.paths)))):
            seq += pick((1, 1, 1, 5))
            rows.append(self._row(path, seq))
        if rows and chance() < 0.1:
            rows.append(pick(rows))
        upto = max(seq, pick((0, 0, 0, *NUMBERS)))
        end = max(upto, pick((0, 0, *NUMBERS)))
        self._number = max(self._number, min(upto, 1 << 40))
        node = pick(self._node_ids())
        return Batch(
            request.rid,
            node,
            pick((self._epoch_of(node), self._epoch_of(node), "e9")),
            after,
            upto,
            pick((end, end, end, 0)),
            tuple(rows),
        )

    def _row(self, path: str, seq: int) -> WireRow:
        pick, rng = self._random.choice, self._random
        content = pick((None, None, *CONTENTS))
        digest, size = (None, None) if content is None else (content.digest, content.size)
        if content is not None and path.startswith(erasure_path("")):
            digest, size = (None, None) if rng.random() < 0.97 else (digest, size)
        elif content is not None and rng.random() < 0.4:
            digest = pick((content.digest, f"{rng.getrandbits(256):064x}"))
            size = pick((content.size, content.size + 1, 1, 1 << 40))
        stamp = pick(STAMPS) if rng.random() < 0.98 else pick(MALFORMED_STAMPS)
        origin = pick((*self._node_ids(), "f" * 32))
        replaced = pick((None, pick(STAMPS)))
        if rng.random() < 0.02:
            path = pick(UNCLEAN)
        self._world.oracle.lied(path, stamp)
        format, width = pick(((None, 0), ("jpeg", 10), ("svg+xml", 10), ("jpeg", (1 << 63) - 1)))
        return WireRow(
            path,
            stamp,
            origin,
            replaced,
            None if replaced is None else origin,
            digest,
            size,
            seq,
            format,
            width,
            width,
        )

    def _piece(self, wanted: Range) -> bytes | None:
        data = BYTES.get(wanted.digest, b"?" * 5000)[wanted.offset : wanted.offset + wanted.length]
        return self._random.choice(
            (
                data,
                data,
                data,
                data[:-1] + b"?",
                b"!" * min(wanted.length, GET_BYTES),
                data[:-1],
                None,
                b"",
            )
        )

    def _noise(self, data: bytes) -> bytes:
        at = self._random.randrange(len(data))
        choices: tuple[Callable[[], bytes], ...] = (
            lambda: data[:at],
            lambda: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :],
            lambda: messages.sealed(data[:at]),
            lambda: messages.sealed(b"\1" + self._random.randbytes(at)),
            lambda: messages.encode("others", self._head()),
            lambda: b"",
        )
        return self._random.choice(choices)()

    # What it does of its own accord.

    def _go_on(self) -> None:
        if not self.is_active:
            return
        self.lies_told += 1
        network, pick = self._world.network, self._random.choice
        for _ in range(pick((1, 1, 2, 20))):
            head = messages.encode(CLUSTER, self._head())
            network.ring(self, self._noise(head) if self._random.random() < 0.1 else head)
        for _ in range(pick((0, 1, 20))):
            request = messages.encode(CLUSTER, self._any_request())
            network.ask(
                self,
                pick(list(self._world.nodes)),
                self._noise(request) if self._random.random() < 0.2 else request,
            )
        self._world.later(self._random.uniform(0, 2 * SECONDS_BETWEEN), self._go_on)

    def _any_request(self) -> Request:
        pick, node = self._random.choice, self._ids[0]
        epochs = [epoch.id for one in self._world.nodes.values() for epoch in one.disk.epochs]
        number = pick((*NUMBERS, self._random.randrange(1, 50)))
        asked = (Range(pick(list(BYTES)), pick((0, 7)), 9), Range("0" * 64, pick(NUMBERS), 9))
        return pick(
            (
                Hello(number, node),
                Changes(
                    number,
                    node,
                    pick(("", "e1", *epochs)),
                    pick(NUMBERS),
                    pick(NUMBERS),
                    pick(NUMBERS),
                ),
                Changes(
                    number,
                    node,
                    pick(("", "e1", *epochs)),
                    pick(NUMBERS),
                    pick(NUMBERS),
                    pick(NUMBERS),
                ),
                Get(number, asked[: pick((1, 2))]),
            )
        )
