"""What every engine must do with a PNG whose end is missing, and with long texts in it."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from imagepipe.core.rendering.formats import JPEG
from imagepipe.core.rendering.geometry import Size
from imagepipe.engines.engine import Engine
from imagepipe.errors import NotStored
from tests.support.reference_images import pixels
from tests.support.source_images import png_chunk, saved, small
from tests.system.engines.contract.engine_contract import render, request

END_BYTES = 12


def png() -> bytes:
    """A photograph whose pixels are in several chunks."""
    image = saved(small(), "PNG")
    at = image.index(b"IDAT") - 4
    (length,) = struct.unpack_from(">I", image, at)
    first = image[at + 8 : at + 8 + length]
    half = len(first) // 2
    split = png_chunk(b"IDAT", first[:half]) + png_chunk(b"IDAT", first[half:])
    return image[:at] + split + image[at + 12 + length :]


def with_text(image: bytes, name: bytes, content: bytes) -> bytes:
    """`image` with a chunk before its pixels."""
    at = image.index(b"IDAT") - 4
    return image[:at] + png_chunk(name, content) + image[at:]


class PngEndContract:
    """Where all pixels are there, the picture is rendered; where some are missing, it is
    refused.
    """

    @pytest.mark.parametrize("missing", [1, 4, 5, 8, 9, 11, 12])
    def test_a_missing_end_does_not_matter(
        self, engine: Engine, missing: int, tmp_path: Path
    ) -> None:
        (ours,) = render(engine, png()[:-missing], tmp_path, request(None))
        assert np.array_equal(pixels(ours), pixels(png()))

    def test_nor_does_a_note_that_is_cut_off(self, engine: Engine, tmp_path: Path) -> None:
        note = png_chunk(b"tEXt", b"Comment\0" + b"words " * 20)
        (ours,) = render(engine, png()[:-END_BYTES] + note[:-30], tmp_path, request(None))
        assert np.array_equal(pixels(ours), pixels(png()))

    def test_missing_pixels_are_refused(self, engine: Engine, tmp_path: Path) -> None:
        image = png()
        second = image.index(b"IDAT", image.index(b"IDAT") + 4) - 4
        end = image[-END_BYTES:]
        for cut in (
            image[:second],
            image[:second] + end,
            image[: second + 6],
            image[: second + 50],
            image[:-40],
            image[:-13],
        ):
            with pytest.raises(NotStored):
                render(engine, cut, tmp_path, request(Size(50, 50)))

    @pytest.mark.parametrize(
        "keyword", [b"Raw profile type xmp", b"raw profile type EXIF", b"Comment"], ids=str
    )
    @pytest.mark.parametrize("length", [50_000, 12_500_000])
    @pytest.mark.parametrize("packed", [False, True])
    def test_long_texts_do_no_harm(
        self, engine: Engine, keyword: bytes, length: int, packed: bool, tmp_path: Path
    ) -> None:
        text = b"20 00" * (length // 5)
        chunk = (
            (b"zTXt", keyword + b"\0\0" + zlib.compress(text, 1))
            if packed
            else (b"tEXt", keyword + b"\0" + text)
        )
        (ours,) = render(engine, with_text(png(), *chunk), tmp_path, request(Size(50, 50), JPEG))
        assert pixels(ours).shape == (1, 28, 50, 4)
