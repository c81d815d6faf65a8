"""The engine for every image: which of the two takes which."""

from collections.abc import Iterator
from pathlib import Path

import pillow_heif
import pytest
from PIL import Image

from imagepipe.core.rendering.formats import (
    AVIF,
    BMP,
    ICO,
    JP2,
    JPEG,
    PNG,
    PSD,
    TIFF,
    Format,
    sniff,
)
from imagepipe.core.rendering.geometry import Size
from imagepipe.core.rendering.output_request import Method
from imagepipe.engines.auto import AutoEngine
from imagepipe.engines.engine import Engine
from imagepipe.engines.magick.magick_engine import ImageMagickEngine
from imagepipe.engines.vips.vips_engine import VipsEngine
from imagepipe.errors import NotStored
from tests.support.reference_images import convert, pixels, reference_command
from tests.support.source_images import bmp_v5, saved, scene_jpeg, see_through, small
from tests.system.engines.contract.engine_contract import assert_alike, facts_of, render, request
from tests.system.engines.contract.rare_formats import (
    BmpColoursContract,
    IconContract,
    Jp2Contract,
    PsdContract,
)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """One engine for all."""
    auto = AutoEngine(VipsEngine(), ImageMagickEngine())
    yield auto
    auto.close()


@pytest.fixture(scope="module")
def without_imagemagick() -> Iterator[Engine]:
    """The same where ImageMagick is not installed."""
    auto = AutoEngine(VipsEngine(), ImageMagickEngine(convert="/nonexistent/convert"))
    yield auto
    auto.close()


pillow_heif.register_heif_opener()


def made(format: Format) -> bytes:
    """A photograph in a format that only ImageMagick reads."""
    if format == BMP:
        return saved(small(64, 36), "BMP")
    if format == ICO:
        return saved(small(64, 36), "ICO", sizes=[(64, 36)])
    return convert("png:-", f"{format.name}:-", image=saved(small(), "PNG"))


def cut_out(picture: Image.Image, format: Format) -> bytes:
    """A picture with alpha in a format that only ImageMagick reads; of TIFF a kind."""
    if format == BMP:
        return bmp_v5(picture)
    if format == ICO:
        return saved(picture, "ICO", sizes=[picture.size])
    if format == JP2:
        return saved(picture, "JPEG2000")
    kind = ("-define", "quantum:format=floating-point", "-depth", "32") if format == TIFF else ()
    return convert("png:-", *kind, f"{format.name}:-", image=saved(picture, "PNG"))


class AutoEngineTests:
    """libvips for what it reads and writes, ImageMagick for the rest."""

    @pytest.mark.parametrize("format", [BMP, ICO, PSD, JP2], ids=str)
    @pytest.mark.parametrize("method", Method, ids=str)
    def test_what_libvips_does_not_read_looks_as_after_the_reference_command(
        self, engine: Engine, format: Format, method: Method, tmp_path: Path
    ) -> None:
        image, box = made(format), Size(50, 40)
        assert sniff(image[:64]) == format
        theirs = pixels(
            image,
            *reference_command(
                method, box, source=f"{format.name}:-[0]", colours=("-colorspace", "sRGB")
            ),
        )
        ours = render(
            engine, image, tmp_path, request(box, PNG, method), request(box, JPEG, method)
        )
        assert_alike(ours[0], theirs, 35)

    def test_layers_of_a_psd_are_one_picture(self, engine: Engine, tmp_path: Path) -> None:
        layer = saved(small(100, 60), "PNG")
        image = convert("png:-", "(", "+clone", "-negate", ")", "psd:-", image=layer)
        facts = facts_of(engine, image)
        assert facts.frames == 1
        (ours,) = render(engine, image, tmp_path, request(None, PNG))
        assert pixels(ours).shape == (1, facts.size.height, facts.size.width, 4)

    @pytest.mark.parametrize(
        "kind",
        [
            "-depth 32 -define quantum:format=floating-point",
            "-colorspace Lab",
            "-depth 4",
            "-depth 32",
            "-colorspace YCbCr",
        ],
    )
    def test_kinds_of_tiff_that_libvips_does_not_read(
        self, engine: Engine, kind: str, tmp_path: Path
    ) -> None:
        image = convert("png:-", *kind.split(), "tiff:-", image=saved(small(), "PNG"))
        theirs = pixels(
            image, *reference_command(Method.RESIZE, Size(50, 40), colours=("-colorspace", "sRGB"))
        )
        (ours,) = render(engine, image, tmp_path, request(Size(50, 40), PNG))
        assert_alike(ours, theirs, 35)

    def test_an_icon_keeps_its_alpha(self, engine: Engine, tmp_path: Path) -> None:
        image = saved(see_through().resize((64, 64)), "ICO", sizes=[(64, 64)])
        (ours,) = render(engine, image, tmp_path, request(Size(32, 32), PNG))
        assert_alike(
            ours,
            pixels(image, *reference_command(Method.RESIZE, Size(32, 32), source="ico:-[0]")),
            35,
        )

    @pytest.mark.parametrize("format", [BMP, ICO, JP2, TIFF], ids=str)
    def test_alpha_is_kept_in_avif_too(
        self, engine: Engine, format: Format, tmp_path: Path
    ) -> None:
        picture = see_through().resize((64, 36))
        image = cut_out(picture, format)
        assert facts_of(engine, image).alpha
        theirs = pixels(saved(picture, "PNG"))
        for made in render(engine, image, tmp_path, request(None, AVIF), request(None, PNG)):
            assert_alike(made, theirs, 28)

    @pytest.mark.parametrize("format", [BMP, ICO, PSD, JP2], ids=str)
    def test_a_truncated_file_is_refused(
        self, engine: Engine, format: Format, tmp_path: Path
    ) -> None:
        image = made(format)
        with pytest.raises(NotStored, match="cannot be"):
            render(engine, image[: len(image) // 4], tmp_path, request(Size(30, 30), PNG))

    def test_without_imagemagick_the_rest_is_rendered(
        self, without_imagemagick: Engine, tmp_path: Path
    ) -> None:
        render(without_imagemagick, scene_jpeg(), tmp_path, request(Size(50, 50), PNG))
        render(without_imagemagick, saved(small(), "HEIF"), tmp_path, request(Size(50, 50), PNG))
        with pytest.raises(
            NotStored, match="ImageMagick, which this image needs, is not installed here"
        ):
            facts_of(without_imagemagick, made(BMP))


class AutoPsdTests(PsdContract):
    """PSD."""


class AutoJp2Tests(Jp2Contract):
    """JPEG 2000."""


class AutoIconTests(IconContract):
    """ICO."""


class AutoBmpColoursTests(BmpColoursContract):
    """Colours of BMP."""
