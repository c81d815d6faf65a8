"""ICC profiles for the engines' tests; all are in the public domain."""

import io
import struct

import pyvips
from PIL import Image, ImageCms

from imagepipe.core.rendering.colourimetry import Colourimetry, Transfer
from imagepipe.core.rendering.icc import profile_of


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
    converted = ImageCms.profileToProfile(
        picture, io.BytesIO(profile), srgb, ImageCms.Intent.PERCEPTUAL, "RGB", flags=flags
    )
    assert converted
    return converted


def swapped_profile() -> bytes:
    """One that takes green for red, blue for green and red for blue: whether it counts shows at a
    glance.
    """
    return profile_of(
        Colourimetry((0.30, 0.60, 0.15, 0.06, 0.64, 0.33, 0.3127, 0.3290), Transfer.GAMMA, 2.2)
    )


def grey_profile(gamma: float = 2.2) -> bytes:
    """One of grey pixels; ICC.1, by hand."""
    white = b"XYZ " + bytes(4) + struct.pack(">iii", 63190, 65536, 54061)
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    described = b"desc" + bytes(4) + struct.pack(">I", 5) + b"grey\0" + bytes(79)
    tags, table, data = (
        {
            b"desc": described,
            b"wtpt": white,
            b"kTRC": curve,
            b"cprt": b"text" + bytes(4) + b"none\0" + bytes(3),
        },
        b"",
        b"",
    )
    for name, content in tags.items():
        table += struct.pack(">4sII", name, 132 + 12 * len(tags) + len(data), len(content))
        data += content
    body = struct.pack(">I", len(tags)) + table + data
    header = struct.pack(
        ">I4sI4s4s4s6H",
        128 + len(body),
        bytes(4),
        0x02100000,
        b"mntr",
        b"GRAY",
        b"XYZ ",
        2000,
        1,
        1,
        0,
        0,
        0,
    )
    header += b"acsp" + bytes(28) + struct.pack(">iii", 63190, 65536, 54061)
    return header + bytes(128 - len(header)) + body
