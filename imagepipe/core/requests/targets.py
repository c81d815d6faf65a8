"""The path of a request -> what it asks for (docs/design/contract.md, "Images over HTTP").

    /a/b.jpg              the image a/b.jpg
    /a/b.jpg/w500.jpg     the image of that path if there is one, else the rendition w500.jpg of
                          a/b.jpg, or of a/b.jpg/original
    /a/b/info.json        the facts of a/b, or of a/b/original

A path is decoded once. What is malformed is refused here; what is merely no path that an image
could have asks for nothing there is.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from imagepipe.core import paths
from imagepipe.core.rendering import renditions
from imagepipe.core.rendering.renditions import Rendition
from imagepipe.errors import BadRequest

INFO = "info.json"
ORIGINAL = "original"

RAW_BYTES_MAX = 4 * paths.PATH_BYTES_MAX
"""Of a path as it is sent, where each byte may take three."""

_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_AUTHORITY = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Target:
    """What a request asks for.

    text: the decoded path, with its leading slash. path: where a file would be stored; None if no
    image can be there. image: the path before the last component, where that is a rendition's name
    or `info.json`.
    """

    text: str
    path: str | None
    image: str | None = None
    rendition: Rendition | None = None

    @property
    def is_info(self) -> bool:
        """Whether it asks for the facts of `image`."""
        return self.image is not None and self.rendition is None


def parse_target(raw: bytes) -> Target:
    """The target of a request with the path `raw`, without its query. Raises BadRequest if it is
    malformed.
    """
    text = decode(raw)
    parent, _, last = text.rpartition("/")
    rendition = renditions.parse(last)
    if rendition is None and last != INFO:
        return Target(text, _clean(text))
    return Target(text, _clean(text), _clean(parent.rstrip("/")), rendition)


def image_target(image: str) -> Target:
    """What asks for the image at a clean path, or for its original, to render from."""
    return Target(f"/{image}", None, image)


def decode(raw: bytes) -> str:
    """A path as it was sent -> text with a leading slash. Raises BadRequest."""
    raw = origin_form(raw)
    if len(raw) > RAW_BYTES_MAX:
        raise BadRequest("path", f"is longer than {paths.PATH_BYTES_MAX} bytes")
    if not raw.startswith(b"/"):
        raise BadRequest("path", "does not begin with a slash")
    if _PERCENT.search(raw):
        raise BadRequest("path", "a percent sign is not followed by two hex digits")
    # most are: taking them apart takes ten times as long
    if b"%" not in raw and b".." not in raw and b"\0" not in raw and raw.isascii():
        return raw.decode("ascii")
    text = "/" + "/".join(_decode_segment(segment) for segment in raw[1:].split(b"/"))
    if paths.XML_FORBIDDEN.search(text):
        raise BadRequest("path", "may not contain U+FFFE or U+FFFF, which XML cannot carry")
    return text


def origin_form(raw: bytes) -> bytes:
    """A path as it was sent, without the scheme and the authority that a proxy puts before it (RFC
    9112, 3.2.2).
    """
    return raw if raw.startswith(b"/") else _AUTHORITY.sub(b"", raw, count=1)


def original_of(image: str) -> str:
    """Where the original of the image at a clean path is stored if it came by HTTP. Raises
    BadRequest if it would be too long.
    """
    return paths.clean(f"{image}/{ORIGINAL}")


def _decode_segment(segment: bytes) -> str:
    decoded = unquote_to_bytes(segment)
    if b"/" in decoded or b"\0" in decoded:
        raise BadRequest("path", "has an encoded slash or NUL in it")
    if decoded == b"..":
        raise BadRequest("path", "may not contain '..'")
    try:
        return decoded.decode()
    except UnicodeDecodeError:
        raise BadRequest("path", "is not UTF-8") from None


def _clean(path: str) -> str | None:
    try:
        return paths.clean(path)
    except BadRequest:
        return None
