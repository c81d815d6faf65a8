"""The width and height from an image's header, for formats in which that takes a few lines.

This checks the claims of peers and is not a decoder. Where it finds no size, or a wrong one in an
unusual file, the engine reads the header when a client asks.
"""

from imagepipe.core.rendering.formats import GIF, JPEG, PNG, WEBP, Format

HEAD_BYTES = 128 << 10
"""How much of an image is read: in a JPEG, EXIF and a colour profile precede the size."""

_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def header_size(head: bytes, format: Format) -> tuple[int, int] | None:
    """The width and height of an image that begins with `head`; None if the header is not
    enough.
    """
    if format is JPEG:
        return _jpeg(head)
    if format is PNG and head[12:16] == b"IHDR":
        return _numbers(head[16:24], 4, "big")
    if format is GIF:
        return _numbers(head[6:10], 2, "little")
    if format is WEBP:
        return _webp(head)
    return None


def _numbers(pair: bytes, size: int, order: str) -> tuple[int, int] | None:
    if len(pair) < 2 * size:
        return None
    width, height = pair[:size], pair[size:]
    return (int.from_bytes(width, order), int.from_bytes(height, order))  # type: ignore[arg-type]


def _jpeg(head: bytes) -> tuple[int, int] | None:
    """The segments up to the first frame header (ITU-T T.81, annex B)."""
    at = 2
    while at + 4 <= len(head):
        if head[at] != 0xFF:
            return None
        marker = head[at + 1]
        if marker == 0xFF:  # fill
            at += 1
        elif marker in _STANDALONE:
            at += 2
        elif marker in _FRAMES:
            size = _numbers(head[at + 5 : at + 9], 2, "big")
            # a height of 0 means that it follows later, in DNL
            return (size[1], size[0]) if size and size[0] else None
        else:
            at += 2 + max(2, int.from_bytes(head[at + 2 : at + 4], "big"))
    return None


def _webp(head: bytes) -> tuple[int, int] | None:
    """The first chunk (RFC 9649)."""
    kind = head[12:16]
    if kind == b"VP8X":
        found = _numbers(head[24:30], 3, "little")
        return (found[0] + 1, found[1] + 1) if found else None
    if kind == b"VP8 ":
        found = _numbers(head[26:30], 2, "little")
        return (found[0] & 0x3FFF, found[1] & 0x3FFF) if found else None
    if kind == b"VP8L" and len(head) >= 25:
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None
