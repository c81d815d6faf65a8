"""What a stranger may say before libzmq hears it."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipe.replication.zmq.zmtp import Inspection, InspectionLimits, ProtocolViolation
from tests.support.peers import GREETING, frame


def command(name: bytes, body: bytes = b"") -> bytes:
    """A command as it goes over the wire."""
    whole = bytes([len(name)]) + name + body
    return struct.pack(">BB", 4, len(whole)) + whole


def ready(**properties: bytes) -> bytes:
    """READY with these properties."""
    return command(
        b"READY",
        b"".join(
            bytes([len(name)]) + name.encode() + struct.pack(">I", len(value)) + value
            for name, value in properties.items()
        ),
    )


HELLO = GREETING + ready(Identity=b"")


class InspectionTests:
    """What goes on, and what ends a connection."""

    @given(st.lists(st.integers(1, 30)))
    def test_what_is_right_goes_on_unchanged_however_it_is_cut(self, cuts: list[int]) -> None:
        stream = (
            HELLO
            + frame(b"a", more=True)
            + frame(b"b")
            + command(b"PING", b"\0\0")
            + command(b"PONG")
            + b"\1\0\0\1c"
            + frame(bytes(900))
        )
        inspection, passed, at = Inspection(InspectionLimits(1000)), b"", 0
        for cut in (*cuts, len(stream)):
            passed += inspection.feed(stream[at : at + cut])
            assert stream.startswith(passed)
            at += cut
        assert passed == stream

    def test_the_greeting_goes_on_at_once_and_frames_when_they_are_whole(self) -> None:
        inspection = Inspection(InspectionLimits(1000))
        assert inspection.feed(GREETING[:10]) == GREETING[:10]
        assert inspection.feed(GREETING[10:] + ready()[:-1]) == GREETING[10:]
        assert not inspection.ready
        assert inspection.feed(ready()[-1:]) == ready()
        assert inspection.ready

    @pytest.mark.parametrize(
        ("said", "why"),
        [
            (b"GET / HTTP/1.1", "speak ZeroMQ"),
            (b"\xff" + bytes(9), "speak ZeroMQ"),
            (GREETING[:10] + b"\1", "speak ZeroMQ"),
            (GREETING.replace(b"NULL\0", b"PLAIN"), "speak ZeroMQ"),
            (GREETING.replace(b"NULL\0", b"CURVE"), "speak ZeroMQ"),
            (GREETING.replace(b"NULL\0", b"NULLS"), "speak ZeroMQ"),
            (GREETING + frame(b"too early"), "message before its READY"),
            (GREETING + command(b"PING"), "command out of place"),
            (GREETING + b"\4\0", "command out of place"),
            (GREETING + ready(Identity=b"mine"), "identity"),
            (GREETING + ready(identity=b"\0abcd"), "identity"),
            (GREETING + command(b"READY", b"\5Short\0\0\0\7x"), "malformed"),
            (GREETING + command(b"READY", b"\0\0\0\0\0"), "malformed"),
            (HELLO + ready(), "command out of place"),
            (HELLO + command(b"ERROR"), "unknown command"),
            (HELLO + b"\4\0", "unknown command"),
            (HELLO + b"\x08\0", "malformed frame"),
            (HELLO + b"\5\0", "malformed frame"),
            (HELLO + b"\2" + (1001).to_bytes(8, "big"), "frame of 1001 bytes"),
            (HELLO + b"\2" + b"\xff" * 8, "frame of 18446744073709551615 bytes"),
            (HELLO + 3 * frame(bytes(400), more=True), "too large"),
            (HELLO + 1000 * b"\1\0", "too large"),
            (HELLO + 5 * frame(b"\1x"), "too many subscriptions"),
            (HELLO + 5 * command(b"SUBSCRIBE", b"x"), "too many subscriptions"),
        ],
    )
    def test_what_libzmq_should_not_hear_ends_the_connection(self, said: bytes, why: str) -> None:
        with pytest.raises(ProtocolViolation, match=why):
            Inspection(InspectionLimits(1000, messages_max=4)).feed(said)

    def test_messages_without_end_are_right_where_there_is_no_bound(self) -> None:
        inspection = Inspection(InspectionLimits(1000))
        inspection.feed(HELLO)
        for _ in range(1000):
            assert inspection.feed(frame(bytes(1000))) == frame(bytes(1000))

    @given(st.binary(max_size=200), st.booleans())
    def test_noise_goes_on_or_ends_the_connection_and_nothing_else_happens(
        self, noise: bytes, greeted: bool
    ) -> None:
        inspection = Inspection(InspectionLimits(1000))
        said = HELLO + noise if greeted else noise
        with contextlib.suppress(ProtocolViolation):
            assert said.startswith(inspection.feed(said))
