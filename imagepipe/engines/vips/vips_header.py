"""What libvips reads in a header -> SourceFacts; only a worker process imports this.

libvips opens lazily: no pixel is decoded here. The loader is the one of the format that the bytes
were recognised as, never a guess of libvips.
"""

from types import ModuleType
from typing import Any

import pyvips

from imagepipe.core.rendering.colourimetry import Colourimetry
from imagepipe.core.rendering.formats import AVIF, GIF, HEIC, JPEG, PNG, TIFF, WEBP, Format
from imagepipe.core.rendering.geometry import Size
from imagepipe.core.rendering.plan import Colours, SourceFacts
from imagepipe.engines.files import embedded_metadata, gif_frames, png_colours, tiff_header

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


def load(image: Any, format: Format, fail_on: str = "error", **options: Any) -> pyvips.Image:
    """`image`, a buffer, as a lazy picture. Raises pyvips.Error, then or when its pixels are asked
    for.

    A truncated file is an error; what a decoder only warns of is not: phones write JPEGs with
    "extraneous bytes before marker".
    """
    if format == HEIC:
        return _heif().load(image)
    if format == TIFF and tiff_header.read(image).tile_bytes:
        # libvips only warns of a tile that it cannot read, and draws it in black
        fail_on = "warning"
    source = pyvips.Source.new_from_memory(image)
    picture = pyvips.Operation.call(_LOADERS[format.name], source, fail_on=fail_on, **options)
    if format == AVIF and image.find(b"prem") >= 0 and _heif().is_premultiplied(image):
        return picture.unpremultiply().rint().cast(picture.format)  # libvips does not look at it
    return picture


def jpeg_complaint() -> str:
    """What libjpeg has warned of since the last call: of each decoding only the first warning."""
    lines = pyvips.Error("").detail.splitlines()
    return "; ".join(line for line in lines if line.startswith("VipsJpeg: "))


def read_facts(image: Any, format: Format) -> SourceFacts:
    """The facts of `image`, a buffer. Raises pyvips.Error."""
    if format == HEIC:
        facts: SourceFacts = _heif().read_facts(image)
        return facts
    tiff = tiff_header.read(image) if format == TIFF else None
    if tiff and not tiff.is_for_libvips:
        raise pyvips.Error("a TIFF of this kind needs ImageMagick (engine = auto)")
    picture = load(image, format)
    alpha = bool(picture.hasalpha())
    colours = _COLOURS.get(picture.interpretation, Colours.OTHER)
    if picture.format not in ("uchar", "ushort") or picture.bands - alpha != {
        Colours.GREY: 1,
        Colours.CMYK: 4,
    }.get(colours, 3):
        raise pyvips.Error(
            f"{picture.bands} channels of {picture.format} are not supported in {format}"
        )
    orientation = (
        embedded_metadata.orientation(image, PNG)
        if format == PNG
        else _number(picture, "orientation", 1)
    )
    size = Size(picture.width, picture.height)
    if format == GIF:
        frames = list(gif_frames.frames(image))
        if any(not frame.end for frame in frames):
            raise pyvips.Error("the last frame is truncated")
        if is_composed(image, picture):
            size, alpha = Size(*gif_frames.canvas(image)), gif_frames.has_holes(image, frames)
    profile, colourimetry = _meaning(image, picture, format, colours)
    return SourceFacts(
        format=format,
        size=size,
        orientation=orientation if 1 <= orientation <= 8 else 1,
        frames=_number(picture, "n-pages", 1) if format.animates else 1,
        alpha=alpha,
        indexed=_indexed(picture, format, colours),
        colours=colours,
        profile=profile,
        colourimetry=colourimetry,
        block_bytes=tiff.tile_bytes if tiff else 0,
        full_chroma=format == JPEG
        and picture.get_typeof("jpeg-chroma-subsample") != 0
        and picture.get("jpeg-chroma-subsample") == "4:4:4",
    )


def is_composed(gif: Any, header: pyvips.Image) -> bool:
    """Whether the frames of a GIF, with what libvips read in its header, are for `gif_compose`."""
    return not gif_frames.is_plain(
        gif, (header.width, _number(header, "page-height", header.height))
    )


def _indexed(picture: pyvips.Image, format: Format, colours: Colours) -> bool:
    """Whether ImageMagick holds it as a palette (PseudoClass), as `convert -format %r` shows: also
    grey JPEG and PNG up to 8 bits, but no TIFF that libvips could tell us of.
    """
    if format in (JPEG, PNG):
        return _number(picture, "palette", 0) == 1 or (
            colours is Colours.GREY and picture.bands == 1 and picture.format == "uchar"
        )
    return format == GIF


def _meaning(
    image: Any, picture: pyvips.Image, format: Format, colours: Colours
) -> tuple[bool, Colourimetry | None]:
    """Whether the embedded profile counts, and what counts in its place."""
    if format == PNG:
        said = png_colours.read(image, colours)
        return said.profile, said.colourimetry
    profile = (
        bytes(picture.get("icc-profile-data")) if picture.get_typeof("icc-profile-data") else b""
    )
    if embedded_metadata.profile_fits(profile, colours):
        return True, None
    return False, _heif().colourimetry_of(image) if format == AVIF else None


def _heif() -> ModuleType:
    # it takes 50 ms and 12 MiB, which most workers never need
    from imagepipe.engines.vips import heif  # noqa: PLC0415

    return heif


def _number(picture: pyvips.Image, field: str, default: int) -> int:
    return int(picture.get(field)) if picture.get_typeof(field) else default
