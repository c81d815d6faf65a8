"""The imagemagick engine, held to the contract of all engines."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from contract_animations import AnimationContract
from contract_broken import BombContract, BrokenContract
from contract_colours import AlphaContract, AvifAlphaContract, ColoursContract, FormatsContract, MetadataContract, OrientationContract
from contract_compositions import CompositionContract
from contract_heic import HeicContract
from contract_jpeg_ends import JpegEndContract
from contract_meanings import AvifColoursContract, ForeignProfilesContract, PngColoursContract
from contract_others import BmpColoursContract, IconContract, Jp2Contract, PsdContract
from contract_png import PngContract
from contract_png_ends import PngEndContract
from contract_webp_frames import WebpFramesContract
from engine_contract import SizesContract, render, request
from pictures import saved, see_through

from imagepipe.core.geometry import Size
from imagepipe.engines.auto import ImageMagickFirst
from imagepipe.engines.engine import Engine
from imagepipe.engines.imagemagick import ImageMagickEngine
from imagepipe.engines.vips import VipsEngine


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """One engine for all."""
    imagemagick = ImageMagickFirst(ImageMagickEngine(environment={"MAGICK_THREAD_LIMIT": "1"}), VipsEngine())
    yield imagemagick
    imagemagick.close()


class ImageMagickSizesTests(SizesContract):
    """Sizes."""


class ImageMagickFormatsTests(FormatsContract):
    """Formats."""


class ImageMagickOrientationTests(OrientationContract):
    """Orientation."""


class ImageMagickColoursTests(ColoursContract):
    """Colours."""


class ImageMagickPngTests(PngContract):
    """Odd PNG chunks."""


class ImageMagickAlphaTests(AlphaContract):
    """Alpha."""


class ImageMagickAvifAlphaTests(AvifAlphaContract):
    """Alpha of AVIF."""


class ImageMagickTemporaryFilesTests:
    """Where it puts them: the daemon has neither the right to write to `/`, nor to its working directory."""

    def test_temporary_files_are_in_folders_made_for_them(self, tmp_path: Path) -> None:
        asked = tmp_path / "asked"
        convert = tmp_path / "convert"
        convert.write_text(f'#!/bin/sh\necho "$MAGICK_TMPDIR" >> {asked}\n[ "$(pwd)" = "$MAGICK_TMPDIR" ] || exit 1\nexec /usr/bin/convert "$@"\n')
        convert.chmod(0o755)
        outputs = tmp_path / "outputs"
        outputs.mkdir()
        render(ImageMagickEngine(str(convert)), saved(see_through(), "PNG"), outputs, request(Size(20, 20)))
        facts, rendering = map(Path, asked.read_text().splitlines())
        assert facts.name.startswith("imagepipe-")
        assert not facts.exists()
        assert outputs in (rendering, *rendering.parents)


class ImageMagickMetadataTests(MetadataContract):
    """Metadata."""


class ImageMagickAnimationTests(AnimationContract):
    """Animations; ImageMagick 6 makes every WebP loop for ever."""

    webp_loops = False


class ImageMagickBrokenTests(BrokenContract):
    """Broken files."""


class ImageMagickBombTests(BombContract):
    """Bombs."""


class ImageMagickJpegEndTests(JpegEndContract):
    """The ends of JPEGs."""


class ImageMagickHeicTests(HeicContract):
    """HEIC."""


class ImageMagickPngColoursTests(PngColoursContract):
    """What PNG says of its colours."""


class ImageMagickAvifColoursTests(AvifColoursContract):
    """What AVIF says of its colours."""


class ImageMagickForeignProfilesTests(ForeignProfilesContract):
    """Profiles that do not fit."""


class ImageMagickPsdTests(PsdContract):
    """PSD."""


class ImageMagickJp2Tests(Jp2Contract):
    """JPEG 2000."""


class ImageMagickIconTests(IconContract):
    """ICO."""


class ImageMagickBmpColoursTests(BmpColoursContract):
    """Colours of BMP."""


class ImageMagickCompositionTests(CompositionContract):
    """Animations of parts."""


class ImageMagickPngEndTests(PngEndContract):
    """The ends of PNGs."""


class ImageMagickWebpFramesTests(WebpFramesContract):
    """Animated WebPs."""
