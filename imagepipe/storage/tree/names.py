"""The names in the tree that are not images: our own folder, and the temporary names of links that
wait to be renamed into place.
"""

import re

PRIVATE = b".imagepipe"
"""The one name in the tree's root that is not part of it."""

_TEMPORARY = re.compile(rb"\.imagepipe-([0-9a-f]{16})-[0-9]+")


def temporary_name(run: str, number: int) -> bytes:
    """The name of the `number`th link of a run (16 hex digits) until it is renamed."""
    return b".imagepipe-%b-%d" % (run.encode("ascii"), number)


def is_leftover(name: bytes, run: str) -> bool:
    """Whether `name` is a temporary name of another run than `run`."""
    match = _TEMPORARY.fullmatch(name)
    return match is not None and match[1] != run.encode("ascii")
