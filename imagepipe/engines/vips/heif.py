"""HEIC and HEIF by libheif, which comes in a wheel of its own; only a worker process imports this,
and only once it needs it.

libheif applies the file's own rotation, mirroring and cropping, puts tiles together and joins the
auxiliary image that is the alpha; so the EXIF orientation, which
repeats the rotation, is not for us. Of several images it is the primary one that counts. Of an
AVIF, which libvips decodes, it tells what libvips keeps to itself.
"""

from typing import Any

import pillow_heif
import pyvips
from pillow_heif import HeifImage, options

from imagepipe.core.rendering import colourimetry
from imagepipe.core.rendering.colourimetry import Colourimetry
from imagepipe.core.rendering.formats import HEIC
from imagepipe.core.rendering.geometry import Size
from imagepipe.core.rendering.plan import Colours, SourceFacts
from imagepipe.engines.files import embedded_metadata

options.DECODE_THREADS = 1  # `io_threads` images are rendered at a time, each on one core
options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False

_REFUSALS = (ValueError, EOFError, SyntaxError, RuntimeError, OSError)
_ALPHA, _PREMULTIPLIED = "A", "a"


def read_facts(image: Any) -> SourceFacts:
    """The facts of `image`, a buffer; no pixel is decoded. Raises pyvips.Error."""
    picture = _opened(image)
    channels = _channels(picture)
    colours = Colours.GREY if channels[0] == "L" else Colours.RGB
    width, height = picture.size
    if min(width, height) < 1:
        raise pyvips.Error("it has no pixels")
    profile = embedded_metadata.profile_fits(_info(picture).get("icc_profile", b""), colours)
    return SourceFacts(
        format=HEIC,
        size=Size(width, height),
        alpha=channels[-1] in (_ALPHA, _PREMULTIPLIED),
        colours=colours,
        profile=profile,
        colourimetry=None if profile else _of(picture),
    )


def colourimetry_of(avif: Any) -> Colourimetry | None:
    """What the "nclx" box of an AVIF says, if it has one and no profile."""
    try:
        return _of(_opened(avif))
    except pyvips.Error:
        return None


def is_premultiplied(avif: Any) -> bool:
    """Whether the colours of an AVIF were multiplied by its alpha."""
    try:
        return _channels(_opened(avif))[-1] == _PREMULTIPLIED
    except pyvips.Error:
        return False


def load(image: Any) -> pyvips.Image:
    """The primary image, decoded. Raises pyvips.Error."""
    primary = _opened(image)
    said = primary.size
    try:
        data = primary.data
    except _REFUSALS as error:
        raise pyvips.Error(str(error)) from error
    if primary.size != said:
        raise pyvips.Error(f"it has {primary.size} pixels, but its header says {said}")
    channels = _channels(primary)
    deep = ";" in primary.mode
    kind = "ushort" if deep else "uchar"
    grey = channels[0] == "L"
    space = ("grey16" if deep else "b-w") if grey else ("rgb16" if deep else "srgb")
    picture = pyvips.Image.new_from_memory(data, *primary.size, len(channels), kind)
    picture = picture.copy(interpretation=space)
    if channels[-1] == _PREMULTIPLIED:
        picture = picture.unpremultiply().rint().cast(kind)
    return _with_metadata(picture, primary)


def _opened(image: Any) -> HeifImage:
    """The primary image, not yet decoded."""
    try:
        file = pillow_heif.open_heif(bytes(image), convert_hdr_to_8bit=False)
        return next(one for one in file if one.info["primary"])
    except StopIteration:
        raise pyvips.Error("it has no primary image") from None
    except _REFUSALS as error:
        raise pyvips.Error(str(error)) from error


def _channels(image: HeifImage) -> str:
    """L, LA, RGB, RGBA, or with a small a where the colours are multiplied by the alpha."""
    return str(image.mode).partition(";")[0]


def _info(image: HeifImage) -> dict[str, Any]:
    """What libheif says of it; pillow_heif types it too loosely."""
    return dict(image.info)


def _of(image: HeifImage) -> Colourimetry | None:
    nclx = _info(image).get("nclx_profile")
    return (
        colourimetry.by_codes(nclx["color_primaries"], nclx["transfer_characteristics"])
        if nclx
        else None
    )


def _with_metadata(picture: pyvips.Image, image: HeifImage) -> pyvips.Image:
    info = _info(image)
    pillow_heif.set_orientation(info)
    picture = picture.copy()
    for field, name in (
        ("icc-profile-data", "icc_profile"),
        ("exif-data", "exif"),
        ("xmp-data", "xmp"),
    ):
        if info.get(name):
            picture.set_type(pyvips.GValue.blob_type, field, bytes(info[name]))
    return picture
