"""The images of a simulated world: few, so that equal bytes occur, from one byte to several ranges
of a Get.
"""

import hashlib
import random

from imagepipe.core.rows.entries import Content

GET_BYTES = 1024
"""How many bytes a Get asks for at most, here: much less than in truth, or the runs would take
long.
"""

_SIZES = (1, 2, 9, 700, 1023, 1024, 1025, 2500, 2600, 5000)


def _make(size: int) -> bytes:
    return random.Random(size).randbytes(size)


BYTES = {hashlib.sha256(data).hexdigest(): data for data in map(_make, _SIZES)}
CONTENTS = tuple(Content(digest, len(data)) for digest, data in BYTES.items())


def is_good(digest: str, data: bytes | None) -> bool:
    """Whether these are the bytes of that digest."""
    return data is not None and BYTES.get(digest) == data
