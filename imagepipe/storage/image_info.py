"""What goes into the store, and what it says about what it holds."""

from dataclasses import dataclass
from pathlib import Path

from imagepipe.core.rows.entries import ImageFacts, Row
from imagepipe.core.rows.stamp import Version, milliseconds

__all__ = ["Commit", "ImageFacts", "ImageInfo", "StagedImage", "info_of"]


@dataclass(frozen=True, slots=True)
class StagedImage:
    """An image to be stored at `path` (clean); its bytes are in `file`, in a staging folder of the
    store, which takes it over.
    """

    path: str
    file: Path
    facts: ImageFacts


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """A stored image. `digest`: SHA-256 in hex. `modified_ms`: when it was written, in milliseconds
    since 1970.
    """

    path: str
    size: int
    digest: str
    width: int
    height: int
    format: str
    modified_ms: int


def info_of(row: Row) -> ImageInfo:
    """What the row of an image with facts says."""
    entry, content, facts = row.entry, row.entry.content, row.facts
    assert content is not None
    assert facts is not None
    return ImageInfo(
        entry.path,
        content.size,
        content.digest,
        facts.width,
        facts.height,
        facts.format,
        milliseconds(entry.version.stamp),
    )


@dataclass(frozen=True, slots=True)
class Commit:
    """A change that is durable and visible: its rows have `version`, and `seq` is this node's
    newest number as of it.

    Rows over a forged stamp have greater versions of their own (core/rows/versions.py). `version`
    is None where there was nothing to change (a move onto itself). `stored`: what a put has stored,
    whatever came over it since.
    """

    version: Version | None
    seq: int
    stored: tuple[ImageInfo, ...] = ()
