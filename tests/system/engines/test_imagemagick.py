"""The imagemagick engine, held to the contract of all engines."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from imagepipe.core.rendering.geometry import Size
from imagepipe.engines.auto import ImageMagickFirst
from imagepipe.engines.engine import Engine
from imagepipe.engines.files import webp_frames
from imagepipe.engines.files.webp_container import CHUNKS_MAX
from imagepipe.engines.magick.magick_engine import ImageMagickEngine
from imagepipe.engines.vips.vips_engine import VipsEngine
from imagepipe.errors import NotStored
from tests.support.gif_files import Part, gif
from tests.support.source_images import saved, see_through
from tests.support.webp_files import Layer, webp
from tests.system.engines.contract.animations import AnimationContract
from tests.system.engines.contract.colour_metadata import (
    AvifColoursContract,
    ForeignProfilesContract,
    PngColoursContract,
)
from tests.system.engines.contract.colours import (
    AlphaContract,
    AvifAlphaContract,
    ColoursContract,
    FormatsContract,
    MetadataContract,
    OrientationContract,
)
from tests.system.engines.contract.compositions import CompositionContract
from tests.system.engines.contract.damaged import BombContract, BrokenContract
from tests.system.engines.contract.engine_contract import SizesContract, facts_of, render, request
from tests.system.engines.contract.heic import HeicContract
from tests.system.engines.contract.jpeg_ends import JpegEndContract
from tests.system.engines.contract.png import PngContract
from tests.system.engines.contract.png_ends import PngEndContract
from tests.system.engines.contract.rare_formats import (
    BmpColoursContract,
    IconContract,
    Jp2Contract,
    PsdContract,
)
from tests.system.engines.contract.webp_frames import WebpFramesContract


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """One engine for all."""
    imagemagick = ImageMagickFirst(
        ImageMagickEngine(environment={"MAGICK_THREAD_LIMIT": "1"}), VipsEngine()
    )
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
    """Where it puts them: the daemon has neither the right to write to `/`, nor to its working
    directory.
    """

    def test_temporary_files_are_in_folders_made_for_them(self, tmp_path: Path) -> None:
        asked = tmp_path / "asked"
        convert = tmp_path / "convert"
        convert.write_text(
            f'#!/bin/sh\necho "$MAGICK_TMPDIR" >> {asked}\n[ "$(pwd)" = "$MAGICK_TMPDIR" ] || exit'
            ' 1\nexec /usr/bin/convert "$@"\n'
        )
        convert.chmod(0o755)
        outputs = tmp_path / "outputs"
        outputs.mkdir()
        render(
            ImageMagickEngine(str(convert)),
            saved(see_through(), "PNG"),
            outputs,
            request(Size(20, 20)),
        )
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


STILL = b"ANMF" + (16).to_bytes(4, "little") + bytes(16)


class ImageMagickFrameCountTests:
    """More frames than ImageMagick takes are refused before it reads the first of them."""

    def test_a_gif_and_a_webp_of_too_many_frames(self, engine: Engine) -> None:
        long_gif = gif([Part((0, 0, 1, 1))] * 10_000, canvas=(1, 1))
        long_webp = webp([Layer((0, 0, 2, 2), (1, 2, 3, 4), (1, 2, 3, 4))]) + STILL * 10_000
        for image in (long_gif, long_webp):
            with pytest.raises(NotStored, match="more than 9999 frames"):
                facts_of(engine, image)

    def test_chunks_of_a_webp_are_looked_at_up_to_a_bound(self) -> None:
        image = webp([Layer((0, 0, 2, 2), (1, 2, 3, 4), (1, 2, 3, 4))])
        assert len(webp_frames.frames(image + STILL * 2 * CHUNKS_MAX)) < CHUNKS_MAX
