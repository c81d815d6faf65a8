"""Turns decoders' error messages into reasons that help a client: short, ASCII, on one line and
without the names of our files.
"""

import re

from unidecode import unidecode

from imagepipe.core.rendering.formats import PNG, Format

UNKNOWN = "it is damaged or of an unsupported kind"
LENGTH_MAX = 200

_MEANINGS = (
    (
        re.compile(r"libpng read error|iCCP: |IDAT: |bad adaptive filter", re.IGNORECASE),
        "its data is damaged",
    ),
    (
        re.compile(
            r"cache resources exhausted|memory allocation failed|out of memory", re.IGNORECASE
        ),
        "it takes too much memory",
    ),
    (
        re.compile(
            r"compression not supported|compression support is not configured", re.IGNORECASE
        ),
        "its compression is not supported",
    ),
)
_SAYS_NOTHING = re.compile(
    r"^(unable to (call|copy to memory)|no images defined|image sequence is required)",
    re.IGNORECASE,
)
_NOISE = re.compile(
    r"^convert(?:-im6)?(?:\.q16)?(?:hdri)?: |`[^'`]*' ?|@ (?:warning|error|fatal)/\S+"  # convert
    r"|(?:/[^\s:]*)?/magick-[^\s:]*:? ?"  # its temporary files
    r"|^\w*(?:vips|load)\w*: ",  # the part of libvips that speaks
    re.IGNORECASE,
)


def reason(said: str) -> str:
    """The first thing in `said`, the lines that libvips or convert wrote, that tells why an image
    cannot be read or rendered.
    """
    for line in unidecode(said).splitlines():
        text = _NOISE.sub("", line.strip()).strip().rstrip(".;")
        if not text or _SAYS_NOTHING.match(text):
            continue
        for meant, sentence in _MEANINGS:
            if meant.search(text):
                return sentence
        return "".join(c if c.isprintable() else "?" for c in text)[:LENGTH_MAX]
    return UNKNOWN


def of_kind(image: bytes, format: Format) -> str | None:
    """Why no decoder will read an image, by its first bytes; None if there is no such reason."""
    if format == PNG and image[12:16] == b"CgBI":
        return "it is in Apple's own variant of PNG (CgBI), which only iOS can read"
    return None
