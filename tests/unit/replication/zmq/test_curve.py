"""What a stranger may say to a socket with keys before libzmq hears it, and a peer that was let in
afterwards.
"""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipe.replication.zmq.curve import CurveInspection, is_worth_a_warning
from imagepipe.replication.zmq.zmtp import InspectionLimits, LimitExceeded, ProtocolViolation

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"CURVE".ljust(20, b"\0") + bytes(32)
BOUNDS = InspectionLimits(1000, has_keys=True, unanswered_bytes_max=100)


def command(name: bytes, size: int, flags: int = 4) -> bytes:
    """A command whose body has so many bytes."""
    body = (bytes([len(name)]) + name).ljust(size, b"x")
    return struct.pack(">BQ", flags | 2, size) + body if size > 255 else bytes([flags, size]) + body


HELLO, INITIATE = command(b"HELLO", 200), command(b"INITIATE", 292)
HANDSHAKE = GREETING + HELLO + INITIATE
LET_IN = GREETING + command(b"WELCOME", 168) + command(b"READY", 80)
TURNED_AWAY = GREETING + command(b"WELCOME", 168) + command(b"ERROR", 10)


def let_in(limits: InspectionLimits = BOUNDS) -> CurveInspection:
    """A connection whose peer has proved a key."""
    inspection = CurveInspection(limits)
    inspection.feed(HANDSHAKE)
    inspection.note_answer(LET_IN)
    assert inspection.ready
    return inspection


class HandshakeTests:
    @given(st.lists(st.integers(1, 200)), st.lists(st.integers(1, 100)))
    def test_it_goes_on_unchanged_however_it_is_cut(
        self, cuts: list[int], answers: list[int]
    ) -> None:
        inspection, passed, at = CurveInspection(BOUNDS), b"", 0
        for cut in (*cuts, len(HANDSHAKE)):
            passed += inspection.feed(HANDSHAKE[at : at + cut])
            assert HANDSHAKE.startswith(passed)
            at += cut
        assert passed == HANDSHAKE
        at = 0
        for cut in (*answers, len(LET_IN)):
            assert inspection.ready == (at >= len(LET_IN))
            if inspection.ready:
                break
            inspection.note_answer(LET_IN[at : at + cut])
            at += cut
        assert inspection.ready

    @pytest.mark.parametrize(
        "stream",
        [
            b"GET / HTTP/1.1",
            GREETING.replace(b"CURVE", b"NULL\0"),
            GREETING + b"\0\1x",
            GREETING + INITIATE,
            GREETING + command(b"HELLO", 199),
            GREETING + command(b"HELLO", 300),
            GREETING + command(b"HELLO", 200, flags=0),
            GREETING + command(b"HELLU", 200),
            GREETING + HELLO + HELLO,
            GREETING + HELLO + command(b"INITIATE", 513),
            GREETING + HELLO + b"\6" + b"\xff" * 8,
            HANDSHAKE + b"x",
            HANDSHAKE + INITIATE,
        ],
    )
    def test_anything_else_ends_the_connection(self, stream: bytes) -> None:
        with pytest.raises(ProtocolViolation):
            CurveInspection(BOUNDS).feed(stream)

    def test_a_refused_client_can_say_no_more(self) -> None:
        inspection = CurveInspection(BOUNDS)
        inspection.feed(HANDSHAKE)
        inspection.note_answer(TURNED_AWAY)
        assert not inspection.ready
        with pytest.raises(ProtocolViolation):
            inspection.feed(b"x")


class LetInTests:
    def test_what_is_answered_makes_room_for_as_much(self) -> None:
        inspection = let_in()
        for _ in range(10):
            assert inspection.feed(bytes(100)) == bytes(100)
            inspection.note_answer(bytes(1000))
        with pytest.raises(ProtocolViolation, match="too many bytes without getting answers"):
            inspection.feed(bytes(101))

    @given(st.lists(st.integers(1, 40)))
    def test_short_frames_go_on_however_they_are_cut(self, cuts: list[int]) -> None:
        inspection, at = (
            let_in(InspectionLimits(1000, None, True, 1000, encrypted_frame_bytes_max=48)),
            0,
        )
        stream = (
            b"\4\x30"
            + bytes(48)
            + b"\0\0"
            + b"\6"
            + (48).to_bytes(8, "big")
            + bytes(48)
            + b"\4\x28"
            + bytes(40)
        )
        for cut in (*cuts, len(stream)):
            assert inspection.feed(stream[at : at + cut]) == stream[at : at + cut]
            at += cut

    @pytest.mark.parametrize("long", [b"\4\x31", b"\0\xff", b"\6" + (1 << 40).to_bytes(8, "big")])
    def test_a_frame_longer_than_any_that_is_expected_ends_the_connection(
        self, long: bytes
    ) -> None:
        inspection = let_in(InspectionLimits(1000, None, True, 1000, encrypted_frame_bytes_max=48))
        inspection.feed(b"\4\x30" + bytes(47))
        inspection.feed(b"\0" + long[:-1])
        with pytest.raises(ProtocolViolation, match="it sent a frame of"):
            inspection.feed(long[-1:])

    def test_one_that_was_quiet_for_hours_ends_without_a_warning(self) -> None:
        inspection = let_in(
            InspectionLimits(1000, has_keys=True, unanswered_bytes_max=100, answers_count=False)
        )
        with pytest.raises(LimitExceeded) as ended:
            inspection.feed(bytes(101))
        assert is_worth_a_warning(ended.value, 3.0)
        assert not is_worth_a_warning(ended.value, 4 * 3600.0)
        assert is_worth_a_warning(ProtocolViolation("it sent a frame of 4096 bytes"), 4 * 3600.0)

    def test_where_answers_do_not_count_there_is_an_end(self) -> None:
        inspection = let_in(
            InspectionLimits(1000, has_keys=True, unanswered_bytes_max=100, answers_count=False)
        )
        inspection.feed(bytes(100))
        inspection.note_answer(bytes(1000))
        with pytest.raises(ProtocolViolation):
            inspection.feed(b"x")
