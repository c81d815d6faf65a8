"""A plan in two steps, for two engines: one decodes, the other renders what it was given.

the plan        PSD, 12 megapixels -> a.jpg 500x375, a_s.avif 50x38
decoding(...)   PSD -> the whole picture, upright, in sRGB, as a TIFF that is not compressed
rendering(...)  TIFF -> a.jpg 500x375, a_s.avif 50x38
"""

from dataclasses import replace

from imagepipe.core.formats import TIFF
from imagepipe.core.plan import Colours, Filter, OutputPlan, RenderPlan


def decoding(plan: RenderPlan) -> RenderPlan:
    """The plan of the engine that decodes; its one output is the whole picture."""
    whole = OutputPlan(
        path="",
        format=TIFF,
        quality=100,
        cut=None,
        scale=plan.picture,
        filter=Filter.LANCZOS,
        crop=None,
        canvas=None,
        flatten=False,
        animated=False,
        subsample=False,
        compressed=False,
    )
    return replace(plan, shrink=1, frames=1, outputs=(whole,))


def rendering(plan: RenderPlan) -> RenderPlan:
    """The plan of the engine that renders what `decoding` made."""
    colours = plan.colours if plan.colours is Colours.GREY else Colours.RGB
    return replace(plan, source=TIFF, orient=1, colours=colours, profile=False, colourimetry=None)
