"""The facts of an image as clients see them, in XML-RPC and in JSON.

{path, size, digest, width, height, format, modified}; `size` in bytes, `digest` SHA-256 in hex,
`modified` ISO 8601 in UTC, to the millisecond.
"""

import datetime as dt
from typing import Any

from imagepipe.core.path_escaping import escaped
from imagepipe.storage.image_info import ImageInfo


def public_facts(info: ImageInfo) -> dict[str, Any]:
    """The facts of a stored image."""
    return {
        "path": escaped(info.path),
        "size": info.size,
        "digest": info.digest,
        "width": info.width,
        "height": info.height,
        "format": info.format,
        "modified": iso_time(info.modified_ms),
    }


def iso_time(ms: int) -> str:
    """Milliseconds since 1970, as ISO 8601 in UTC."""
    return (
        dt.datetime.fromtimestamp(ms / 1000, dt.UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )
