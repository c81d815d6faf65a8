"""What nodes call themselves: for people to read, and never trusted for anything."""

from collections import Counter
from collections.abc import Iterable, Sequence

from imagepipe.core.printable import printable

NAME_LENGTH_MAX = 64


def clean_name(text: str) -> str:
    """A name that a peer gives itself, short and safe to print."""
    return printable(text[:NAME_LENGTH_MAX])[:NAME_LENGTH_MAX].strip()


def displayed_name(own: str, known: str) -> str:
    """What a peer calls itself, and beside it what this node knows it by, where they differ."""
    return known if own in ("", known) else f"{own} ({known})"


def labels(peers: Iterable[tuple[str, str]]) -> Sequence[str]:
    """A label for each peer, given what it calls itself and what this node knows it by: its own
    name unless another has the same.
    """
    pairs = tuple(peers)
    counts = Counter(own or known for own, known in pairs)
    return [
        own or known if counts[own or known] == 1 else displayed_name(own, known)
        for own, known in pairs
    ]
