"""ICC profiles, held against Little CMS."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from imagepipe.core.rendering.colourimetry import SRGB_PRIMARIES, Colourimetry, Transfer, by_codes
from imagepipe.core.rendering.icc import colour_space, profile_of
from tests.support.icc_profiles import cmyk_profile, in_srgb, wide_profile
from tests.support.source_images import quarters, quarters_seen


class ColourSpaceTests:
    """What a profile is for."""

    def test_the_colour_space_is_in_the_header(self) -> None:
        assert colour_space(wide_profile()) == b"RGB "
        assert colour_space(cmyk_profile()[:128]) == b"CMYK"

    @pytest.mark.parametrize("profile", [b"", b"no profile", bytes(200), wide_profile()[:100]])
    def test_anything_else_has_no_profile(self, profile: bytes) -> None:
        assert colour_space(profile) == b""


class ProfileTests:
    """Profiles made of primaries and a curve."""

    def test_srgb_changes_nothing(self) -> None:
        made = profile_of(Colourimetry(SRGB_PRIMARIES, Transfer.SRGB))
        ramp = Image.fromarray(
            np.arange(256, dtype=np.uint8).reshape(16, 16).repeat(3).reshape(16, 16, 3)
        )
        assert np.abs(np.asarray(in_srgb(ramp, made)).astype(int) - np.asarray(ramp)).max() <= 1
        assert (
            np.abs(
                quarters_seen(in_srgb(quarters(8, 8), made)) - quarters_seen(quarters(8, 8))
            ).max()
            <= 1
        )

    def test_display_p3_is_what_others_take_for_it(self) -> None:
        p3 = by_codes(12, 13)
        assert p3
        ours, theirs = (
            in_srgb(quarters(8, 8), profile_of(p3)),
            in_srgb(quarters(8, 8), wide_profile()),
        )
        assert np.abs(quarters_seen(ours) - quarters_seen(theirs)).max() <= 2

    def test_a_gamma(self) -> None:
        linear = profile_of(Colourimetry(SRGB_PRIMARIES, Transfer.GAMMA, 1.0))
        grey = in_srgb(Image.new("RGB", (8, 8), (128, 128, 128)), linear)
        assert np.abs(quarters_seen(grey) - 188).max() <= 1

    def test_white_of_another_colour_becomes_white(self) -> None:
        cinema = by_codes(11, 17)
        assert cinema
        white = in_srgb(Image.new("RGB", (8, 8), (255, 255, 255)), profile_of(cinema))
        assert quarters_seen(white).min() >= 253

    def test_it_is_a_profile(self) -> None:
        profile = profile_of(Colourimetry(SRGB_PRIMARIES, Transfer.HLG))
        assert len(profile) == int.from_bytes(profile[:4], "big")
        assert colour_space(profile) == b"RGB "
        assert "imagepipe" in ImageCms.getProfileDescription(
            ImageCms.ImageCmsProfile(io.BytesIO(profile))
        )
