"""How long the server waits for a client, and which clients it gives up first when there are too
many.

    phase     the server waits for        and gives up after
    HEAD      a request's headers         20 s, however many bytes arrive; a TLS handshake counts
                                          too
    BODY      a request's body            20 s behind a rate of 1 KiB/s
    ANSWER    the client to read          60 s behind a rate of 1 KiB/s
    IDLE      the next request            60 s
    WORK      nothing: it is at work      never

A client that falls behind the rate may catch up, but it cannot get ahead: a fast beginning buys no
time for later.
"""

import enum
import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

LEAST_BYTES_PER_SECOND = 1024

RATE_SECONDS_MIN = 5.0

CONNECTIONS_MAX = 20_000

DESCRIPTORS_RESERVED = 320
"""For storage, workers, the log and up to 200 connections from peers."""


class Phase(enum.Enum):
    """What the server waits for."""

    HEAD = enum.auto()
    BODY = enum.auto()
    ANSWER = enum.auto()
    IDLE = enum.auto()
    WORK = enum.auto()


TIMEOUT_SECONDS = {
    Phase.HEAD: 20.0,
    Phase.BODY: 20.0,
    Phase.ANSWER: 60.0,
    Phase.IDLE: 60.0,
    Phase.WORK: float("inf"),
}


@dataclass(frozen=True, slots=True)
class PhaseWait:
    """The server waits for a client. since: when that began, moved forward by what came through."""

    phase: Phase
    since: float

    @property
    def deadline(self) -> float:
        """When the server gives up."""
        return self.since + TIMEOUT_SECONDS[self.phase]

    def after(self, size: int, now: float) -> "PhaseWait":
        """The same wait once `size` more bytes have come through."""
        return PhaseWait(self.phase, min(now, self.since + size / LEAST_BYTES_PER_SECOND))


def slowest(waits: Iterable[tuple[T, PhaseWait]], count: int) -> list[tuple[T, PhaseWait]]:
    """Up to `count` clients that have kept the server waiting longest, the worst first.

    Clients that wait for the server are never among them.
    """
    waiting = (entry for entry in waits if entry[1].phase is not Phase.WORK)
    return heapq.nsmallest(count, waiting, key=lambda entry: entry[1].since)


def slowest_body(bodies: Iterable[tuple[T, int, float]]) -> T | None:
    """Of bodies, with what has arrived of each in how many seconds, the one with the lowest rate.

    A body that has only begun has no rate yet and is not chosen.
    """
    rates = (
        (size / seconds, body) for body, size, seconds in bodies if seconds >= RATE_SECONDS_MIN
    )
    return min(rates, key=lambda entry: entry[0], default=(0.0, None))[1]


def connections_max(descriptors: int) -> int:
    """How many connections to accept with a limit of that many open descriptors.

    A connection may take a second one: the file that is sent on it, or its request's body.
    """
    reserved = min(DESCRIPTORS_RESERVED, descriptors // 3)
    return max(1, min(CONNECTIONS_MAX, (descriptors - reserved) // 2))
