"""The vips engine, held to the contract of all engines."""

from collections.abc import Iterator

import pytest
from contract_animations import AnimationContract
from contract_broken import BombContract, BrokenContract
from contract_colours import AlphaContract, AvifAlphaContract, ColoursContract, FormatsContract, MetadataContract, OrientationContract
from contract_compositions import CompositionContract
from contract_heic import HeicContract
from contract_jpeg_ends import JpegEndContract
from contract_meanings import AvifColoursContract, ForeignProfilesContract, PngColoursContract
from contract_png import PngContract
from contract_png_ends import PngEndContract
from contract_webp_frames import WebpFramesContract
from engine_contract import SizesContract

from imagepipe.engines.engine import Engine
from imagepipe.engines.vips.vips_engine import VipsEngine


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """One engine for all."""
    vips = VipsEngine(timeout_seconds=60)
    yield vips
    vips.close()


class VipsSizesTests(SizesContract):
    """Sizes."""


class VipsFormatsTests(FormatsContract):
    """Formats."""


class VipsOrientationTests(OrientationContract):
    """Orientation."""


class VipsColoursTests(ColoursContract):
    """Colours."""


class VipsPngTests(PngContract):
    """Odd PNG chunks."""


class VipsAlphaTests(AlphaContract):
    """Alpha."""


class VipsMetadataTests(MetadataContract):
    """Metadata."""


class VipsAvifAlphaTests(AvifAlphaContract):
    """Alpha of AVIF."""


class VipsAnimationTests(AnimationContract):
    """Animations."""


class VipsBrokenTests(BrokenContract):
    """Broken files."""


class VipsBombTests(BombContract):
    """Bombs."""


class VipsJpegEndTests(JpegEndContract):
    """The ends of JPEGs."""


class VipsHeicTests(HeicContract):
    """HEIC."""


class VipsPngColoursTests(PngColoursContract):
    """What PNG says of its colours."""


class VipsAvifColoursTests(AvifColoursContract):
    """What AVIF says of its colours."""


class VipsForeignProfilesTests(ForeignProfilesContract):
    """Profiles that do not fit."""


class VipsCompositionTests(CompositionContract):
    """Animations of parts."""


class VipsPngEndTests(PngEndContract):
    """The ends of PNGs."""


class VipsWebpFramesTests(WebpFramesContract):
    """Animated WebPs."""
