"""The marker that a JPEG lacks at its end."""

from hypothesis import given
from hypothesis import strategies as st

from imagepipe.engines.files.jpeg_stream import Stream, completed, lacks_pixels
from tests.support.gradients import detailed, encoded


def segment(marker: int, content: bytes) -> bytes:
    """One segment."""
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content


def frame(marker: int, *components: int) -> bytes:
    """A frame of 8x8 pixels."""
    listed = b"".join(bytes([component, 0x11, 0]) for component in components)
    return segment(marker, bytes([8, 0, 8, 0, 8, len(components)]) + listed)


def scan(first: int, last: int, bits: int, *components: int) -> bytes:
    """A scan of `components` and two bytes of pixels."""
    listed = b"".join(bytes([component, 0]) for component in components)
    header = bytes([len(components)]) + listed + bytes([first, last, bits])
    return segment(0xDA, header) + b"\xaa\xff\0"


SOI, EOI = b"\xff\xd8", b"\xff\xd9"


class WholeTests:
    def test_one_with_its_end_is_left_alone(self) -> None:
        picture = detailed(320, 180)
        for image in (encoded(picture, "JPEG"), encoded(picture, "JPEG", progressive=True)):
            for one in (image, image + b"trailer", image + image):
                assert completed(one) == Stream(one)

    def test_the_end_marker_is_added_after_all_that_is_there(self) -> None:
        head = SOI + frame(0xC0, 1, 2, 3) + scan(0, 63, 0, 1, 2, 3)
        assert completed(head) == Stream(head + EOI, completed=True)
        assert completed(head + b"trailer") == Stream(head + b"trailer" + EOI, completed=True)

    def test_a_trailer_is_cut_at_what_looks_like_a_marker(self) -> None:
        head = SOI + frame(0xC0, 1) + scan(0, 63, 0, 1)
        for trailer in (scan(0, 63, 0, 1), SOI, segment(0xC4, b"")[:-1], b"\xff\xc9mp4"):
            assert completed(head + trailer + b"more" + EOI).data == head + EOI
        head = SOI + frame(0xC2, 1) + scan(0, 63, 0, 1)
        for trailer in (
            SOI,
            b"\xff\xc4\xff\xff",
            b"\xff\xc9\0\2",
            b"\xff\xda\0\3\1",
            b"\xff\xda\0\6\1\7\0\0\0",
        ):
            assert completed(head + trailer).data == head + EOI

    def test_every_component_must_have_been_sent(self) -> None:
        head = SOI + frame(0xC0, 1, 2) + scan(0, 63, 0, 1)
        assert completed(head) == Stream(head)
        assert completed(head + scan(0, 63, 0, 2)).completed

    def test_every_bit_of_every_coefficient_must_have_been_sent(self) -> None:
        head = SOI + frame(0xC2, 1)
        scans = [
            scan(0, 0, 0x01, 1),
            scan(1, 5, 0x02, 1),
            scan(6, 63, 0x00, 1),
            scan(0, 0, 0x10, 1),
        ]
        scans += [scan(1, 5, 0x21, 1), scan(1, 5, 0x10, 1)]
        for count in range(len(scans) + 1):
            assert completed(head + b"".join(scans[:count])).completed == (count == len(scans))

    def test_what_decoders_skip_is_left_out(self) -> None:
        parts = [SOI, segment(0xE0, b"JFIF"), frame(0xC0, 1), scan(0, 63, 0, 1)]
        for noise in (b"noise", b"\xff\0", b"\xff\xff"):
            assert completed(noise.join(parts) + EOI + b"trailer") == Stream(
                b"".join(parts) + EOI + b"trailer"
            )
            assert completed(noise.join(parts)) == Stream(b"".join(parts) + EOI, completed=True)

    def test_a_long_scan_is_searched_piece_by_piece(self) -> None:
        head = SOI + frame(0xC0, 1) + scan(0, 63, 0, 1)
        for length in (2**18 - 3, 2**18 - 1, 2**18, 2**23 + 5):
            image = head + bytes(length)
            assert completed(image + EOI + b"trailer") == Stream(image + EOI + b"trailer")
            assert completed(image + b"\xff\xc4mp4").data == image + EOI

    def test_a_marker_is_found_behind_any_length_of_filling(self) -> None:
        scans = frame(0xC0, 1) + scan(0, 63, 0, 1)
        for filling in (1, (1 << 18) - 6, *range((1 << 18) - 3, (1 << 18) + 3), 1 << 20):
            image = SOI + b"\xff" * filling + scans
            assert completed(image) == Stream(SOI + scans + EOI, completed=True)

    def test_other_codings_than_huffman_are_left_alone(self) -> None:
        for marker in (0xC3, 0xC9, 0xCA):
            image = SOI + frame(marker, 1) + scan(0, 63, 0, 1)
            assert completed(image) == Stream(image)

    def test_segments_without_end_are_not_followed_for_ever(self) -> None:
        image = SOI + b"\xff\xfe\0\2" * 200_000 + frame(0xC0, 1) + scan(0, 63, 0, 1)
        assert completed(image) == Stream(image)

    @given(st.binary(max_size=80), st.integers(0, 700))
    def test_no_bytes_are_too_broken(self, noise: bytes, kept: int) -> None:
        image = encoded(detailed(16, 8), "JPEG")
        for one in (noise, SOI + noise, image[:kept], image[:kept] + noise):
            assert completed(one).data.startswith(SOI) or completed(one) == Stream(one)


class LacksPixelsTests:
    def test_pixels_that_ran_out(self) -> None:
        for complaint in ("premature end of data segment", "found marker 0xd9 instead of RST3"):
            for was_completed in (False, True):
                assert lacks_pixels(
                    f"VipsJpeg: Corrupt JPEG data: {complaint}", Stream(b"", was_completed)
                )

    def test_other_complaints_matter_where_the_end_was_added(self) -> None:
        complaint = "VipsJpeg: Corrupt JPEG data: bad Huffman code"
        assert not lacks_pixels(complaint, Stream(b""))
        assert lacks_pixels(complaint, Stream(b"", completed=True))

    def test_no_complaint_and_a_trailer_are_harmless(self) -> None:
        complaint = "VipsJpeg: Corrupt JPEG data: 57 extraneous bytes before marker 0xd9"
        for was_completed in (False, True):
            assert not lacks_pixels("", Stream(b"", was_completed))
            assert not lacks_pixels(complaint, Stream(b"", was_completed))
