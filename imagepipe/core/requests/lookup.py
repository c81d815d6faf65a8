"""What a GET asks for, and the rows of a few paths -> what it gets.

/a/b.jpg             row of a/b.jpg is live        StoredFile
/a/b.jpg/w500.jpg    row of that path is live      StoredFile
                     a/b.jpg is live               Source, to render from
                     a/b.jpg/original is live      Source, to render from
                     one of these two was deleted  Missing, known here
                     otherwise                     Missing: peers or source_base may have it
"""

from collections.abc import Mapping
from dataclasses import dataclass

from imagepipe.core.requests.targets import Target, original_of
from imagepipe.core.rows.entries import Content, Row
from imagepipe.errors import BadRequest


@dataclass(frozen=True, slots=True)
class StoredFile:
    """The requested path is that of an image."""

    row: Row
    content: Content


@dataclass(frozen=True, slots=True)
class Source:
    """The image that the rendition or the facts are made from."""

    row: Row
    content: Content


@dataclass(frozen=True, slots=True)
class Missing:
    """There is no such image. is_known: it was deleted, or there can be none."""

    is_known: bool


Finding = StoredFile | Source | Missing


def paths_of(target: Target) -> tuple[str, ...]:
    """The paths whose rows `find` needs."""
    return ((target.path,) if target.path else ()) + _source_paths(target)


def find(target: Target, rows: Mapping[str, Row]) -> Finding:
    """What the target is; `rows`: those that exist of `paths_of(target)`."""
    row = rows.get(target.path) if target.path else None
    if row and row.entry.content:
        return StoredFile(row, row.entry.content)
    sources = _source_paths(target)
    for path in sources:
        row = rows.get(path)
        if row and row.entry.content:
            return Source(row, row.entry.content)
    # A deleted image with the name of a rendition says nothing about the image that the rendition
    # would be rendered from.
    paths = sources or paths_of(target)
    return Missing(is_known=not paths or any(path in rows for path in paths))


def _source_paths(target: Target) -> tuple[str, ...]:
    """The paths of the images that a rendition may be rendered from, best first."""
    if target.image is None:
        return ()
    try:
        return target.image, original_of(target.image)
    except BadRequest:  # the path is too long to have an original
        return (target.image,)
