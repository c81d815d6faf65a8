"""Fetching bytes from peers by their digest, piece by piece."""

import enum


class Received(enum.Enum):
    """What a piece made of an object: there is more to come, it is complete and verified, or its bytes are not what the digest says."""

    MORE = "more"
    COMPLETE = "complete"
    DAMAGED = "damaged"
