"""An image as ImageMagick 6 reads it right, and what it does not say of it.

JPEG              an end marker where that alone is missing
animated WebP     frames that replace what is below come twice; its profile as for BMP
GIF, WebP         delays to the millisecond, and whether some frame has holes
"""

from dataclasses import dataclass

from imagepipe.core.rendering.formats import BMP, GIF, ICO, JPEG, PNG, WEBP, Format
from imagepipe.engines.files import (
    bmp,
    bmp_colours,
    gif_frames,
    icon,
    jpeg_stream,
    png_stream,
    webp_frames,
)


@dataclass(frozen=True, slots=True)
class MagickSource:
    """`data` for `convert`, of whose frames `inserted` are to be dropped once they are coalesced.

    `delays_ms`: of each frame of an animation, in order. `alpha`, `profile`: where ImageMagick
    would miss them, else None and empty.
    """

    data: bytes
    inserted: tuple[int, ...] = ()
    delays_ms: tuple[int, ...] = ()
    alpha: bool | None = None
    profile: bytes = b""


def prepare(image: bytes, format: Format) -> MagickSource:
    """`image` for ImageMagick; `data` is `image` itself where nothing is to be changed."""
    if format == JPEG:
        return MagickSource(jpeg_stream.completed(image).data)
    if format == PNG:
        return MagickSource(png_stream.completed(image))
    if format == BMP:
        return MagickSource(bmp.correct_headers(image), profile=bmp_colours.profile(image))
    if format == ICO:
        return MagickSource(icon.best_alone(image))
    if format == GIF:
        parts = list(gif_frames.frames(image))
        delays = tuple(10 * part.delay for part in parts)
        return MagickSource(
            gif_frames.with_plain_disposal(image, parts),
            delays_ms=delays,
            alpha=gif_frames.has_holes(image, parts),
        )
    if format == WEBP and (pages := webp_frames.frames(image)):
        blended = webp_frames.blended(image, pages)
        return MagickSource(
            data=blended.data,
            inserted=blended.inserted,
            delays_ms=tuple(page.delay_ms for page in pages),
            alpha=webp_frames.has_holes(image, pages),
            profile=webp_frames.profile(image),
        )
    return MagickSource(image)
