"""Epochs: how a node knows whether a peer's cursor still means what it meant.

Each start of a daemon draws a random id and notes the number that its first change will have. A
node that was restored from a backup counts the same numbers once more for other changes; but it
does not know the ids of the starts that came after the backup, or knows that they ended earlier.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Epoch:
    """A start of the daemon: its random id, and the number of the first change that it
    could make.
    """

    id: str
    first_seq: int


def holds(epochs: Sequence[Epoch], last_seq: int, epoch: str, seq: int) -> bool:
    """Whether the first `seq` changes as a peer counted them in `epoch` are those of this node,
    whose starts were `epochs`, oldest first.
    """
    for at, known in enumerate(epochs):
        if known.id == epoch:
            end = epochs[at + 1].first_seq - 1 if at + 1 < len(epochs) else last_seq
            return 0 <= seq <= end
    return False
