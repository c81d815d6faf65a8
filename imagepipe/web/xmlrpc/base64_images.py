"""Images as base64 text, decoded in pieces.

Python's own functions on bytes hold the GIL until they are done, and would block the whole daemon
on a text of 60 MB. So every step here works on one piece at a time.
"""

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO

import pybase64

from imagepipe.core.requests.argument_types import LongText
from imagepipe.errors import BadRequest

PIECE_BYTES = 256 << 10

_WHITE_SPACE = b" \t\r\n"
_LINE_BREAK = re.compile(rb"&#(?:0?13|0?10|0?9|x0{0,7}[dDaA9]);")
_LINE_BREAK_BYTES_MAX = 12
_LINE_BREAKS_IN_A_SHORT_PIECE = 16
_BYTES_FOR_A_LINE_BREAK = 32
"""The minimum, on average: lines of base64 have 60 characters or more, followed by at most two
references.
"""


@dataclass(frozen=True, slots=True)
class Base64Image(LongText):
    """Base64 text in a body, `body[start:end]`, not yet decoded."""

    body: IO[bytes]
    start: int
    end: int

    def decode(self, bytes_max: int) -> bytes:
        """The image; see `decode_image`."""
        pieces = _pieces(self.body, self.start, self.end)
        unbroken = (_LINE_BREAK.sub(b"", piece) if b"&" in piece else piece for piece in pieces)
        return _decoded(unbroken, self.end - self.start, bytes_max)

    @property
    def has_only_line_breaks(self) -> bool:
        """Whether all XML references in it are line breaks, and no more than lines need."""
        for piece in _pieces(self.body, self.start, self.end):
            references = piece.count(b"&")
            if references > _LINE_BREAKS_IN_A_SHORT_PIECE + len(piece) // _BYTES_FOR_A_LINE_BREAK:
                return False
            if references and len(_LINE_BREAK.findall(piece)) != references:
                return False
        return True


def decode_image(value: object, bytes_max: int) -> bytes:
    """The image that a client sent as `image`: base64 in a string, or a base64 value, which has
    been decoded already.

    Raises BadRequest if it is neither, or has more than `bytes_max` bytes.
    """
    if isinstance(value, Base64Image):
        return value.decode(bytes_max)
    if isinstance(value, str):
        return decode_base64(value.encode(errors="replace"), bytes_max)
    if not isinstance(value, bytes):
        raise BadRequest("image", "must be a base64 value or a string in base64")
    if not value:
        raise _empty()
    if len(value) > bytes_max:
        raise _too_large(bytes_max)
    return value


def decode_base64(text: bytes, bytes_max: int) -> bytes:
    """The bytes of base64 `text`, which may contain white space anywhere. Raises BadRequest."""
    return _decoded(_pieces(io.BytesIO(text), 0, len(text)), len(text), bytes_max)


def _pieces(body: IO[bytes], start: int, end: int) -> Iterator[bytes]:
    """`body[start:end]` in pieces, none of which ends inside a line break's reference."""
    while start < end:
        body.seek(start)
        piece = body.read(min(PIECE_BYTES, end - start))
        if start + len(piece) < end and (cut := piece.rfind(b"&", -_LINE_BREAK_BYTES_MAX)) > 0:
            piece = piece[:cut]
        start += len(piece)
        yield piece


def _decoded(pieces: Iterable[bytes], text_bytes: int, bytes_max: int) -> bytes:
    # In one block: many small ones would fragment the heap for good.
    decoded = bytearray(min(text_bytes // 4 * 3 + 3, bytes_max))
    length = 0
    rest, is_padded = b"", False
    for piece in pieces:
        # Strict decoding is several times faster than lenient. Most clients only break the lines.
        text = rest + piece.replace(b"\n", b"")
        whole = len(text) & ~3
        image = _strictly(text[:whole])
        if image is None:
            text = text.translate(None, _WHITE_SPACE)
            whole = len(text) & ~3
            image = _strictly(text[:whole])
        if image is None or (is_padded and text):
            raise _malformed()
        is_padded = is_padded or text.endswith(b"=", 0, whole)
        rest = text[whole:]
        if length + len(image) > bytes_max:
            raise _too_large(bytes_max)
        decoded[length : length + len(image)] = image
        length += len(image)
    if rest.translate(None, _WHITE_SPACE):
        raise _malformed()
    if not length:
        raise _empty()
    return bytes(memoryview(decoded)[:length])


def _strictly(text: bytes) -> bytes | None:
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        return None


def _malformed() -> BadRequest:
    return BadRequest("image", "is not valid base64")


def _empty() -> BadRequest:
    return BadRequest("image", "is empty")


def _too_large(bytes_max: int) -> BadRequest:
    return BadRequest("image", f"has more than {bytes_max} bytes (max_bytes)")
