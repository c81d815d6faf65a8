"""Inspects what a client sends to a ZeroMQ socket with keys, before libzmq sees it. Pure: bytes in,
bytes out. (ZeroMQ's RFC 26, CurveZMQ.)

    greeting   FF 00*8 7F   03 xx   "CURVE" 00*15   00*32                  64 bytes
    HELLO      a command of 200 bytes
    INITIATE   a command: 257 bytes, and the properties of the socket      proves the key
                                                    <-  READY              libzmq admits it
    then       encrypted frames

Before READY a client may send one of each and nothing else: less than a kilobyte.

After READY the frames are encrypted, and libzmq buffers a message whose last frame never comes. So
a peer that sends a lot and gets few answers is disconnected; it connects again, and an honest one
repeats what was lost. The sizes of the frames are readable, and are limited where only short frames
are expected, such as subscriptions.
"""

from imagepipe.replication.zmq.zmtp import (
    GREETING_BYTES,
    InspectionLimits,
    LimitExceeded,
    ProtocolViolation,
    frame_header,
    greeting_is_wrong,
)

_CURVE = b"CURVE".ljust(20, b"\0")
_HELLO = (b"\x05HELLO", 200, 200)
_INITIATE = (b"\x08INITIATE", 257, 512)
"""A command: how it begins, and the least and greatest size of its body. Ours have at most 292
bytes.
"""


HONEST_SECONDS = 3600.0
"""A subscriber that sends only heartbeats reaches its limit in about four hours, a flood in
seconds.
"""


def is_worth_a_warning(why: ProtocolViolation, age_seconds: float) -> bool:
    """Whether closing a connection of this age should be logged: not if it merely reached its limit
    after a long time.
    """
    return not isinstance(why, LimitExceeded) or age_seconds < HONEST_SECONDS


class CurveInspection:
    """One connection. Invariant: before `ready` at most a greeting, a HELLO and an INITIATE have
    been passed on.
    """

    def __init__(self, limits: InspectionLimits) -> None:
        self.ready = False
        self._limits = limits
        self._greeted = 0
        self._expected = [_HELLO, _INITIATE]
        self._held = bytearray()
        self._answer = bytearray()  # from libzmq, until READY
        self._unanswered = 0
        self._header = bytearray()  # of an encrypted frame, as far as it has arrived
        self._frame_bytes_left = 0  # bytes of the frame's body that have not arrived

    def feed(self, data: bytes) -> bytes:
        """What may be passed on, now that `data` has come. Raises ProtocolViolation."""
        if self.ready:
            self._unanswered += len(data)
            if self._unanswered > self._limits.unanswered_bytes_max:
                raise LimitExceeded("it sent too many bytes without getting answers")
            if self._limits.encrypted_frame_bytes_max is not None:
                self._measure(data, self._limits.encrypted_frame_bytes_max)
            return data
        self._held += data
        passed = self._greeting()
        if self._greeted == GREETING_BYTES:
            while command := self._command():
                passed += command
        return bytes(passed)

    def note_answer(self, data: bytes) -> None:
        """Note what libzmq has answered."""
        if self.ready:
            if self._limits.answers_count:
                self._unanswered = max(0, self._unanswered - len(data))
            return
        self._answer += data
        at = GREETING_BYTES
        while (header := frame_header(self._answer[at : at + 9])) and len(self._answer) >= at + sum(
            header
        ):
            at += header[0]
            if self._answer[at : at + 6] == b"\x05READY":
                self.ready = True
                self._answer.clear()
                return
            at += header[1]

    def _measure(self, data: bytes, encrypted_frame_bytes_max: int) -> None:
        """Check the sizes of the encrypted frames in `data`."""
        at = 0
        while at < len(data):
            if self._frame_bytes_left:
                step = min(self._frame_bytes_left, len(data) - at)
                self._frame_bytes_left -= step
                at += step
                continue
            self._header.append(data[at])
            at += 1
            if len(self._header) > 1 and (header := frame_header(self._header)):
                self._header.clear()
                self._frame_bytes_left = header[1]
                if header[1] > encrypted_frame_bytes_max:
                    raise ProtocolViolation(f"it sent a frame of {header[1]} bytes")

    def _greeting(self) -> bytearray:
        """Pass the greeting on byte by byte: each side waits for the beginning of the other's."""
        passed = self._take(GREETING_BYTES - self._greeted)
        if greeting_is_wrong(passed, self._greeted, _CURVE):
            raise ProtocolViolation("it does not speak ZeroMQ 4 with keys")
        self._greeted += len(passed)
        return passed

    def _command(self) -> bytearray:
        """The next whole command of the handshake, or nothing yet."""
        if not self._held:
            return bytearray()
        if not self._expected:
            raise ProtocolViolation("it sent data before it was authenticated")
        name, least, most = self._expected[0]
        header = frame_header(self._held)
        if header is None:
            return bytearray()
        if not self._held[0] & 4 or not least <= header[1] <= most:
            raise ProtocolViolation("it sent a malformed handshake")
        if len(self._held) < sum(header):
            return bytearray()
        command = self._take(sum(header))
        if not command[header[0] :].startswith(name):
            raise ProtocolViolation("it sent a malformed handshake")
        del self._expected[0]
        return command

    def _take(self, count: int) -> bytearray:
        taken = self._held[:count]
        del self._held[:count]
        return taken
