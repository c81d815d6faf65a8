"""Box arithmetic, in ImageMagick's own rounding, so that no engine rounds again.

The rules are those of ImageMagick 6: ParseMetaGeometry in magick/geometry.c for `WxH>` and `WxH^`,
and GravityAdjustGeometry for `-gravity center`; they were checked against `convert` itself, and a
test does so again. Lengths are pixels.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """A width and a height, both at least 1."""

    width: int
    height: int

    @property
    def pixels(self) -> int:
        """The area."""
        return self.width * self.height

    @property
    def turned(self) -> "Size":
        """The size with width and height swapped."""
        return Size(self.height, self.width)

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle inside a picture; `left` and `top` count from its upper left corner."""

    left: int
    top: int
    width: int
    height: int


def fit(source: Size, box: Size) -> Size:
    """The size of `source` inside `box`, never enlarged: what `-resize WxH>` gives."""
    scaled = _scaled(source, min(box.width / source.width, box.height / source.height))
    return Size(min(scaled.width, source.width), min(scaled.height, source.height))


def cover(source: Size, box: Size) -> Size:
    """The size of `source` that just covers `box`, enlarged if need be: what `-resize WxH^`
    gives.
    """
    return _scaled(source, max(box.width / source.width, box.height / source.height))


def centred_crop(picture: Size, box: Size) -> Region:
    """The region of `picture` that `-gravity center -crop WxH+0+0!` keeps; `picture` covers
    `box`.
    """
    # Halved one by one: (8 - 5) / 2 would be 1, ImageMagick says 4 - 2.
    return Region(
        picture.width // 2 - box.width // 2,
        picture.height // 2 - box.height // 2,
        box.width,
        box.height,
    )


def centred_offset(canvas: Size, picture: Size) -> tuple[int, int]:
    """(left, top) at which `-gravity center -composite` puts `picture` on `canvas`; it fits."""
    return canvas.width // 2 - picture.width // 2, canvas.height // 2 - picture.height // 2


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of the source that is scaled in place of the whole: source[region] -> `scaled`, of
    which `crop` is kept.
    """

    region: Region
    scaled: Size
    crop: Region


def cut_before_enlarging(source: Size, covering: Size, crop: Region) -> Cut:
    """The least of `source` that is needed to fill `crop`, a region of `source` enlarged to
    `covering`.

    Around the region lie a few source pixels for the resampling filter. Where the cut lies is
    chosen, within a few pixels, so that its edges fall nearly on whole pixels of the enlarged
    picture: rounding them there would shift the result.
    """
    left, width, scaled_width, crop_left = _cut_side(
        source.width, covering.width, crop.left, crop.width
    )
    top, height, scaled_height, crop_top = _cut_side(
        source.height, covering.height, crop.top, crop.height
    )
    return Cut(
        Region(left, top, width, height),
        Size(scaled_width, scaled_height),
        Region(crop_left, crop_top, crop.width, crop.height),
    )


FILTER_MARGIN = 3
"""Source pixels that a cut keeps on each side: Mitchell's filter has a radius of two."""

_CHOICES = 8


def _scaled(size: Size, factor: float) -> Size:
    return Size(
        max(math.floor(factor * size.width + 0.5), 1),
        max(math.floor(factor * size.height + 0.5), 1),
    )


def _cut_side(source: int, covering: int, kept_from: int, kept: int) -> tuple[int, int, int, int]:
    """One axis of a cut: (start, length, scaled length, start of the kept part in it)."""
    factor = covering / source
    start_max = max(0, math.floor(kept_from / factor) - FILTER_MARGIN)
    end_min = min(source, math.ceil((kept_from + kept) / factor) + FILTER_MARGIN)
    starts = range(max(0, start_max - _CHOICES), start_max + 1)
    ends = range(end_min, min(source, end_min + _CHOICES) + 1)
    start = min(reversed(starts), key=lambda at: abs(at * factor - round(at * factor)))
    end = min(ends, key=lambda at: abs(at * factor - round(at * factor)))
    scaled_start, scaled_end = round(start * factor), round(end * factor)
    return start, end - start, scaled_end - scaled_start, kept_from - scaled_start
