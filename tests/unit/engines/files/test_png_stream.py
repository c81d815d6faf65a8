"""Which chunks of a PNG ImageMagick gets; that the picture stays the same is in
`contract_png_ends`.
"""

import zlib

from imagepipe.engines.files.png_stream import completed
from tests.support.gradients import encoded, gradient
from tests.support.source_images import png_chunk

PNG = encoded(gradient(320, 180), "PNG")
IDAT = PNG.index(b"IDAT") - 4


def with_chunks(*chunks: bytes) -> bytes:
    return PNG[:IDAT] + b"".join(chunks) + PNG[IDAT:]


def test_what_a_usual_file_has_is_left_alone() -> None:
    chunks = [
        png_chunk(b"gAMA", bytes(4)),
        png_chunk(b"eXIf", bytes(8)),
        png_chunk(b"tEXt", b"Title\0x"),
    ]
    chunks += [
        png_chunk(b"zTXt", b"Title\0\0" + zlib.compress(b"y")),
        png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>"),
    ]
    image = with_chunks(*chunks)
    assert completed(image) is image


def test_chunks_that_nobody_reads_are_left_out_however_many() -> None:
    for kind in (b"teXt", b"fcTL", b"sPLT"):
        assert completed(with_chunks(*[png_chunk(kind, b"")] * 100_001)) == PNG


def test_of_what_comes_once_the_first_counts() -> None:
    first, second = png_chunk(b"gAMA", b"\0\0\0\1"), png_chunk(b"gAMA", b"\0\0\0\2")
    assert completed(with_chunks(first, second, second)) == with_chunks(first)


def test_texts_are_bounded_in_number() -> None:
    text = png_chunk(b"tEXt", b"Title\0x")
    assert completed(with_chunks(*[text] * 1001)) == with_chunks(*[text] * 1000)


def test_texts_are_bounded_in_what_they_inflate_to() -> None:
    deflated = zlib.compress(bytes(20_000_000), 9)
    for kind, head in ((b"zTXt", b"Title\0\0"), (b"iTXt", b"Title\0\1\0\0\0")):
        text = png_chunk(kind, head + deflated)
        assert completed(with_chunks(*[text] * 100)) == with_chunks(*[text] * 3)


def test_raw_profiles_are_left_out_of_every_kind_of_text() -> None:
    for kind in (b"tEXt", b"zTXt", b"iTXt"):
        assert completed(with_chunks(png_chunk(kind, b"Raw profile type exif\0\n"))) == PNG
