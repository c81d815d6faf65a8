"""What a verification reports, and to whom."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from imagepipe.core.rows.entries import Content


class ImageProblem(enum.Enum):
    """What can be wrong with an image. FOREIGN: something that is no file, or in the way of its
    folder. UNKNOWN: what lies at a path at which there is none.
    """

    MISSING = "missing object"
    CORRUPT = "rotten object"
    NOT_SHOWN = "missing file"
    CHANGED = "changed file"
    FOREIGN = "stranger's file"
    UNKNOWN = "unknown file"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something is wrong with the image at `path`. outcome: what was done about it."""

    path: str
    problem: ImageProblem
    repaired: bool
    outcome: str


@dataclass(frozen=True, slots=True)
class Extent:
    """What there is to verify: rows, and the bytes of their objects."""

    rows: int
    bytes: int


class VerifyObserver(Protocol):
    """The caller of a verification. Any method may raise, which ends the verification."""

    def begin(self, extent: Extent) -> None:
        """Verification starts, with this much to verify as far as is known."""
        ...

    def read(self, count: int) -> None:
        """`count` bytes were read: wait until more may be read."""
        ...

    def pause(self) -> None:
        """Wait a moment: something is scarce."""
        ...

    def checked(self, rows: int, size: int) -> None:
        """`rows` more rows were checked, by reading an object of `size` bytes; 0: they share the
        object of the rows before.
        """
        ...

    def found(self, finding: Finding) -> None:
        """Something is wrong."""
        ...

    def fetch(self, contents: Sequence[Content]) -> None:
        """Fetch objects from peers; on return they are in place, or no peer has them."""
        ...
