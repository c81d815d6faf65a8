"""Splitting a plan into two steps, for two engines. Either one decodes and the other renders:

    the plan        PSD, 12 megapixels -> a.jpg 500x375, a_s.avif 50x38
    decoding(...)   PSD -> the whole picture, upright, in sRGB, as an uncompressed TIFF
    rendering(...)  TIFF -> a.jpg 500x375, a_s.avif 50x38

Or one renders, and the other encodes the formats that the first does not write well:

    unencoded(...)  PSD -> a.jpg 500x375, a TIFF of 50x38
    encoding(...)   that TIFF -> a_s.avif
"""

from dataclasses import replace

from imagepipe.core.rendering.formats import AVIF, TIFF
from imagepipe.core.rendering.plan import Colours, Filter, OutputPlan, RenderPlan


def decoding(plan: RenderPlan) -> RenderPlan:
    """The plan for the engine that decodes; its only output is the whole picture."""
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
    """The plan for the engine that renders the output of `decoding`."""
    colours = plan.colours if plan.colours is Colours.GREY else Colours.RGB
    return replace(plan, source=TIFF, orient=1, colours=colours, profile=False, colourimetry=None)


def unencoded(plan: RenderPlan) -> RenderPlan:
    """The plan for the engine that renders: each AVIF becomes a TIFF, with its alpha."""
    outputs = (_as_tiff(output) if output.format == AVIF else output for output in plan.outputs)
    return replace(plan, outputs=tuple(outputs))


def encoding(plan: RenderPlan, output: OutputPlan) -> RenderPlan:
    """The plan for the engine that encodes `output` from its TIFF in `unencoded`."""
    finished = replace(output, cut=None, scale=output.size, crop=None, canvas=None)
    return replace(rendering(plan), picture=output.size, shrink=1, frames=1, outputs=(finished,))


def _as_tiff(output: OutputPlan) -> OutputPlan:
    return replace(output, format=TIFF, compressed=False)
