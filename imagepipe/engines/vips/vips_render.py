"""A plan and an image -> files, by libvips; only a worker process imports this.

The picture is read once, at 1/shrink, made 8-bit sRGB and, if it is small or more than one output
wants it, kept in memory; otherwise it streams through.

    for each output, and each frame of it:  cut -> scale -> orient -> crop -> white below -> canvas
                                            -> encode

The largest output is made first: smaller ones start from it where it has at least twice their size.
They come out no worse (a photograph of 12 megapixels at 250 pixels: 55 dB instead of 53 against the
whole), and 2000, 1000, 500, 250 and 50 pixels take 150 ms instead of 215.

Orienting comes after scaling, where there is less to turn; only a cut, which is in oriented
coordinates, wants it before.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyvips

from imagepipe.core.rendering.formats import GIF, JPEG, WEBP
from imagepipe.core.rendering.geometry import Size
from imagepipe.core.rendering.icc import profile_of
from imagepipe.core.rendering.plan import Canvas, Filter, OutputPlan, RenderPlan
from imagepipe.engines.files import jpeg_stream
from imagepipe.engines.srgb import SRGB_PROFILE
from imagepipe.engines.vips import gif_compose, plain_jpeg
from imagepipe.engines.vips.vips_encode import encode
from imagepipe.engines.vips.vips_header import is_composed, jpeg_complaint, load
from imagepipe.runtime.profiling import is_profiled, measured

_KERNELS = {Filter.LANCZOS: "lanczos3", Filter.MITCHELL: "mitchell"}

_ORIENT: dict[int, Callable[[pyvips.Image], pyvips.Image]] = {
    1: lambda picture: picture,
    2: lambda picture: picture.fliphor(),
    3: lambda picture: picture.rot180(),
    4: lambda picture: picture.flipver(),
    5: lambda picture: picture.rot90().fliphor(),
    6: lambda picture: picture.rot90(),
    7: lambda picture: picture.rot270().fliphor(),
    8: lambda picture: picture.rot270(),
}

_SMALL_PIXELS = 4_000_000
"""At most 16 MB, and a tenth sooner done than if it streams through."""

# Catmull-Rom of a picture smoothed with this is Mitchell's filter, within rounding; libvips
# enlarges by Catmull-Rom only.
_SMOOTH = [1, 16, 1]


def render(image: Any, plan: RenderPlan, folder: Path) -> None:
    """Write output n to `folder`/n. Raises pyvips.Error, or OSError where a file cannot be
    written.
    """
    streams = not _is_kept(plan)
    with measured("decode"):
        plain = None if streams else plain_jpeg.decode(image, plan)
    if plain:
        _write([plain], plan, folder)
    elif plan.source == JPEG:
        _render_jpeg(jpeg_stream.completed(image), plan, folder, streams=streams)
    else:
        _write(_decode(image, plan, streams=streams), plan, folder)


def _render_jpeg(
    stream: jpeg_stream.Stream, plan: RenderPlan, folder: Path, *, streams: bool
) -> None:
    """In memory if libjpeg warns of anything: its warning can be read only just after decoding."""
    if streams:
        with contextlib.suppress(pyvips.Error):
            _write(_decode(stream.data, plan, streams=True, fail_on="warning"), plan, folder)
            return
    jpeg_complaint()  # forgets what came before
    frames = _decode(stream.data, plan, streams=False)
    if jpeg_stream.lacks_pixels(jpeg_complaint(), stream):
        raise pyvips.Error("pixels are missing")
    _write(frames, plan, folder)


def _write(frames: list[pyvips.Image], plan: RenderPlan, folder: Path) -> None:
    scaled: list[pyvips.Image] = []
    for n, output in sorted(
        enumerate(plan.outputs), key=lambda each: each[1].scale.pixels, reverse=True
    ):
        with measured("resize"):
            pages = [
                _picture(frame, output, plan, scaled)
                for frame in (frames if output.animated else frames[:1])
            ]
            if is_profiled():
                pages = [page.copy_memory() for page in pages]
        with measured("encode"):
            (folder / str(n)).write_bytes(encode(pages, frames[0], output, plan))


def _decode(
    image: Any, plan: RenderPlan, *, streams: bool, fail_on: str = "error"
) -> list[pyvips.Image]:
    """The source's frames, in 8-bit sRGB or grey."""
    with measured("decode"):
        return _frames(image, plan, streams=streams, fail_on=fail_on)


def _frames(image: Any, plan: RenderPlan, *, streams: bool, fail_on: str) -> list[pyvips.Image]:
    options: dict[str, Any] = {"access": "sequential", "fail_on": fail_on}
    if plan.source == JPEG:
        options["shrink"] = plan.shrink
    elif plan.source == WEBP:
        options["scale"] = 1 / plan.shrink
    if plan.frames > 1:
        options["n"] = plan.frames
    picture = load(image, plan.source, **options)
    if plan.source == GIF and is_composed(image, picture):
        picture = _composed(image, picture, plan)
    if plan.shrink > 1 and plan.source not in (JPEG, WEBP):
        # As it is read: of a 12-megapixel PNG 2 MiB are kept instead of 36, and each further output
        # takes 2 ms instead of 10 to 30.
        picture = picture.shrink(plan.shrink, plan.shrink)
    picture = _to_srgb(picture, plan)
    if not streams or is_profiled():
        picture = picture.copy_memory()
    height = picture.height // plan.frames
    return [
        picture.crop(0, n * height, picture.width, height) if plan.frames > 1 else picture
        for n in range(plan.frames)
    ]


def _composed(gif: Any, header: pyvips.Image, plan: RenderPlan) -> pyvips.Image:
    picture = gif_compose.compose(gif, plan.frames)
    picture.set_type(
        pyvips.GValue.gint_type, "loop", header.get("loop") if "loop" in header.get_fields() else 0
    )
    return picture if plan.alpha else picture[:3]


def _is_kept(plan: RenderPlan) -> bool:
    """Whether the whole picture is kept in memory: it is small, or looked at more than once."""
    if (
        len(plan.outputs) > 1
        or plan.frames > 1
        or plan.picture.pixels <= _SMALL_PIXELS * plan.shrink**2
    ):
        return True
    output = plan.outputs[0]
    return (
        output.cut is not None
        or output.scale.width > plan.picture.width
        or output.scale.height > plan.picture.height
    )


def _to_srgb(picture: pyvips.Image, plan: RenderPlan) -> pyvips.Image:
    if plan.colourimetry:
        picture = picture.colourspace("rgb16" if picture.format == "ushort" else "srgb").copy()
        picture.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile_of(plan.colourimetry))
    elif not plan.profile and picture.get_typeof("icc-profile-data"):
        picture = picture.copy()
        picture.remove("icc-profile-data")
    if plan.profile or plan.colourimetry:
        try:
            return picture.icc_transform(
                SRGB_PROFILE,
                embedded=True,
                intent="perceptual",
                black_point_compensation=True,
                depth=8,
            )
        except pyvips.Error:
            # A profile that is broken, or of another colour space than its picture: ignored, as
            # ImageMagick does.
            picture = picture.copy()
            picture.remove("icc-profile-data")
    if picture.interpretation == "cmyk":
        return _naive_rgb(picture)
    return picture.colourspace("b-w" if picture.bands < 3 else "srgb")


def _naive_rgb(cmyk: pyvips.Image) -> pyvips.Image:
    """(1 - C)(1 - K) and so on: what ImageMagick makes of CMYK without a profile. libvips would
    assume a press.
    """
    if cmyk.format == "ushort":
        cmyk = (cmyk >> 8).cast("uchar")
    light = cmyk[0:4].invert()
    rgb = (light[0:3] * light[3] / 255).rint().cast("uchar").copy(interpretation="srgb")
    return rgb.bandjoin(cmyk[4]) if cmyk.bands > 4 else rgb


def _picture(
    frame: pyvips.Image, output: OutputPlan, plan: RenderPlan, scaled: list[pyvips.Image]
) -> pyvips.Image:
    """One frame of one output, ready to be encoded. `scaled`: what larger outputs left to start
    from; it is added to.
    """
    turned = plan.orient >= 5
    if output.cut:
        cut = output.cut
        picture = _ORIENT[plan.orient](frame).crop(cut.left, cut.top, cut.width, cut.height)
        picture = _scale(picture, output.scale, output.filter)
    else:
        size = output.scale.turned if turned else output.scale
        picture = _scale(_nearest(frame, size, output, scaled), size, output.filter)
        if output.filter is Filter.LANCZOS and any(
            _serves(output.scale, other.scale) for other in plan.outputs
        ):
            picture = picture.copy_memory()
            scaled.append(picture)
        if plan.orient != 1:
            picture = _ORIENT[plan.orient](picture.copy_memory())
    if output.crop:
        crop = output.crop
        picture = picture.crop(crop.left, crop.top, crop.width, crop.height)
    if output.flatten and picture.hasalpha():
        picture = picture.flatten(background=255)
    return _on_canvas(picture, output.canvas, white=output.flatten) if output.canvas else picture


def _nearest(
    frame: pyvips.Image, size: Size, output: OutputPlan, scaled: list[pyvips.Image]
) -> pyvips.Image:
    """The smallest picture that serves `size`. Mitchell's filter is not for a second turn: it
    smooths.
    """
    serve = [
        picture
        for picture in scaled
        if output.filter is Filter.LANCZOS and _serves(Size(picture.width, picture.height), size)
    ]
    return min(serve, key=lambda picture: picture.width, default=frame)


def _serves(larger: Size, smaller: Size) -> bool:
    """Whether the resampler keeps the factor of 2 that it needs."""
    return larger.width >= 2 * smaller.width and larger.height >= 2 * smaller.height


def _scale(picture: pyvips.Image, size: Size, filter: Filter) -> pyvips.Image:
    """`picture` at exactly `size`; transparent pixels lend no colour to their neighbours."""
    if (picture.width, picture.height) == (size.width, size.height):
        return picture
    if not picture.hasalpha():
        return _resample(picture, size, filter)
    return _resample(picture.premultiply(), size, filter).unpremultiply().rint().cast("uchar")


def _resample(picture: pyvips.Image, size: Size, filter: Filter) -> pyvips.Image:
    across, down = size.width / picture.width, size.height / picture.height
    if across < 1 or down < 1:
        # gap: with 3 instead of the default 2, averaging before the filter costs no accuracy that
        # could be seen (over 47 dB), and no time.
        picture = picture.resize(
            min(across, 1.0), vscale=min(down, 1.0), kernel=_KERNELS[filter], gap=3.0
        )
    return _enlarge(picture, size, filter) if across > 1 or down > 1 else picture


def _enlarge(picture: pyvips.Image, size: Size, filter: Filter) -> pyvips.Image:
    """Not by `resize`: it lies half a pixel off (libvips 8.18), 20 dB from what the same filter
    gives in place.
    """
    across, down = size.width / picture.width, size.height / picture.height
    format = picture.format
    if filter is Filter.MITCHELL:
        picture = picture.cast("float")
        for factor, column in ((across, [_SMOOTH]), (down, [[weight] for weight in _SMOOTH])):
            if factor > 1:
                picture = picture.conv(
                    pyvips.Image.new_from_array(column, scale=sum(_SMOOTH)), precision="float"
                )
    enlarged = picture.affine(
        [across, 0, 0, down],
        interpolate=pyvips.Interpolate.new("bicubic"),
        oarea=[0, 0, size.width, size.height],
        idx=0.5,
        idy=0.5,
        odx=-0.5,
        ody=-0.5,
        extend="copy",
    )
    return enlarged if format == "float" else enlarged.rint().cast(format)


def _on_canvas(picture: pyvips.Image, canvas: Canvas, *, white: bool) -> pyvips.Image:
    if not white and not picture.hasalpha():
        picture = picture.addalpha()
    background = [255.0 if white else 0.0] * picture.bands
    return picture.embed(
        canvas.left,
        canvas.top,
        canvas.size.width,
        canvas.size.height,
        extend="background",
        background=background,
    )
