"""What every engine must do with pictures that do not say their colours by a profile that fits."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from imagepipe.core.rendering.colourimetry import SRGB_PRIMARIES, Colourimetry, Transfer, by_codes
from imagepipe.core.rendering.formats import JPEG, PNG, WEBP
from imagepipe.core.rendering.geometry import Size
from imagepipe.core.rendering.icc import profile_of
from imagepipe.core.rendering.output_request import Method
from imagepipe.core.rendering.plan import Colours
from imagepipe.engines.engine import Engine
from tests.support.heif_files import ALPHA, Reference, auxiliary, encoded_av1, heif
from tests.support.icc_profiles import (
    cmyk_profile,
    grey_profile,
    in_srgb,
    swapped_profile,
    wide_profile,
)
from tests.support.reference_images import pixels, reference_command
from tests.support.source_images import (
    cmyk,
    png_chunk,
    quarters,
    quarters_seen,
    saved,
    see_through,
    small,
)
from tests.system.engines.contract.engine_contract import assert_alike, facts_of, render, request

PLAIN = quarters(96, 64)
SRGB_CHUNK = (b"sRGB", b"\0")
P3_CHUNK = (b"cICP", bytes([12, 13, 0, 1]))
LINEAR_CHUNK = (b"gAMA", struct.pack(">I", 100_000))
USUAL_CHUNK = (b"gAMA", struct.pack(">I", 45_455))
P3_XY_CHUNK = (b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))
SWAPPED_CHUNK = (b"iCCP", b"swapped\0\0" + zlib.compress(swapped_profile()))
GREY_CHUNK = (b"iCCP", b"grey\0\0" + zlib.compress(grey_profile()))

LINEAR = profile_of(Colourimetry(SRGB_PRIMARIES, Transfer.GAMMA, 1.0))

CHUNKS: dict[str, tuple[list[tuple[bytes, bytes]], bytes | None]] = {
    "cICP": ([P3_CHUNK], wide_profile()),
    "cICP before iCCP": ([P3_CHUNK, SWAPPED_CHUNK], wide_profile()),
    "cICP that says sRGB, before iCCP": ([(b"cICP", bytes([1, 13, 0, 1])), SWAPPED_CHUNK], None),
    "cICP that says sRGB, before gAMA": ([(b"cICP", bytes([1, 13, 0, 1])), LINEAR_CHUNK], None),
    "iCCP before sRGB": ([SWAPPED_CHUNK, SRGB_CHUNK], swapped_profile()),
    "iCCP before gAMA": ([SWAPPED_CHUNK, LINEAR_CHUNK], swapped_profile()),
    "iCCP that does not fit": ([GREY_CHUNK], None),
    "iCCP that does not fit, and gAMA": ([GREY_CHUNK, LINEAR_CHUNK], LINEAR),
    "broken iCCP": ([(b"iCCP", b"broken\0\0nothing")], None),
    "sRGB before gAMA and cHRM": ([SRGB_CHUNK, LINEAR_CHUNK, P3_XY_CHUNK], None),
    "gAMA": ([LINEAR_CHUNK], LINEAR),
    "the usual gAMA": ([USUAL_CHUNK], None),
    "gAMA and cHRM": ([USUAL_CHUNK, P3_XY_CHUNK], wide_profile()),
    "cHRM alone": ([P3_XY_CHUNK], None),
    "gAMA of 0": ([(b"gAMA", bytes(4))], None),
    "gAMA and a cHRM of 0": ([LINEAR_CHUNK, (b"cHRM", bytes(32))], LINEAR),
    "cICP too short": ([(b"cICP", b"\x0c")], None),
}
"""Chunks of a PNG, and the profile of what they mean; None for sRGB."""


def with_chunks(png: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """`png` with more chunks after its first."""
    return png[:33] + b"".join(png_chunk(*chunk) for chunk in chunks) + png[33:]


def avif(picture: Image.Image, *codes: int, **options: object) -> bytes:
    """An AVIF that gives its primaries and transfer by `codes`."""
    image = saved(picture, "AVIF", quality=100, subsampling="4:4:4", **options)
    at = image.index(b"colrnclx") + 8
    return image[:at] + struct.pack(">HH", *codes) + image[at + 4 :]


def expected(profile: bytes | None) -> npt.NDArray[np.int_]:
    """The colours of PLAIN if it has this profile."""
    return quarters_seen(in_srgb(PLAIN, profile) if profile else PLAIN)


def far(ours: bytes, profile: bytes | None) -> int:
    """The greatest difference of any channel from what is right."""
    return int(np.abs(quarters_seen(ours) - expected(profile)).max())


class PngColoursContract:
    """A PNG's chunks count in the order of its specification."""

    @pytest.mark.parametrize("name", CHUNKS)
    def test_chunks(self, engine: Engine, name: str, tmp_path: Path) -> None:
        chunks, profile = CHUNKS[name]
        image = with_chunks(saved(PLAIN, "PNG"), *chunks)
        for made in render(engine, image, tmp_path, request(None), request(Size(48, 48), WEBP)):
            assert far(made, profile) <= (3 if made.startswith(b"\x89PNG") else 12)

    @pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "I;16"])
    def test_every_kind_of_pixel(self, engine: Engine, mode: str, tmp_path: Path) -> None:
        picture = Image.new("RGB", (40, 30), (128, 128, 128))
        kind = (
            Image.new("I;16", (40, 30), 128 * 257)
            if mode == "I;16"
            else picture.quantize(4)
            if mode == "P"
            else picture.convert(mode)
        )
        image = with_chunks(saved(kind, "PNG"), LINEAR_CHUNK)
        for made in render(engine, image, tmp_path, request(None), request(Size(20, 20))):
            assert np.abs(quarters_seen(made) - 188).max() <= 2

    def test_hdr_keeps_what_a_page_can_show(self, engine: Engine, tmp_path: Path) -> None:
        """Colours of a page, as bright as they are there, in BT.2020 and PQ."""
        image = with_chunks(png_of(in_pq(PLAIN)), (b"cICP", bytes([9, 16, 0, 1])))
        (made,) = render(engine, image, tmp_path, request(None))
        assert far(made, None) <= 8

    def test_grey_in_the_codes_of_hdr(self, engine: Engine, tmp_path: Path) -> None:
        white = Image.new("L", (40, 30), 148)
        image = with_chunks(saved(white, "PNG"), (b"cICP", bytes([9, 16, 0, 1])))
        (made,) = render(engine, image, tmp_path, request(None))
        assert 232 <= quarters_seen(made).min() <= quarters_seen(made).max() <= 250


class AvifColoursContract:
    """An AVIF's codes count where it has no profile."""

    @pytest.mark.parametrize("codes", [(12, 13), (9, 13), (1, 4), (1, 8)], ids=str)
    def test_codes(self, engine: Engine, codes: tuple[int, int], tmp_path: Path) -> None:
        colours = by_codes(*codes)
        assert colours
        (made,) = render(engine, avif(PLAIN, *codes), tmp_path, request(None))
        assert far(made, profile_of(colours)) <= 12

    @pytest.mark.parametrize("codes", [(1, 13), (2, 2), (1, 1)], ids=str)
    def test_codes_of_srgb_and_none(
        self, engine: Engine, codes: tuple[int, int], tmp_path: Path
    ) -> None:
        assert facts_of(engine, avif(PLAIN, *codes)).colourimetry is None
        (made,) = render(engine, avif(PLAIN, *codes), tmp_path, request(None))
        assert far(made, None) <= 4

    def test_a_profile_counts_before_codes(self, engine: Engine, tmp_path: Path) -> None:
        image = saved(
            PLAIN, "AVIF", quality=100, subsampling="4:4:4", icc_profile=swapped_profile()
        )
        (made,) = render(engine, image, tmp_path, request(None))
        assert far(made, swapped_profile()) <= 8

    def test_hdr_keeps_the_white_of_a_page(self, engine: Engine, tmp_path: Path) -> None:
        eight_bits = Image.fromarray((in_pq(PLAIN) >> 8).astype(np.uint8))
        (made,) = render(engine, avif(eight_bits, 9, 16), tmp_path, request(None))
        assert np.abs(quarters_seen(made)[3] - quarters_seen(PLAIN)[3]).max() <= 10

    def test_colours_that_were_multiplied_by_the_alpha_are_divided_again(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        half = Image.new("L", PLAIN.size, 128)
        dark = PLAIN.point(lambda value: value * 128 / 255)
        items = [encoded_av1(dark), encoded_av1(half, auxiliary(ALPHA))]
        image = heif(
            items, [Reference(b"auxl", 2, (1,)), Reference(b"prem", 1, (2,))], brand=b"avif"
        )
        (made,) = render(engine, image, tmp_path, request(None))
        assert far(made, None) <= 6
        assert set(pixels(made)[..., 3].flat) <= set(range(126, 131))

    def test_the_primary_of_several_images(self, engine: Engine, tmp_path: Path) -> None:
        first, second = encoded_av1(Image.new("RGB", (32, 32))), encoded_av1(PLAIN)
        image = heif([first, second], primary=2, brand=b"avif")
        assert facts_of(engine, image).size == Size(*PLAIN.size)
        (made,) = render(engine, image, tmp_path, request(None))
        assert far(made, None) <= 6

    def test_alpha_is_read(self, engine: Engine, tmp_path: Path) -> None:
        image = saved(see_through(), "AVIF", quality=95)
        assert facts_of(engine, image).alpha
        png, jpeg = render(
            engine, image, tmp_path, request(Size(100, 100)), request(Size(100, 100), JPEG)
        )
        theirs = pixels(
            saved(see_through(), "PNG"), *reference_command(Method.RESIZE, Size(100, 100))
        )
        assert_alike(png, theirs, 28)
        assert pixels(jpeg)[0, :, -1, :3].min() > 240


class ForeignProfilesContract:
    """A profile of another colour space than the pixels is ignored."""

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
    @pytest.mark.parametrize("profile", [grey_profile(), cmyk_profile()], ids=["grey", "cmyk"])
    def test_rgb_pixels(self, engine: Engine, format: str, profile: bytes, tmp_path: Path) -> None:
        options = {} if format in ("PNG", "TIFF") else {"quality": 95}
        image = saved(PLAIN, format, icc_profile=profile, **options)
        assert facts_of(engine, image).profile is False
        (made,) = render(engine, image, tmp_path, request(None))
        assert far(made, None) <= 20

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
    def test_grey_pixels(self, engine: Engine, format: str, tmp_path: Path) -> None:
        grey = small(64, 36).convert("L")
        options = {"quality": 95} if format == "JPEG" else {}
        image = saved(grey, format, icc_profile=wide_profile(), **options)
        assert facts_of(engine, image).profile is False
        (made,) = render(engine, image, tmp_path, request(None))
        assert_alike(made, pixels(saved(grey, "PNG")), 35)

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
    def test_a_grey_profile_of_grey_pixels_counts(
        self, engine: Engine, format: str, tmp_path: Path
    ) -> None:
        image = saved(Image.new("L", (64, 36), 128), format, icc_profile=grey_profile(1.0))
        assert facts_of(engine, image).profile is True
        (made,) = render(engine, image, tmp_path, request(None))
        assert np.abs(quarters_seen(made) - 188).max() <= 2

    @pytest.mark.parametrize("format", ["JPEG", "TIFF", "WEBP"])
    def test_a_comment_with_the_letters_of_a_profile_is_none(
        self, engine: Engine, format: str, tmp_path: Path
    ) -> None:
        image = saved(
            PLAIN,
            format,
            icc_profile=wide_profile(),
            **({} if format == "TIFF" else {"quality": 95}),
        )
        comment = "x" * 36 + "acsp" + "y" * 200
        if format == "JPEG":
            image = (
                image[:2]
                + b"\xff\xfe"
                + struct.pack(">H", len(comment) + 2)
                + comment.encode()
                + image[2:]
            )
        elif format == "TIFF":
            image = saved(PLAIN, format, icc_profile=wide_profile(), tiffinfo={270: comment})
        else:
            image += b"note" + struct.pack("<I", len(comment)) + comment.encode()
        assert facts_of(engine, image).profile is True
        (made,) = render(engine, image, tmp_path, request(None))
        assert far(made, wide_profile()) <= 20

    def test_cmyk_pixels(self, engine: Engine, tmp_path: Path) -> None:
        image = saved(
            Image.open(io.BytesIO(cmyk())), "JPEG", quality=92, icc_profile=wide_profile()
        )
        facts = facts_of(engine, image)
        assert (facts.colours, facts.profile) == (Colours.CMYK, False)
        (made,) = render(engine, image, tmp_path, request(Size(100, 100), PNG))
        theirs = pixels(
            cmyk(),
            *reference_command(Method.RESIZE, Size(100, 100), colours=("-colorspace", "sRGB")),
        )
        assert_alike(made, theirs, 33)


def in_pq(picture: Image.Image) -> npt.NDArray[np.uint16]:
    """`picture` in BT.2020 and PQ with 16 bits a channel, its white being 203 nits."""
    srgb = np.asarray(picture) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    wide = (
        linear
        @ np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]).T
    )
    power = (wide * 203 / 10_000) ** 0.1593017578125
    coded = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    deep: npt.NDArray[np.uint16] = np.round(65535 * coded).astype(np.uint16)
    return deep


def png_of(colours: npt.NDArray[np.uint16]) -> bytes:
    """A PNG of RGB with 16 bits a channel."""
    height, width, _ = colours.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in colours)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)
