"""ICC profiles for the engines' tests; all are in the public domain."""

import io

import pyvips
from PIL import Image, ImageCms


def cmyk_profile() -> bytes:
    """A press; libvips has it built in."""
    return bytes(pyvips.Operation.call("profile_load", "cmyk"))


def wide_profile() -> bytes:
    """Display P3; likewise."""
    return bytes(pyvips.Operation.call("profile_load", "p3"))


def in_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    """What a picture with this profile is in sRGB, by Little CMS."""
    srgb = ImageCms.createProfile("sRGB")
    flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
    converted = ImageCms.profileToProfile(picture, io.BytesIO(profile), srgb, ImageCms.Intent.PERCEPTUAL, "RGB", flags=flags)
    assert converted
    return converted
