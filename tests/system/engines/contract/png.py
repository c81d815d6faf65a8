"""What every engine must do with PNG chunks that few programs write and the specification
allows.
"""

import io
import struct
from pathlib import Path

import pytest
from PIL import Image

from imagepipe.core.rendering.formats import PNG, WEBP
from imagepipe.core.rendering.plan import RenderSettings
from imagepipe.engines.engine import Engine
from tests.support.reference_images import pixels
from tests.support.source_images import png_chunk, saved, small
from tests.system.engines.contract.engine_contract import facts_of, render, request

TURNED = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x112, 3, 1, 6, 0, 0)
"""An EXIF block that asks for a quarter turn."""


def with_chunk(before: bytes, name: bytes, content: bytes) -> bytes:
    """A small picture with a chunk in front of its first chunk called `before`."""
    plain = saved(small(), "PNG")
    at = plain.index(before) - 4
    return plain[:at] + png_chunk(name, content) + plain[at:]


class PngContract:
    @pytest.mark.parametrize("before", [b"IDAT", b"IEND"], ids=str)
    @pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"], ids=["plain", "prefixed"])
    @pytest.mark.parametrize("strip", [True, False], ids=["strip", "keep"])
    def test_exif_turns_it_wherever_it_stands(
        self, engine: Engine, before: bytes, prefix: bytes, strip: bool, tmp_path: Path
    ) -> None:
        image = with_chunk(before, b"eXIf", prefix + TURNED)
        assert facts_of(engine, image).orientation == 6
        for made in render(
            engine,
            image,
            tmp_path,
            request(None, PNG),
            request(None, WEBP),
            settings=RenderSettings(strip=strip),
        ):
            assert pixels(made).shape[1:3] == (320, 180)
            assert Image.open(io.BytesIO(made)).getexif().get(0x112, 1) == 1

    @pytest.mark.parametrize("name", [b"tEXt", b"zTXt", b"iTXt"], ids=str)
    @pytest.mark.parametrize("strip", [True, False], ids=["strip", "keep"])
    def test_a_keyword_may_have_letters_beyond_ascii(
        self, engine: Engine, name: bytes, strip: bool, tmp_path: Path
    ) -> None:
        rest = {
            b"tEXt": b"mittel",
            b"zTXt": b"\0x\x9c\x03\0\0\0\0\x01",
            b"iTXt": b"\0\0\0\0mittel",
        }[name]
        image = with_chunk(b"IDAT", name, "Größe".encode("latin-1") + b"\0" + rest)
        for made in render(
            engine, image, tmp_path, request(None, PNG), settings=RenderSettings(strip=strip)
        ):
            assert (pixels(made) == pixels(saved(small(), "PNG"))).all()
