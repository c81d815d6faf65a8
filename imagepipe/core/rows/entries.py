"""Catalogue rows, what a call does to them, and how two of them join.

The state of a node is a map path -> newest row (docs/design/replication.md, "The idea"). A delete
is a row too, so that it can be told from "never heard of".

Per path the greater of two rows wins, put or delete alike. That rule does not care for order or
repetition, so nodes that have heard of the same rows hold the same map, whatever way the rows came.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from imagepipe.core.rows.stamp import Version
from imagepipe.errors import BadRequest, quoted


@dataclass(frozen=True, slots=True)
class Content:
    """What a live path holds: the SHA-256 of the bytes, in hex, and their number."""

    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Entry:
    """The newest row of a path. `content` None: deleted. `seq`: this node's number of the change.
    `replaced`: the version it was written over.
    """

    path: str
    version: Version
    replaced: Version | None
    content: Content | None
    seq: int


@dataclass(frozen=True, slots=True)
class PathChange:
    """What a call does to one path: gives it `content`, or deletes it (None)."""

    path: str
    content: Content | None


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What an image's header says: the format's name, and the pixels."""

    format: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Row:
    """An entry as one node tells it to another: its `seq` is the teller's. `facts` are those of its
    content, where the teller has them.
    """

    entry: Entry
    facts: ImageFacts | None


@dataclass(frozen=True, slots=True)
class RowPage:
    """Rows as a node has numbered them, in order, and its newest number at the very moment when
    they were read.
    """

    rows: tuple[Row, ...]
    end: int


def wins(one: Entry, other: Entry | None) -> bool:
    """Whether `one` wins over `other`, or there is no other. Of two that are equal neither does.

    All that a row says settles what only a cloned or restored node can bring about: two rows of one
    version. Or it would depend on their order which of them a node has.
    """
    return other is None or _rank(one) > _rank(other)


def was_unseen(loser: Entry, winner: Entry) -> bool:
    """Whether the image in `loser` was stored by someone whom the writer of `winner` had not heard:
    what is lost then is lost in a conflict.

    A node knows its own writes. Of other nodes it says no more than what it wrote over, so what it
    heard and skipped counts as unseen too: rather an image too many is kept than one too few.
    """
    if loser.content is None or loser.content == winner.content:
        return False
    return winner.replaced != loser.version and winner.version.origin != loser.version.origin


def _rank(entry: Entry) -> tuple[Version, str, int, Version, str]:
    content = entry.content
    # The path is for rows of two paths, of which the tree can show only one.
    return (
        entry.version,
        content.digest if content else "",
        content.size if content else 0,
        entry.replaced or _NEVER,
        entry.path,
    )


_NEVER = Version(-1, "")


def net_moves(
    pairs: Iterable[tuple[str, str]], content_of: Callable[[str], Content | None]
) -> tuple[PathChange, ...]:
    """The net effect of moves that apply in order; `content_of` is the state before them.

    A path that ends with what it itself began with is not among the changes. One that received
    equal bytes from elsewhere is: its version must be newer than all that was written to it before,
    or a delete still on its way from a peer would take the only copy. Raises BadRequest for a
    source that does not exist when its turn comes.
    """
    before: dict[str, Content | None] = {}
    holds: dict[str, str | None] = {}  # path -> the path at which what it holds lay before the call

    def look_up(path: str) -> None:
        if path not in before:
            before[path] = content_of(path)
            holds[path] = path if before[path] else None

    for source, destination in pairs:
        look_up(source)
        look_up(destination)
        held = holds[source]
        if held is None:
            raise BadRequest("src_path", f"there is no image {quoted(source)}")
        holds[source] = None
        holds[destination] = held
    return tuple(
        PathChange(path, before[held] if held else None)
        for path, held in holds.items()
        if held != (path if before[path] else None)
    )
