"""The vips engine, held to the contract of all engines."""

from collections.abc import Iterator

import pytest

from imagepipe.engines.engine import Engine
from imagepipe.engines.vips.vips_engine import VipsEngine
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
from tests.system.engines.contract.engine_contract import SizesContract
from tests.system.engines.contract.heic import HeicContract
from tests.system.engines.contract.jpeg_ends import JpegEndContract
from tests.system.engines.contract.png import PngContract
from tests.system.engines.contract.png_ends import PngEndContract
from tests.system.engines.contract.webp_frames import WebpFramesContract


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
