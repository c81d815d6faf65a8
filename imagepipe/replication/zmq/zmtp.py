"""Inspects what a client sends to a ZeroMQ socket without keys, before libzmq sees it. Pure: bytes
in, bytes out. (ZeroMQ's RFC 37, ZMTP 3.)

    greeting   FF 00*8 7F   03 xx   "NULL" 00*16   00*32         64 bytes
    frame      flags  size (1 byte, or 8)  body                  flags: 1 more frames follow, 2 size
        has 8 bytes, 4 a command
    READY      a command, the first frame: properties, among them the peer's identity
    then       messages of one or more frames; commands PING, PONG, SUBSCRIBE, CANCEL

libzmq 4.3.5 buffers a message whose last frame never comes, and stores every subscription, without
limit; and it aborts the process if a peer sets the identity that libzmq would give to the next one,
which is easy to guess. The first two are limited here, and identities are refused.
"""

from dataclasses import dataclass

GREETING_BYTES = 64
_SIGNATURE_END = 9
_VERSION = 10
_MECHANISM = 12
_NULL = b"NULL".ljust(20, b"\0")

_MORE, _LONG, _COMMAND = 1, 2, 4
_FRAME_COST_BYTES = 64
"""The memory that libzmq needs for a frame, even an empty one."""


class ProtocolViolation(Exception):
    """The connection must be closed; the text says why."""


class LimitExceeded(ProtocolViolation):
    """The connection has sent all that it may ever send; a new one may replace it."""


@dataclass(frozen=True, slots=True)
class InspectionLimits:
    """What a client may send: the size of a message, and how many messages in all (None: no limit).

    With keys (has_keys) frames cannot be inspected, so the limit is on the bytes that a client may
    send once it is admitted, less those of the answers if answers_count. encrypted_frame_bytes_max:
    the size of an encrypted frame; None: no limit.
    """

    message_bytes_max: int
    messages_max: int | None = None
    has_keys: bool = False
    unanswered_bytes_max: int = 0
    answers_count: bool = True
    encrypted_frame_bytes_max: int | None = None


class Inspection:
    """One connection. Invariant: what `feed` has let through is a prefix of what libzmq can take
    without harm.
    """

    def __init__(self, limits: InspectionLimits) -> None:
        self.ready = False
        self._limits = limits
        self._greeted = 0
        self._held = bytearray()
        self._message_bytes = 0
        self._messages = 0

    def feed(self, data: bytes) -> bytes:
        """What may be passed on, now that `data` has come: never more than has come, and never half
        a frame. Raises ProtocolViolation.
        """
        self._held += data
        passed = self._greeting()
        if self._greeted == GREETING_BYTES:
            while frame := self._frame():
                passed += frame
        return bytes(passed)

    def note_answer(self, data: bytes) -> None:
        """Note what libzmq has answered. Without keys that makes no difference."""

    def _greeting(self) -> bytearray:
        """Pass the greeting on byte by byte: each side waits for the beginning of the other's."""
        passed = self._take(GREETING_BYTES - self._greeted)
        if greeting_is_wrong(passed, self._greeted, _NULL):
            raise ProtocolViolation("it does not speak ZeroMQ 4 without keys")
        self._greeted += len(passed)
        return passed

    def _frame(self) -> bytearray:
        """The next whole frame, or nothing yet."""
        held = self._held
        if len(held) < 2:
            return bytearray()
        flags = held[0]
        header = 9 if flags & _LONG else 2
        if flags & ~(_MORE | _LONG | _COMMAND) or (flags & _COMMAND and flags & _MORE):
            raise ProtocolViolation("it sent a malformed frame")
        if len(held) < header:
            return bytearray()
        size = int.from_bytes(held[1:header], "big")
        if size > self._limits.message_bytes_max:
            raise ProtocolViolation(f"it sent a frame of {size} bytes")
        if len(held) < header + size:
            return bytearray()
        frame = self._take(header + size)
        self._inspect(flags, bytes(frame[header:]))
        return frame

    def _inspect(self, flags: int, body: bytes) -> None:
        if flags & _COMMAND:
            name = body[1 : 1 + body[0]] if body else b""
            if self.ready != (name != b"READY"):
                raise ProtocolViolation("it sent a command out of place")
            if name == b"READY":
                _check_properties(body[6:])
                self.ready = True
            elif name in (b"SUBSCRIBE", b"CANCEL"):
                self._count_message()
            elif name not in (b"PING", b"PONG"):
                raise ProtocolViolation("it sent an unknown command")
        elif not self.ready:
            raise ProtocolViolation("it sent a message before its READY command")
        else:
            self._message_bytes += len(body) + _FRAME_COST_BYTES
            if self._message_bytes > self._limits.message_bytes_max + _FRAME_COST_BYTES:
                raise ProtocolViolation("it sent a message that is too large")
            if not flags & _MORE:
                self._message_bytes = 0
                self._count_message()

    def _count_message(self) -> None:
        self._messages += 1
        if self._limits.messages_max is not None and self._messages > self._limits.messages_max:
            raise ProtocolViolation("it sent too many subscriptions")

    def _take(self, count: int) -> bytearray:
        taken = self._held[:count]
        del self._held[:count]
        return taken


def greeting_is_wrong(piece: bytes | bytearray, at: int, mechanism: bytes) -> bool:
    """Whether `piece`, which starts at byte `at` of a greeting, cannot belong to ZeroMQ 4 with this
    mechanism.
    """
    return any(
        (number == 0 and byte != 0xFF)
        or (number == _SIGNATURE_END and not byte & 1)
        or (number == _VERSION and byte < 3)
        or (
            _MECHANISM <= number < _MECHANISM + len(mechanism)
            and byte != mechanism[number - _MECHANISM]
        )
        for number, byte in enumerate(piece, at)
    )


def frame_header(held: bytes | bytearray) -> tuple[int, int] | None:
    """The lengths of a frame's header and body; None while the header is incomplete."""
    header = 9 if held and held[0] & _LONG else 2
    return (header, int.from_bytes(held[1:header], "big")) if len(held) >= header else None


def _check_properties(rest: bytes) -> None:
    """Check the properties of READY: name and value, each after its length. An identity is refused,
    because it could be another client's.
    """
    while rest:
        name, rest = rest[1 : 1 + rest[0]], rest[1 + rest[0] :]
        size, rest = int.from_bytes(rest[:4], "big"), rest[4:]
        if size > len(rest) or not name:
            raise ProtocolViolation("it sent a malformed READY command")
        if size and name.lower() == b"identity":
            raise ProtocolViolation("it set a socket identity of its own")
        rest = rest[size:]
