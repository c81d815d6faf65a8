"""What the tree is asked to change, what it finds, and what it has prepared."""

import os
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Replacement:
    """`path` shows the bytes `before` and shall show `after`: digests, or None for nothing."""

    path: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Occupant:
    """What lies at the `place` of a path, or in the way to it; status None: nothing. is_file: it is
    a file in the very place.
    """

    place: bytes
    status: os.stat_result | None = field(compare=False)
    is_file: bool
    # two looks see the same where it is; when it was last read is of no interest
    mark: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class StagedLink:
    """The link that waits to be renamed to its final name, where `seen` lay. `deferred`: a file
    that goes is still in the way of its folder.
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
