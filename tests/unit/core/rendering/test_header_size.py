"""The size in a header is the one that a decoder finds."""

import io

import pytest
from PIL import Image

from imagepipe.core.rendering.formats import BMP, GIF, JPEG, PNG, WEBP, Format, sniff
from imagepipe.core.rendering.header_size import header_size

SIZES = [(1, 1), (40, 30), (300, 1), (257, 513)]


def encoded(size: tuple[int, int], format: str, **options: object) -> bytes:
    """A picture as Pillow writes it."""
    file = io.BytesIO()
    Image.new("RGBA" if options.pop("alpha", False) else "RGB", size, (9, 99, 200)).save(
        file, format, **options
    )
    return file.getvalue()


def found(image: bytes) -> tuple[int, int] | None:
    """What the header says."""
    format = sniff(image[:64])
    assert format
    return header_size(image, format)


class SizeTests:
    @pytest.mark.parametrize("size", SIZES)
    @pytest.mark.parametrize(
        ("format", "options"),
        [
            ("JPEG", {}),
            ("JPEG", {"progressive": True}),
            ("JPEG", {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0", "icc_profile": bytes(100_000)}),
            ("PNG", {}),
            ("GIF", {}),
            ("WEBP", {}),
            ("WEBP", {"lossless": True}),
            ("WEBP", {"alpha": True}),
            ("WEBP", {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"}),
        ],
    )
    def test_it_is_what_was_encoded(
        self, format: str, options: dict[str, object], size: tuple[int, int]
    ) -> None:
        assert found(encoded(size, format, **options)) == size

    def test_fill_bytes_and_markers_without_a_length_are_passed_over(self) -> None:
        jpeg = encoded((40, 30), "JPEG")
        assert found(jpeg[:2] + b"\xff\xff\xff\x01\xff\xd0" + jpeg[2:]) == (40, 30)

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP"])
    def test_half_a_header_says_nothing(self, format: str) -> None:
        image = encoded((40, 30), format)
        sizes = {found(image[:end]) for end in range(16, len(image))}
        assert sizes - {None} == {(40, 30)}

    @pytest.mark.parametrize(
        ("image", "format"),
        [
            (encoded((40, 30), "BMP"), BMP),
            (b"\xff\xd8\xff\xda" + bytes(100), JPEG),
            (b"\xff\xd8\xff\xc0\0\x11\x08\0\0\0\x28", JPEG),
            (b"\xff\xd8\xff\xe0\0\0" + bytes(100), JPEG),
            (b"\x89PNG\r\n\x1a\n" + bytes(100), PNG),
            (b"GIF89a", GIF),
            (b"RIFF\0\0\0\0WEBPVP8L", WEBP),
            (b"RIFF\0\0\0\0WEBPJUNK" + bytes(100), WEBP),
        ],
    )
    def test_what_it_cannot_tell_it_does_not(self, image: bytes, format: Format) -> None:
        assert header_size(image, format) is None
