"""What the tree is asked to change, what it finds, and what it has prepared."""

import os
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Replacement:
    """`path` shows the bytes `before` and is to show `after`: digests, or None for nothing."""

    path: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Occupant:
    """What occupies the place of a path, or blocks the way to it; status None: nothing. is_file:
    a regular file at exactly that place.
    """

    place: bytes
    status: os.stat_result | None = field(compare=False)
    is_file: bool
    # for comparing two occupants: not the whole status, which has the time of the last read
    mark: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class StagedLink:
    """A link that waits to be renamed to its final name, where `seen` was found. `deferred`: a file
    that this call removes still blocks its folder.
    """

    temporary: bytes
    seen: os.stat_result | None
    deferred: bool


@dataclass(slots=True)
class PreparedChanges:
    """What `prepare` did for the replacements of one call."""

    replacements: tuple[Replacement, ...]
    links: dict[str, StagedLink] = field(default_factory=dict)
    folders: list[bytes] = field(default_factory=list)
