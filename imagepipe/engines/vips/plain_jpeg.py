"""The JPEGs that most are, in colour and without a profile, decoded by libjpeg-turbo without
libvips; only a worker process imports this.

What it gives is bit for bit what libvips gives, which takes a tenth longer for it. Whatever is not
as it should be is left to libvips: it knows what to forgive and what to say.
"""

from typing import Any

import pyvips
import simplejpeg

from imagepipe.core.rendering.formats import JPEG
from imagepipe.core.rendering.plan import Colours, RenderPlan


def decode(image: Any, plan: RenderPlan) -> pyvips.Image | None:
    """The source of `plan` in sRGB, at 1/shrink, in memory; None if libvips is to decode it."""
    if plan.source != JPEG or plan.colours is not Colours.RGB or plan.profile or not plan.strip:
        return None
    stored = plan.picture.turned if plan.orient >= 5 else plan.picture
    width, height = -(-stored.width // plan.shrink), -(-stored.height // plan.shrink)
    try:
        pixels = simplejpeg.decode_jpeg(
            image, "RGB", min_width=width, min_height=height, min_factor=1
        )
    except ValueError:  # also for what libjpeg only warns of
        return None
    if pixels.shape != (height, width, 3):
        return None
    picture = pyvips.Image.new_from_memory(pixels.data, width, height, 3, "uchar").copy(
        interpretation="srgb"
    )
    # As libvips does: the last column or row shows only a part of its pixel.
    return picture.crop(0, 0, stored.width // plan.shrink, stored.height // plan.shrink)
