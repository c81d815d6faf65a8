"""The names of renditions, and what they ask for (docs/design/contract.md, "Images over HTTP").

    w500.jpg            at most 500 wide, never enlarged
    x600.jpg            600x600, cropped to cover
    300x400-q50.webp    300x400, cropped to cover, at quality 50
    full_size.auto      not resized; the format is chosen for the client

A rendition is rendered again whenever its `cache_key` is a new one: it names the bytes of the
source and every number of the plan.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha256

from imagepipe.core.rendering import formats, geometry
from imagepipe.core.rendering.formats import AVIF, JPEG, PNG, WEBP, Format
from imagepipe.core.rendering.geometry import Size
from imagepipe.core.rendering.output_request import Method, OutputRequest
from imagepipe.core.rendering.plan import RenderPlan, RenderSettings, SourceFacts, oriented_size
from imagepipe.errors import NotAcceptable, NotFound, quoted

AUTO = "auto"
"""The extension of a rendition whose format is chosen for the client."""

RECIPE = 5
"""Raise it whenever the same plan starts to produce different images, so that cached ones are not
used any more.
"""

_NAME = re.compile(
    (
        r"(?:w(?P<w>N)|x(?P<x>N)|(?P<width>N)x(?P<height>N)|full_size)"
        r"(?:-q(?P<quality>[1-9][0-9]?|100))?\.(?P<extension>[A-Za-z0-9]{1,16})"
    ).replace("N", "[1-9][0-9]*")
)


@dataclass(frozen=True, slots=True)
class Rendition:
    """What a name asks for. `box` None: the source's own size; its height None: any. `quality`
    None: the default one. `extension` may be `AUTO`.
    """

    name: str
    width: int | None
    height: int | None
    quality: int | None
    extension: str

    @property
    def is_auto(self) -> bool:
        """Whether the format is chosen for the client."""
        return self.extension == AUTO


@dataclass(frozen=True, slots=True)
class RenditionLimits:
    """The part of `[http]` that says which renditions there are. `outputs`: if not empty, no
    others. `side_max`: pixels a side of any output.
    """

    extensions: tuple[str, ...]
    width_max: int
    quality_default: int
    outputs: tuple[str, ...] = ()
    side_max: int = 8192


def parse(name: str) -> Rendition | None:
    """The rendition of this name; None if it is no rendition's name."""
    found = _NAME.fullmatch(name)
    if not found:
        return None
    square = _number(found["x"])
    return Rendition(
        name=name,
        width=_number(found["w"]) or square or _number(found["width"]),
        height=square or _number(found["height"]),
        quality=_number(found["quality"]),
        extension=found["extension"],
    )


def check(rendition: Rendition, limits: RenditionLimits) -> None:
    """Raise NotFound if it is not one of `outputs`; NotAcceptable if it is larger than
    `maximum_width` or not in `extensions`.
    """
    if limits.outputs and rendition.name not in limits.outputs:
        raise NotFound(
            "rendition",
            f"{quoted(rendition.name)} is not one of those that this server renders (outputs)",
        )
    if not rendition.is_auto and (
        rendition.extension not in limits.extensions
        or formats.by_extension(rendition.extension) is None
    ):
        raise NotAcceptable(
            "rendition",
            f"the extension {quoted(rendition.extension)} is not one of"
            f" {', '.join(limits.extensions)}",
        )
    side_max = min(limits.width_max, limits.side_max)
    for side in (rendition.width, rendition.height):
        if side is not None and side > side_max:
            raise NotAcceptable(
                "rendition", f"{side} pixels are more than {side_max} (maximum_width)"
            )


def output_request(
    rendition: Rendition,
    accepted: tuple[Format, ...],
    facts: SourceFacts,
    limits: RenditionLimits,
    settings: RenderSettings,
) -> OutputRequest:
    """What to render of a source with `facts`, for a client that names the formats `accepted`.

    `check` has passed. Where a name gives no height, it follows the picture, however tall that is.
    """
    quality = rendition.quality or limits.quality_default
    picture = oriented_size(facts, settings)
    if rendition.width is None:
        box, size, method = None, picture, Method.RESIZE
    elif rendition.height is None:
        box, method = Size(rendition.width, picture.height), Method.RESIZE
        size = geometry.fit(picture, box)
    else:
        box = size = Size(rendition.width, rendition.height)
        method = Method.CROP
    format = (
        choose(accepted, facts, limits.extensions, size)
        if rendition.is_auto
        else formats.by_extension(rendition.extension)
    )
    return OutputRequest(rendition.name, box, format, method, quality=quality)


def choose(
    accepted: tuple[Format, ...], facts: SourceFacts, extensions: Iterable[str], size: Size
) -> Format:
    """The format of an `.auto` rendition: one that the client names, the one it likes best first,
    else PNG for alpha, else JPEG.

    An animation prefers a format that keeps it one. Only
    formats
    of `extensions` that can hold `size` are chosen; raises NotAcceptable if none of them will do.
    """
    possible = {formats.by_extension(extension) for extension in extensions}
    liked = [format for format in accepted if format in possible]
    if facts.frames > 1 and facts.format.animates:
        liked.sort(key=lambda format: not format.animates)
    fallback = [PNG, JPEG] if facts.alpha else [JPEG, PNG]
    for format in liked + fallback:
        if format in possible and format.holds(max(size.width, size.height)):
            return format
    raise NotAcceptable(
        "rendition", f"none of the server's extensions is a format that can hold {size} pixels"
    )


def accepted_formats(accept: str) -> tuple[Format, ...]:
    """Of AVIF and WebP those that an `Accept` header names, the one with the greater q first; a
    wildcard names none (RFC 9110, 12.5.1).
    """
    found: list[tuple[float, int, Format]] = []
    for part in accept.split(","):
        media_type, *parameters = (word.strip().lower() for word in part.split(";"))
        for order, format in enumerate((AVIF, WEBP)):
            if media_type == format.media_type:
                found.append((-_q(parameters), order, format))
    return tuple(
        dict.fromkeys(format for q, _, format in sorted(found, key=lambda one: one[:2]) if q < 0)
    )


def cache_key(digest: str, plan: RenderPlan, engine: str) -> str:
    """The name, 64 hex digits, of what `plan`, with one output, makes of the source with this
    digest.
    """
    nameless = replace(plan, outputs=tuple(replace(output, path="") for output in plan.outputs))
    return sha256(f"{RECIPE} {engine} {digest} {nameless!r}".encode()).hexdigest()


def _number(text: str | None) -> int | None:
    return int(text) if text else None


def _q(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            # A q that is none is taken for the least harmful one: the client did name the type.
            return (
                min(float(value), 1.0)
                if re.fullmatch(r"\s*[0-9](?:\.[0-9]{0,3})?\s*", value)
                else 1.0
            )
    return 1.0
