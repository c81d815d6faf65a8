"""The page /status for browsers: status.html with status.css and status.js inlined, which draws
/status.json every two seconds.

It is one answer that loads nothing from anywhere else, and cannot: its Content-Security-Policy
names the style and the script by their hashes, and otherwise allows only requests to this server.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MEDIA_TYPE = "text/html; charset=utf-8"

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Document:
    """A page, and the headers that must go with it."""

    body: bytes
    headers: Mapping[str, str]


@cache
def document() -> Document:
    """The page, read from the disk once."""
    style, script = _part("status.css"), _part("status.js")
    # The parts are ours, and neither contains the end tag of its element; a test checks that.
    body = _part("status.html").replace("{css}", style).replace("{js}", script)
    policy = {
        "default-src": "'none'",
        "style-src": _hash(style),
        "script-src": _hash(script),
        "connect-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    headers = {
        "content-security-policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "referrer-policy": "no-referrer",
    }
    return Document(body.encode(), headers)


def _part(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _hash(part: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'"
