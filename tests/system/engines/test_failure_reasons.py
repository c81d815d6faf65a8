"""Why an image cannot be read or rendered, in words that a client can use."""

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagepipe.core.rendering.formats import JPEG, PNG
from imagepipe.engines.auto import AutoEngine
from imagepipe.engines.engine import Engine
from imagepipe.engines.failure_reasons import LENGTH_MAX, UNKNOWN, of_kind, reason
from imagepipe.engines.magick.magick_engine import ImageMagickEngine
from imagepipe.engines.vips.vips_engine import VipsEngine
from imagepipe.errors import NotStored
from tests.support.source_images import png_chunk, saved, small
from tests.system.engines.contract.engine_contract import facts_of, render, request


class ReasonTests:
    @pytest.mark.parametrize(
        ("said", "why"),
        [
            ("unable to copy to memory\n  vipspng: libpng read error\n", "its data is damaged"),
            (
                "unable to call jpegload_source\n  VipsJpeg: Premature end of JPEG file",
                "Premature end of JPEG file",
            ),
            (
                "unable to copy to memory\n  tiff2vips: ZSTD compression support is not configured",
                "its compression is not supported",
            ),
            (
                (
                    "convert-im6.q16: cache resources exhausted `/tmp/magick-4f' @"
                    " error/cache.c/OpenPixelCache/4095.\n"
                ),
                "it takes too much memory",
            ),
            (
                (
                    "convert: image sequence is required `-coalesce' @"
                    " error/mogrify.c/MogrifyImageList/8018."
                ),
                UNKNOWN,
            ),
            (
                (
                    'convert: /tmp/imagepipe-v7/magick-2Huo: Bad value 0 for "RowsPerStrip" tag.'
                    " `TIFF' @ error/tiff.c"
                ),
                'Bad value 0 for "RowsPerStrip" tag',
            ),
            ("", UNKNOWN),
            ("unable to call pngload_source\n", UNKNOWN),
            ("naïve\x1b[2J", "naive?[2J"),
        ],
    )
    def test_what_a_decoder_says_is_made_a_reason(self, said: str, why: str) -> None:
        assert reason(said) == why

    def test_it_is_short(self) -> None:
        assert len(reason("a" * 10_000)) == LENGTH_MAX


class KindTests:
    def test_a_png_of_ios_is_named(self) -> None:
        assert "CgBI" in (of_kind(b"\x89PNG\r\n\x1a\n\0\0\0\4CgBI", PNG) or "")
        assert of_kind(saved(small(), "PNG"), PNG) is None
        assert of_kind(b"\xff\xd8\xff\xe0" + b"\0" * 8 + b"CgBI", JPEG) is None


@pytest.fixture(scope="module", params=["imagemagick", "auto"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Either engine."""
    magick = ImageMagickEngine()
    engine: Engine = magick if request.param == "imagemagick" else AutoEngine(VipsEngine(), magick)
    yield engine
    engine.close()


def damaged() -> bytes:
    image = bytearray(saved(small(), "PNG"))
    at = image.index(b"IDAT") + 60
    image[at : at + 6] = bytes(6)
    return bytes(image)


def of_ios() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = packer.compress(bytes(64 * 97 * 4)) + packer.flush()
    header = struct.pack(">IIBBBBB", 96, 64, 8, 6, 0, 0, 0)
    chunks = ((b"CgBI", b"\x50\0\x20\6"), (b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


BROKEN: dict[str, Callable[[], bytes]] = {
    "PNG with damaged pixels": damaged,
    "PNG of iOS": of_ios,
    "TIFF with a broken directory": lambda: b"II*\0" + struct.pack("<IH", 8, 5) + bytes(4),
}


class EngineReasonTests:
    @pytest.mark.parametrize("what", BROKEN)
    def test_it_says_why_in_words_of_use(self, engine: Engine, what: str, tmp_path: Path) -> None:
        with pytest.raises(NotStored) as raised:
            render(engine, BROKEN[what](), tmp_path, request(None, PNG))
        said = str(raised.value)
        assert said.startswith("the image cannot be ")
        for noise in (
            "/tmp",
            "magick-",
            "copy to memory",
            "does not say",
            "sequence",
            "libpng",
            "2vips",
        ):
            assert noise not in said

    def test_the_kind_is_known_before_a_decoder_is_asked(self, engine: Engine) -> None:
        with pytest.raises(NotStored, match="CgBI"):
            facts_of(engine, of_ios())
