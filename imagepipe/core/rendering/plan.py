"""A request and the facts of its source -> a render plan: every number final, nothing left for an
engine to round.

    source 4000x3000 JPEG, orientation 6; size={"": [500, 500], "_s": [50, 50]}, crop={"_s": 1}

    RenderPlan(shrink=4,                                     read at 1/4: still twice what the
        largest output needs
      a.jpg    scale 3000x4000 -> 375x500
      a_s.jpg  scale 3000x4000 -> 50x67, keep 50x50 from (0, 8))

Coordinates are those of the oriented picture (after `auto_orient`). An engine does, in this order:
read (at 1/shrink); orient; convert the colours to sRGB; then for each output cut, scale, crop, put
on the canvas, flatten, encode.
"""

import enum
from dataclasses import dataclass

from imagepipe.core.rendering import geometry
from imagepipe.core.rendering.colourimetry import Colourimetry
from imagepipe.core.rendering.formats import JPEG, WEBP, Format
from imagepipe.core.rendering.geometry import Region, Size
from imagepipe.core.rendering.output_request import Method, OutputRequest
from imagepipe.errors import BadRequest, quoted

FULL_CHROMA_QUALITY = 90
"""From this quality on ImageMagick writes a JPEG with a colour sample for each pixel."""


_PIXEL_BYTES_MAX = 8
"""Of a pixel as it is decoded: four channels of 16 bits."""


class Colours(enum.Enum):
    """The colour space of a source's pixels, as far as it matters for the way to sRGB."""

    RGB = "rgb"
    GREY = "grey"
    CMYK = "cmyk"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What a source's header says.

    `size` is as stored, before orientation. `orientation` is EXIF's, 1 to 8. `frames` counts the
    pictures of an animation and is 1 for all else. `indexed`: ImageMagick holds it as a palette
    (palette and up to 8-bit grey sources): that decides its filter. `profile`: an ICC profile is
    embedded that is for such pixels and counts. `colourimetry`: what counts in its place, where the
    colours are not sRGB. `full_chroma`: a JPEG with a colour sample for each pixel (4:4:4).
    `block_bytes`: what a decoder must hold at once, whatever the size of the picture (a tile of a
    TIFF).
    """

    format: Format
    size: Size
    orientation: int = 1
    frames: int = 1
    alpha: bool = False
    indexed: bool = False
    colours: Colours = Colours.RGB
    profile: bool = False
    full_chroma: bool = False
    colourimetry: Colourimetry | None = None
    block_bytes: int = 0


@dataclass(frozen=True, slots=True)
class RenderSettings:
    """The part of `[images]` that decides what is rendered."""

    pixels_max: int = 100_000_000
    strip: bool = True
    auto_orient: bool = True
    quality: int = 85


class Filter(enum.Enum):
    """The resampling filter; ImageMagick's own choice (ResizeImage in magick/resize.c)."""

    LANCZOS = "lanczos"
    MITCHELL = "mitchell"


@dataclass(frozen=True, slots=True)
class Canvas:
    """A transparent picture of `size` on which the image lies at (`left`, `top`)."""

    size: Size
    left: int
    top: int


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """One output: source[cut] -> scale -> crop -> canvas -> white below, if `flatten` -> `format`.

    `subsample`: a JPEG has one colour sample for four pixels (4:2:0). `compressed`: a TIFF is.
    """

    path: str
    format: Format
    quality: int
    cut: Region | None
    scale: Size
    filter: Filter
    crop: Region | None
    canvas: Canvas | None
    flatten: bool
    animated: bool
    subsample: bool
    compressed: bool = True

    @property
    def size(self) -> Size:
        """The output's own size."""
        if self.crop:
            return Size(self.crop.width, self.crop.height)
        return self.canvas.size if self.canvas else self.scale


@dataclass(frozen=True, slots=True)
class RenderPlan:
    """What an engine does to one source.

    `orient`: the EXIF orientation to apply, 1 for none. `picture`: the oriented source's full size,
    which cuts and scales refer to. `shrink`: an engine may read the source at 1/shrink (1, 2, 4 or
    8), by its decoder or by averaging. `frames`: how many of the source's frames any output needs.
    """

    source: Format
    picture: Size
    orient: int
    colours: Colours
    profile: bool
    alpha: bool
    shrink: int
    frames: int
    strip: bool
    outputs: tuple[OutputPlan, ...]
    colourimetry: Colourimetry | None = None


def check_source(facts: SourceFacts, settings: RenderSettings) -> None:
    """Raise BadRequest for a source with more pixels than `max_pixels`, all frames summed, or tiles
    that take as much.
    """
    if facts.size.pixels * facts.frames > settings.pixels_max:
        frames = f" in {facts.frames} frames" if facts.frames > 1 else ""
        raise BadRequest(
            "image", f"{facts.size} pixels{frames} are more than {settings.pixels_max} (max_pixels)"
        )
    if facts.block_bytes > _PIXEL_BYTES_MAX * settings.pixels_max:
        raise BadRequest(
            "image",
            f"tiles of {facts.block_bytes} bytes are more than {settings.pixels_max} pixels take"
            " (max_pixels)",
        )


def oriented_size(facts: SourceFacts, settings: RenderSettings) -> Size:
    """The size of the source as it is shown."""
    # EXIF orientations 5 to 8 lie on their side.
    return facts.size.turned if _orient(facts, settings) >= 5 else facts.size


def plan_render(
    requests: tuple[OutputRequest, ...], facts: SourceFacts, settings: RenderSettings
) -> RenderPlan:
    """The plan that renders `requests` from one decode of the source.

    Raises BadRequest if the source is too large, if its format cannot be written and none is named,
    if a step would exceed `max_pixels`, or if the format of an output cannot hold it.
    """
    check_source(facts, settings)
    orient = _orient(facts, settings)
    picture = oriented_size(facts, settings)
    outputs = tuple(_plan_output(request, picture, facts, settings) for request in requests)
    return RenderPlan(
        source=facts.format,
        picture=picture,
        orient=orient,
        colours=facts.colours,
        profile=facts.profile,
        alpha=facts.alpha,
        shrink=_shrink(facts, picture, outputs),
        frames=facts.frames if any(output.animated for output in outputs) else 1,
        strip=settings.strip,
        outputs=outputs,
        colourimetry=facts.colourimetry,
    )


def _plan_output(
    request: OutputRequest, picture: Size, facts: SourceFacts, settings: RenderSettings
) -> OutputPlan:
    format = request.format or facts.format
    if not format.renders:
        raise BadRequest(
            "fmt",
            f"a {format} source cannot be written as {format}: name the format to render"
            f" {quoted(request.path)} to",
        )
    quality = request.quality or settings.quality
    animated = facts.frames > 1 and facts.format.animates and format.animates
    frames = facts.frames if animated else 1
    cut: Region | None = None
    crop: Region | None = None
    canvas: Canvas | None = None
    if request.box is None:
        scale = picture
    elif request.method is Method.CROP:
        scale = geometry.cover(picture, request.box)
        crop = geometry.centred_crop(scale, request.box)
        wasteful = (
            scale.pixels > 2 * request.box.pixels or scale.pixels * frames > settings.pixels_max
        )
        if scale.pixels > picture.pixels and wasteful:
            smaller = geometry.cut_before_enlarging(picture, scale, crop)
            cut, scale, crop = smaller.region, smaller.scaled, smaller.crop
    else:
        scale = geometry.fit(picture, request.box)
        if request.method is Method.COMPOSITE:
            canvas = Canvas(request.box, *geometry.centred_offset(request.box, scale))
    plan = OutputPlan(
        path=request.path,
        format=format,
        quality=quality,
        cut=cut,
        scale=scale,
        filter=_filter(facts, Size(cut.width, cut.height) if cut else picture, scale),
        crop=crop,
        canvas=canvas,
        flatten=not format.alpha,
        animated=animated,
        # ImageMagick's choice: a JPEG's outputs are sampled like itself, others by quality.
        subsample=not facts.full_chroma if facts.format == JPEG else quality < FULL_CHROMA_QUALITY,
    )
    largest = max(scale.pixels, plan.size.pixels) * frames
    if largest > settings.pixels_max:
        raise BadRequest(
            "size",
            f"rendering {quoted(request.path)} takes {largest} pixels, more than"
            f" {settings.pixels_max} (max_pixels)",
        )
    if not format.holds(max(plan.size.width, plan.size.height)):
        raise BadRequest(
            "size",
            f"{quoted(request.path)} would have {plan.size} pixels: {format} takes at most"
            f" {format.side_max} a side",
        )
    return plan


def _orient(facts: SourceFacts, settings: RenderSettings) -> int:
    return facts.orientation if settings.auto_orient else 1


def _filter(facts: SourceFacts, before: Size, after: Size) -> Filter:
    # A coalesced animation has alpha, whatever its frames say.
    soft = facts.indexed or facts.alpha or facts.frames > 1 or after.pixels > before.pixels
    return Filter.MITCHELL if soft else Filter.LANCZOS


def _shrink(facts: SourceFacts, picture: Size, outputs: tuple[OutputPlan, ...]) -> int:
    """How far the source may be shrunk as it is read: the resampler keeps at least a factor of 2,
    below which the picture visibly suffers.

    At 1/2 a JPEG decoder loses less than at 1/4, so that a factor of 1.5 is as good there (52 dB
    and more of 4000x3000 photographs, in 60 % of the time; `benchmarks/codec_settings.py`).
    Decoders of JPEG and WebP take any size; others read all, and whole blocks are averaged, of
    opaque pixels.
    """
    if not outputs or facts.alpha or facts.frames > 1:
        return 1
    width = max(output.scale.width for output in outputs)
    height = max(output.scale.height for output in outputs)
    for shrink in (8, 4, 2):
        keeps = 1.5 if shrink == 2 and facts.format == JPEG else 2.0
        enough = (
            picture.width >= keeps * shrink * width and picture.height >= keeps * shrink * height
        )
        if enough and (
            facts.format in (JPEG, WEBP)
            or (picture.width % shrink, picture.height % shrink) == (0, 0)
        ):
            return shrink
    return 1
