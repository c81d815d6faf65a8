"""What one output of a rendering should be, before the source is known."""

import enum
from dataclasses import dataclass

from imagepipe.core.rendering.formats import Format
from imagepipe.core.rendering.geometry import Size


class Method(enum.Enum):
    """How an image is brought to a box; docs/design/contract.md, "What the outputs look like"."""

    RESIZE = "resize"
    COMPOSITE = "composite"
    CROP = "crop"


@dataclass(frozen=True, slots=True)
class OutputRequest:
    """One image to render: where it goes and what it should be.

    `box` None: the source's own size. `format` None: the source's format. `quality` None: the one
    of `[images]`.
    """

    path: str
    box: Size | None
    format: Format | None
    method: Method = Method.RESIZE
    quality: int | None = None
