"""ICC profiles for the engines' tests; all are in the public domain."""

import pyvips


def cmyk_profile() -> bytes:
    """A press; libvips has it built in."""
    return bytes(pyvips.Operation.call("profile_load", "cmyk"))


def wide_profile() -> bytes:
    """Display P3; likewise."""
    return bytes(pyvips.Operation.call("profile_load", "p3"))
