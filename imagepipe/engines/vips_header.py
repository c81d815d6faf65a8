"""What libvips reads in a header -> SourceFacts; only a worker process imports this.

libvips opens lazily: no pixel is decoded here. The loader is the one of the format that the bytes were recognised as, never a guess of libvips.
"""

from typing import Any

import pyvips

from imagepipe.core.formats import AVIF, GIF, JPEG, PNG, SNIFF_BYTES, TIFF, WEBP, Format, gif_canvas
from imagepipe.core.geometry import Size
from imagepipe.core.plan import Colours, SourceFacts

_LOADERS = {
    JPEG.name: "jpegload_source",
    PNG.name: "pngload_source",
    GIF.name: "gifload_source",
    WEBP.name: "webpload_source",
    AVIF.name: "heifload_source",
    TIFF.name: "tiffload_source",
}

_COLOURS = {
    "srgb": Colours.RGB,
    "rgb": Colours.RGB,
    "rgb16": Colours.RGB,
    "b-w": Colours.GREY,
    "grey16": Colours.GREY,
    "cmyk": Colours.CMYK,
}


def allow_only_our_loaders() -> None:
    """Block every loader of libvips but those above."""
    pyvips.operation_block_set("VipsForeignLoad", True)
    for loader in ("Jpeg", "Png", "Nsgif", "Webp", "Heif", "Tiff"):
        pyvips.operation_block_set(f"VipsForeignLoad{loader}", False)


def load(image: Any, format: Format, **options: Any) -> pyvips.Image:
    """`image`, a buffer, as a lazy picture. Raises pyvips.Error, then or when its pixels are asked for.

    A truncated file is an error; what a decoder only warns of is not: phones write JPEGs with "extraneous bytes before marker".
    """
    source = pyvips.Source.new_from_memory(image)
    return pyvips.Operation.call(_LOADERS[format.name], source, fail_on="error", **options)


def read_facts(image: Any, format: Format) -> SourceFacts:
    """The facts of `image`, a buffer. Raises pyvips.Error."""
    picture = load(image, format)
    alpha = bool(picture.hasalpha())
    colours = _COLOURS.get(picture.interpretation, Colours.OTHER)
    if picture.format not in ("uchar", "ushort") or picture.bands - alpha != {Colours.GREY: 1, Colours.CMYK: 4}.get(colours, 3):
        raise pyvips.Error(f"{picture.bands} channels of {picture.format} are not supported in {format}")
    orientation = _number(picture, "orientation", 1)
    size = Size(picture.width, picture.height)
    if format == GIF:
        # libvips lays the frames on the rectangle that they cover, where it mistrusts the canvas (640x480, or a side over 2048); see `on_canvas`.
        width, height = gif_canvas(bytes(image[:SNIFF_BYTES]))
        canvas = Size(width or size.width, height or size.height)
        alpha = alpha or canvas.width > size.width or canvas.height > size.height
        size = canvas
    return SourceFacts(
        format=format,
        size=size,
        orientation=orientation if 1 <= orientation <= 8 else 1,
        frames=_number(picture, "n-pages", 1) if format.animates else 1,
        alpha=alpha,
        indexed=_indexed(picture, format, colours),
        colours=colours,
        profile="icc-profile-data" in picture.get_fields(),
    )


def on_canvas(frame: pyvips.Image, canvas: Size) -> pyvips.Image:
    """A GIF's frame as it lies on its canvas: what is not covered is transparent, what stands out is not seen."""
    if (frame.width, frame.height) == (canvas.width, canvas.height):
        return frame
    if frame.width < canvas.width or frame.height < canvas.height:
        if not frame.hasalpha():
            frame = frame.addalpha()
        width, height = max(frame.width, canvas.width), max(frame.height, canvas.height)
        frame = frame.embed(0, 0, width, height, extend="background", background=[0.0] * frame.bands)
    return frame.crop(0, 0, canvas.width, canvas.height)


def _indexed(picture: pyvips.Image, format: Format, colours: Colours) -> bool:
    """Whether ImageMagick holds it as a palette (PseudoClass), as `convert -format %r` shows: also grey JPEG and PNG up to 8 bits, but no TIFF that
    libvips could tell us of.
    """
    if format in (JPEG, PNG):
        return _number(picture, "palette", 0) == 1 or (colours is Colours.GREY and picture.bands == 1 and picture.format == "uchar")
    return format == GIF


def _number(picture: pyvips.Image, field: str, default: int) -> int:
    return int(picture.get(field)) if picture.get_typeof(field) else default
