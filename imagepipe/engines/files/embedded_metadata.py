r"""What an engine does not say of a file's metadata: the EXIF orientation in PNG and WebP, and
whether an ICC profile is for such colours.

    PNG    chunks  length(4, big) type(4) data crc(4)       the EXIF block is in "eXIf"
    WebP   chunks  type(4) length(4, little) data, padded   in "EXIF"

The EXIF block is a TIFF file: "II*\0" or "MM\0*", the offset of the first directory, its entries of
12 bytes; tag 274 is the orientation.
"""

import struct
from collections.abc import Iterator

from imagepipe.core.rendering import icc
from imagepipe.core.rendering.formats import PNG, WEBP, Format
from imagepipe.core.rendering.plan import Colours
from imagepipe.engines.files import tiff_header
from imagepipe.engines.files.slices import find

_SPACES = {Colours.RGB: b"RGB ", Colours.GREY: b"GRAY", Colours.CMYK: b"CMYK"}


def orientation(image: bytes, format: Format) -> int:
    """The orientation, 1 to 8; 1 where there is none, or none that makes sense.

    A PNG may have its block behind the pixels, where libvips does not look and ImageMagick writes
    it.
    """
    name_of_block = {PNG: b"eXIf", WEBP: b"EXIF"}[format]
    if find(image, name_of_block) < 0:
        return 1  # as most have none: the chunks need not be walked through
    try:
        for name, data in _chunks(memoryview(image), format):
            if name == name_of_block:
                return _in_block(bytes(data))
    except struct.error:
        pass  # cut short
    return 1


def profile_fits(profile: bytes, colours: Colours) -> bool:
    """Whether an ICC profile, of which the header is enough, is for pixels of these colours.

    An RGB profile of a CMYK picture makes noise of it, a grey one of an RGB picture makes it grey.
    """
    space = icc.colour_space(profile)
    return space == _SPACES[colours] if colours in _SPACES else space not in (b"", b"CMYK", b"GRAY")


def _chunks(image: memoryview, format: Format) -> Iterator[tuple[bytes, memoryview]]:
    """Name and first bytes of each chunk."""
    at = {PNG: 8, WEBP: 12}.get(format, len(image))
    while at + 8 <= len(image):
        if format == PNG:
            length, name = struct.unpack_from(">I4s", image, at)
            step = 12 + length
        else:
            name, length = struct.unpack_from("<4sI", image, at)
            step = 8 + length + length % 2
        yield name, image[at + 8 : at + 8 + min(length, 1 << 16)]
        at += step


def _in_block(block: bytes) -> int:
    value = tiff_header.read(block.removeprefix(b"Exif\0\0")).values.get(tiff_header.ORIENTATION, 1)
    return value if 1 <= value <= 8 else 1
