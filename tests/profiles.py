"""ICC profiles for the engines' tests; all are in the public domain."""

from pathlib import Path

import pyvips

import imagepipe.engines

SRGB = str(Path(imagepipe.engines.__file__).parent / "srgb.icc")
"""The path of the one that both engines convert to."""


def cmyk_profile() -> bytes:
    """A press; libvips has it built in."""
    return bytes(pyvips.Operation.call("profile_load", "cmyk"))


def wide_profile() -> bytes:
    """Display P3; likewise."""
    return bytes(pyvips.Operation.call("profile_load", "p3"))
