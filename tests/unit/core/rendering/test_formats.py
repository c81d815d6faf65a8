"""Names, extensions, and recognising an image by its first bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipe.core.rendering import formats
from imagepipe.core.rendering.formats import (
    AVIF,
    BMP,
    FORMATS,
    GIF,
    HEIC,
    ICO,
    JP2,
    JPEG,
    PNG,
    PSD,
    SNIFF_BYTES,
    TIFF,
    WEBP,
    Format,
    by_extension,
    named,
    sniff,
)


def ftyp(major: bytes, *compatible: bytes, size: int | None = None) -> bytes:
    """The first box of an ISO base media file."""
    box = b"ftyp" + major + b"\0\0\0\0" + b"".join(compatible)
    return (len(box) + 4 if size is None else size).to_bytes(4, "big") + box + b"\0\0\0\x08meta"


class SniffTests:
    """Content decides, never a name."""

    @pytest.mark.parametrize(
        ("head", "format"),
        [
            (b"\xff\xd8\xff\xe0\0\x10JFIF\0", JPEG),
            (b"\xff\xd8\xff\xdb", JPEG),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", PNG),
            (b"GIF87a", GIF),
            (b"GIF89a", GIF),
            (b"RIFF\x10\0\0\0WEBPVP8 ", WEBP),
            (b"II*\0\x08\0\0\0", TIFF),
            (b"MM\0*\0\0\0\x08", TIFF),
            (b"II+\0\x08\0\0\0", TIFF),
            (b"MM\0+\0\x08\0\0", TIFF),
            (b"BM" + bytes(8) + b"\x36\0\0\0\x28\0\0\0", BMP),
            (b"BM" + b"\xff" * 8 + b"\x1a\0\0\0\x0c\0\0\0", BMP),
            (b"\0\0\x01\0\x01\0\x10\x10", ICO),
            (b"8BPS\0\x01", PSD),
            (b"8BPS\0\x02", PSD),
            (b"\0\0\0\x0cjP  \r\n\x87\n", JP2),
            (ftyp(b"avif", b"mif1"), AVIF),
            (ftyp(b"avis"), AVIF),
            (ftyp(b"mif1", b"mif1", b"avif"), AVIF),
            (ftyp(b"msf1", b"avis"), AVIF),
            (ftyp(b"miaf", b"avif"), AVIF),
            (ftyp(b"heic", b"mif1"), HEIC),
            (ftyp(b"heix"), HEIC),
            (ftyp(b"hevc"), HEIC),
            (ftyp(b"mif1", b"heic"), HEIC),
            (ftyp(b"msf1"), HEIC),
        ],
    )
    def test_each_format_is_recognised(self, head: bytes, format: Format) -> None:
        assert sniff(head) is format
        assert sniff(head + bytes(100)) is format

    @pytest.mark.parametrize(
        "head",
        [
            b"",
            b"\xff\xd8",
            b"\x89PNG",
            b"GIF88a",
            b"RIFF\x10\0\0\0WAVE",
            b"WEBP",
            b"II*",
            b"BM",
            b"BM\x36\0\0\0\x01\0\0\0",
            b"\0\0\x01\0",
            b"\0\0\x01\0\0\0",
            b"\0\0\x02\0\x01\0",
            b"8BPS\0\x03",
            ftyp(b"isom", b"mp42"),
            ftyp(b"qt  ", b"avif"),
            ftyp(b"miaf", b"heic"),
            ftyp(b"avif", size=0),
            ftyp(b"avif", size=1),
            ftyp(b"mif1", b"avif", size=8),
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            b"<?xml version='1.0'?><svg/>",
            b"<html>",
            b"%PDF-1.7",
            b"%!PS-Adobe-3.0 EPSF-3.0",
            b"push graphic-context",
            b"<image><read filename='/etc/passwd'/></image>",
            b"#!/bin/sh",
            b"P6 1 1 255",
            b"\xff\x0a",
            b" \xff\xd8\xff",
        ],
    )
    def test_contents_of_other_formats_are_not_images(self, head: bytes) -> None:
        assert sniff(head) is None

    def test_brands_behind_what_is_looked_at_do_not_count(self) -> None:
        assert sniff(ftyp(b"miaf", *[b"xxxx"] * 11, b"avif")) is AVIF
        assert sniff(ftyp(b"miaf", *[b"xxxx"] * 12, b"avif")) is None

    @given(st.binary(max_size=200))
    def test_the_first_bytes_suffice(self, head: bytes) -> None:
        assert sniff(head) is sniff(head[:SNIFF_BYTES])

    @given(
        st.sampled_from(
            [b"\0\0\0\x20ftyp", b"RIFF", b"II", b"MM", b"\0\0", b"BM", b"8BPS", b"GIF8"]
        ),
        st.binary(max_size=70),
    )
    def test_no_bytes_are_too_strange(self, start: bytes, rest: bytes) -> None:
        assert sniff(start + rest) in (*FORMATS, None)


class NameTests:
    """Formats by name and extension."""

    @pytest.mark.parametrize(
        ("extension", "format"),
        [
            ("jpg", JPEG),
            (".JPEG", JPEG),
            ("jfif", JPEG),
            ("tif", TIFF),
            (".webp", WEBP),
            ("heif", HEIC),
            ("dib", BMP),
        ],
    )
    def test_extensions_in_any_case_with_or_without_a_dot(
        self, extension: str, format: Format
    ) -> None:
        assert by_extension(extension) is format

    @pytest.mark.parametrize("extension", ["", ".", "svg", "pdf", "..jpg", "jpg "])
    def test_an_unknown_extension_is_refused(self, extension: str) -> None:
        assert by_extension(extension) is None

    def test_each_format_has_its_name_and_extensions_to_itself(self) -> None:
        assert len({format.name for format in FORMATS}) == len(FORMATS)
        every = [extension for format in FORMATS for extension in format.extensions]
        assert len(set(every)) == len(every)
        for format in FORMATS:
            assert named(format.name) is format
            assert str(format) == format.name
            assert all(by_extension(extension) is format for extension in format.extensions)
            assert format.media_type.startswith("image/")

    def test_an_unknown_name_is_a_key_error(self) -> None:
        with pytest.raises(KeyError):
            named("svg")

    def test_what_is_rendered(self) -> None:
        assert {format for format in FORMATS if format.renders} == {
            JPEG,
            PNG,
            GIF,
            WEBP,
            AVIF,
            TIFF,
        }
        assert {format for format in FORMATS if format.animates} == {GIF, WEBP}
        assert [format for format in FORMATS if not format.alpha] == [JPEG]
        assert set(formats.RENDERED_EXTENSIONS) == set(
            "jpg jpeg jpe jfif png gif webp avif tif tiff".split()
        )
