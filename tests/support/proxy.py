"""A TCP proxy that does to a connection what networks do, for tests between real daemons.

    with FaultProxy() as proxy:                    listens on 127.0.0.1, on a port P and on P + 1
        proxy.target(publish, sync)                P -> publish, P + 1 -> sync; before that it hangs
                                                   up on whoever calls
        proxy.endpoint                             tcp://127.0.0.1:P
        proxy.cut() ... proxy.heal()

It has a reactor of its own, on a thread of its own, so that a plain test can drive it. Every fault
is for both ports; a call has taken effect when it returns, on connections that are open too, but
for `truncate`, which is for new ones.
"""

import random
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import blockingCallFromThread

T = TypeVar("T")

_ATTEMPTS = 50
_STOPPING_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Bytes:
    """What a port has forwarded: `up` to its target, `down` from it."""

    up: int = 0
    down: int = 0


@dataclass(frozen=True, slots=True)
class _Faults:
    """What is wrong with the network now."""

    cut: bool = False
    swallow_up: bool = False
    swallow_down: bool = False
    delay_seconds: float = 0.0
    truncate_after: int | None = None
    corrupt_probability: float = 0.0


class FaultProxy:
    """Two ports that forward what they receive and can be made to fail. All methods are for the
    test's thread.
    """

    def __init__(self) -> None:
        self.reactor: Any = EPollReactor()
        self.faults = _Faults()
        self.noise = random.Random(0)
        self.links: set[_Link] = set()
        self.sides: tuple[_Side, ...] = ()
        self._thread = threading.Thread(
            target=lambda: self.reactor.run(installSignalHandlers=False), name="proxy", daemon=True
        )

    def __enter__(self) -> Self:
        running = threading.Event()
        self.reactor.callWhenRunning(running.set)
        self._thread.start()
        assert running.wait(_STOPPING_SECONDS)
        self._do(self._listen)
        return self

    def __exit__(self, *error: object) -> None:
        self.reactor.callFromThread(self.reactor.stop)
        self._thread.join(_STOPPING_SECONDS)

    @property
    def endpoint(self) -> str:
        """The endpoint of the publish socket; the sync socket is on the next port."""
        return f"tcp://127.0.0.1:{self.sides[0].port}"

    def target(self, publish: str, sync: str) -> None:
        """Forward to these ZeroMQ endpoints, tcp:// or ipc://, from now on; open
        connections stay.
        """

        def change() -> None:
            for side, endpoint in zip(self.sides, (publish, sync), strict=True):
                side.target = endpoint

        self._do(change)

    def cut(self) -> None:
        """Drop all connections, and all new ones, until `heal`."""
        self._set(cut=True)
        self._do(self._drop_all)

    def drop(self) -> None:
        """Drop all connections, once."""
        self._do(self._drop_all)

    def blackhole(self, *, up: bool = True, down: bool = True) -> None:
        """Keep connections open, but lose what goes up to the target, or comes down from it."""
        self._set(swallow_up=up, swallow_down=down)

    def delay(self, seconds: float) -> None:
        """Delay everything by that long."""
        self._set(delay_seconds=seconds)

    def truncate(self, after_bytes: int) -> None:
        """Of each new connection forward so many bytes a direction, and then drop it, in the middle
        of whatever it is.
        """
        self._set(truncate_after=after_bytes)

    def corrupt(self, probability: float, seed: int = 0) -> None:
        """Flip a bit in each byte with this probability."""

        def change() -> None:
            self.noise = random.Random(seed)
            self.faults = replace(self.faults, corrupt_probability=probability)

        self._do(change)

    def heal(self) -> None:
        """Nothing is wrong any more. A connection that has lost bytes in a black hole is dropped:
        TCP would never go on without them.
        """

        def change() -> None:
            self.faults = _Faults()
            for link in tuple(self.links):
                if link.has_lost:
                    link.drop()

        self._do(change)

    @property
    def publish_bytes(self) -> Bytes:
        """How much has been forwarded for the publish socket."""
        return self._do(lambda: self.sides[0].forwarded)

    @property
    def sync_bytes(self) -> Bytes:
        """How much has been forwarded for the sync socket."""
        return self._do(lambda: self.sides[1].forwarded)

    @property
    def bytes_forwarded(self) -> int:
        """All of it."""
        both = (self.publish_bytes, self.sync_bytes)
        return sum(each.up + each.down for each in both)

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        return self._do(lambda: len(self.links))

    def _set(self, **faults: Any) -> None:
        self._do(lambda: setattr(self, "faults", replace(self.faults, **faults)))

    def _do(self, function: Callable[[], T]) -> T:
        result: T = blockingCallFromThread(self.reactor, function)
        return result

    def _drop_all(self) -> None:
        for link in tuple(self.links):
            link.drop()

    def _listen(self) -> None:
        for _ in range(_ATTEMPTS):
            sides = (_Side(self), _Side(self))
            first = self.reactor.listenTCP(0, sides[0], interface="127.0.0.1")
            sides[0].port = first.getHost().port
            sides[1].port = sides[0].port + 1
            try:
                self.reactor.listenTCP(sides[1].port, sides[1], interface="127.0.0.1")
            except (CannotListenError, OverflowError):
                first.stopListening()
            else:
                self.sides = sides
                return
        raise RuntimeError("no two ports side by side are free")


class _Side(Factory):
    """One port, and where it leads."""

    noisy = False

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.port = 0
        self.target: str | None = None
        self.forwarded = Bytes()

    def buildProtocol(self, addr: object) -> Protocol | None:
        if self.target is None or self.proxy.faults.cut:
            return None  # hang up
        return _Link(self, self.target).caller


class _Link:
    """A caller, its connection to the target, and the bytes between them. Invariant: it is in
    `proxy.links` until it is dropped.
    """

    def __init__(self, side: _Side, target: str) -> None:
        self.proxy = side.proxy
        self._side = side
        self._left = dict.fromkeys(("up", "down"), self.proxy.faults.truncate_after)
        self._delayed: dict[str, deque[bytes]] = {"up": deque(), "down": deque()}
        self._waiting: list[bytes] | None = []
        self.has_lost = False
        self._dropped = False
        self.caller = _End(self._up, self.drop)
        self._callee = _End(self._down, self.drop, self._reached)
        self.proxy.links.add(self)
        factory = _Reaching(self._callee, self.drop)
        if target.startswith("ipc://"):
            self.proxy.reactor.connectUNIX(target.removeprefix("ipc://"), factory)
        else:
            host, port = target.removeprefix("tcp://").rsplit(":", 1)
            self.proxy.reactor.connectTCP(host, int(port), factory)

    def drop(self) -> None:
        """End both connections; may be called twice."""
        self._dropped = True
        self.proxy.links.discard(self)
        for end in (self.caller, self._callee):
            if end.transport is not None:
                end.transport.abortConnection()

    def _up(self, data: bytes) -> None:
        self._take("up", data, self.proxy.faults.swallow_up)

    def _down(self, data: bytes) -> None:
        self._take("down", data, self.proxy.faults.swallow_down)

    def _take(self, direction: str, data: bytes, swallow: bool) -> None:
        if swallow:
            self.has_lost = True
            return
        delayed = self._delayed[direction]
        if delayed or self.proxy.faults.delay_seconds:  # never overtake what was delayed before
            delayed.append(data)
            self.proxy.reactor.callLater(
                self.proxy.faults.delay_seconds, lambda: self._forward(direction, delayed.popleft())
            )
        else:
            self._forward(direction, data)

    def _forward(self, direction: str, data: bytes) -> None:
        left = self._left[direction]
        if self._dropped:
            return
        if left is not None:
            data, left = data[:left], left - len(data)
            self._left[direction] = left
        counted = self._side.forwarded
        self._side.forwarded = replace(
            counted, **{direction: getattr(counted, direction) + len(data)}
        )
        data = self._corrupted(data)
        if direction == "down":
            self.caller.transport.write(data)
        elif self._waiting is not None:
            self._waiting.append(data)
        else:
            self._callee.transport.write(data)
        if left is not None and left <= 0:
            self._end()

    def _end(self) -> None:
        """Let what was forwarded arrive, and hang up."""
        self._dropped = True
        self.proxy.links.discard(self)
        for end in (self.caller, self._callee):
            if end.transport is not None:
                end.transport.loseConnection()

    def _reached(self) -> None:
        if self._dropped:
            self._callee.transport.abortConnection()
            return
        waiting, self._waiting = self._waiting or [], None
        self._callee.transport.write(b"".join(waiting))

    def _corrupted(self, data: bytes) -> bytes:
        probability = self.proxy.faults.corrupt_probability
        if not probability:
            return data
        noise = self.proxy.noise
        return bytes(
            byte ^ (1 << noise.randrange(8)) if noise.random() < probability else byte
            for byte in data
        )


class _End(Protocol):
    """One of the two connections of a link."""

    transport: Any

    def __init__(
        self,
        received: Callable[[bytes], None],
        lost: Callable[[], None],
        made: Callable[[], None] = lambda: None,
    ) -> None:
        self.transport = None
        self._received = received
        self._lost = lost
        self._made = made

    def connectionMade(self) -> None:
        if hasattr(self.transport, "setTcpNoDelay"):
            self.transport.setTcpNoDelay(True)
        self._made()

    def dataReceived(self, data: bytes) -> None:
        self._received(data)

    def connectionLost(self, reason: object = None) -> None:
        self._lost()


class _Reaching(Factory):
    """Connects the far end, or drops the link."""

    noisy = False

    def __init__(self, callee: _End, failed: Callable[[], None]) -> None:
        self._callee = callee
        self._failed = failed

    def buildProtocol(self, addr: object) -> Protocol:
        return self._callee

    def startedConnecting(self, connector: object) -> None:
        """Nothing to do."""

    def clientConnectionFailed(self, connector: object, reason: object) -> None:
        self._failed()

    def clientConnectionLost(self, connector: object, reason: object) -> None:
        """The connection itself says so."""
