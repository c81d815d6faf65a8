"""Searching the bytes of an image in slices.

`bytes.find` holds the GIL until it returns: 18 ms for 32 MiB, while the rest of the daemon waits.
"""

from typing import Any

SLICE_BYTES = 256 << 10


def find(image: Any, wanted: bytes, start: int = 0) -> int:
    """Where `wanted` begins in `image`, bytes or a memory map, from `start` on; -1 if it
    does not.
    """
    for at in range(start, len(image), SLICE_BYTES):
        found: int = image.find(wanted, at, at + SLICE_BYTES + len(wanted) - 1)
        if found >= 0:
            return found
    return -1
